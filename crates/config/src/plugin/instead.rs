//! SPIRE's plugins that are not built in, each with what to use in its place.

/// `None` for names that SPIRE does not have either, and for plugins that only one of the other kinds could replace.
pub(super) fn instead_of(kind: &str, name: &str) -> Option<&'static str> {
    let fits = |(of_kind, names, _): &&(&str, &[&str], &str)| *of_kind == kind && names.contains(&name);
    INSTEAD.iter().find(fits).map(|(_, _, instead)| *instead)
}

const INSTEAD: &[(&str, &[&str], &str)] = &[
    (
        "BundlePublisher",
        &["aws_rolesanywhere_trustanchor", "aws_s3", "azure_blob", "gcp_cloudstorage"],
        BUNDLE_FROM_A_FILE,
    ),
    (
        "KeyManager",
        &["aws_kms", "azure_key_vault", "gcp_kms", "hashicorp_vault"],
        "CA keys live sealed in the replicated log: use KeyManager \"disk\" or none, and protect the sealing key \
         (cluster { sealing_key_path, seal }) instead",
    ),
    (
        "NodeAttestor",
        &["aws_iid", "azure_imds", "azure_msi", "gcp_iit"],
        "use x509pop, http_challenge or join_token for instances of a cloud, and k8s_psat for nodes of Kubernetes",
    ),
    ("NodeAttestor", &["k8s_sat"], "use k8s_psat, as SPIRE does"),
    (
        "SVIDStore",
        &["aws_secretsmanager", "gcp_secretmanager"],
        "use SVIDStore \"directory\", and have the provider's own tool store the files when they change",
    ),
    (
        "UpstreamAuthority",
        &["aws_pca", "awssecret", "cert-manager", "ejbca", "gcp_cas", "vault"],
        "have that authority sign a CA into files, and use UpstreamAuthority \"disk\", which reads them anew when it \
         signs",
    ),
    (
        "Notifier",
        &["k8sbundle"],
        "use BundlePublisher \"k8s_configmap\" with what were its defaults: namespace = \"spire\", configmap_name = \
         \"spire-bundle\", configmap_key = \"bundle.crt\", format = \"pem\"",
    ),
    ("Notifier", &["gcs_bundle"], BUNDLE_FROM_A_FILE),
    ("WorkloadAttestor", &["windows"], "this program runs on Linux: use unix, systemd, docker or k8s"),
];

const BUNDLE_FROM_A_FILE: &str = "publishers for clouds come later: use BundlePublisher \"file\" and have the cloud's \
                                  own tool upload the file when it changes";
