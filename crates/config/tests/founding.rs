//! `cluster { founder, founding_record "KIND" { } }`: what is read, and what is refused.

mod support;

use steeple_config::{ClusterSettings, ConfigError, FoundingRecord};
use support::server;

fn cluster(block: &str) -> Result<ClusterSettings, ConfigError> {
    let text = format!("server {{ trust_domain = \"example.org\" data_dir = \"/srv/data\" }}\ncluster {{ {block} }}");
    server(&text).map(|loaded| loaded.settings.cluster)
}

#[test]
fn one_file_for_all_names_the_founder() {
    let founds = |name: &str| {
        cluster(&format!("name = \"{name}\" founder = \"server-0\" join = [\"a\", \"b\"]")).map(|read| read.bootstrap)
    };
    assert_eq!(founds("server-0"), Ok(true));
    assert_eq!(founds("server-1"), Ok(false));
    assert_eq!(founds("server-00"), Ok(false));
    // Nobody else to join: it may found, unless somebody else is the founder.
    assert!(cluster("name = \"server-1\"").unwrap().bootstrap);
    assert!(!cluster("name = \"server-1\" founder = \"server-0\"").unwrap().bootstrap);
    for (block, part) in [
        ("founder = \"a\" bootstrap = false name = \"a\"", "cluster.bootstrap says the same for this replica alone"),
        // As from a variable that nobody set.
        ("founder = \"a\" name = \"\"", "it is compared with cluster.name, which must be given"),
        ("founder = \"a\"", "it is compared with cluster.name, which must be given"),
    ] {
        let said = cluster(block).expect_err(block).to_string();
        assert!(said.starts_with("cluster.founder = a is not safe: ") && said.contains(part), "{said}");
    }
}

#[test]
fn a_record_has_a_place() {
    assert_eq!(cluster("").unwrap().founding_record, None);
    let record = |fields: &str| cluster(&format!("founding_record \"k8s_configmap\" {{ {fields} }}"));
    let names = "namespace = \"steeple\" configmap_name = \"steeple-founding\"";
    let expected = FoundingRecord {
        namespace: "steeple".to_owned(),
        configmap_name: "steeple-founding".to_owned(),
        kubeconfig_path: None,
    };
    assert_eq!(record(names).unwrap().founding_record.as_ref(), Some(&expected));
    let with_file = record(&format!("{names} kubeconfig_path = \"kube\"")).unwrap().founding_record.unwrap();
    assert!(with_file.kubeconfig_path.unwrap().is_absolute());
    for (fields, key) in [
        ("configmap_name = \"a\"", "cluster.founding_record.namespace = "),
        ("namespace = \"a\"", "cluster.founding_record.configmap_name = "),
        ("namespace = \"a/../b\" configmap_name = \"c\"", "cluster.founding_record.namespace = a/../b"),
        ("namespace = \"..\" configmap_name = \"c\"", "cluster.founding_record.namespace = .."),
        ("namespace = \"A\" configmap_name = \"c\"", "cluster.founding_record.namespace = A"),
    ] {
        let said = record(fields).expect_err(fields).to_string();
        assert!(said.starts_with(key) && said.contains("write a name as Kubernetes has them"), "{said}");
    }
    let unknown = record(&format!("{names} configmap_key = \"k\"")).expect_err("an unknown key").explained();
    assert!(unknown.contains("configmap_key"), "{unknown}");
    let other = cluster("founding_record \"etcd\" {}").expect_err("another kind").to_string();
    assert!(other.starts_with("cluster.founding_record \"etcd\" is not supported: the one kind"), "{other}");
}
