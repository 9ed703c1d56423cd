//! `cluster { seal "KIND" { } }`: what is read, and what is refused.

mod support;

use std::path::Path;

use steeple_config::{ConfigError, Pkcs11Settings, SealSettings, TransitSettings};
use steeple_core::plugin::SecretSource;
use support::server;

fn seal(block: &str) -> Result<SealSettings, ConfigError> {
    let text = format!("server {{ trust_domain = \"example.org\" data_dir = \"/srv/data\" }}\ncluster {{ {block} }}");
    server(&text).map(|loaded| loaded.settings.cluster.seal)
}

#[test]
fn each_kind_is_read_with_its_secret() {
    assert_eq!(seal("").unwrap(), SealSettings::File);
    assert_eq!(seal("seal \"file\" {}").unwrap(), SealSettings::File);
    let credential = seal("seal \"passphrase\" { passphrase_credential = \"steeple\" }").unwrap();
    assert_eq!(credential, SealSettings::Passphrase(SecretSource::Credential("steeple".to_owned())));
    let pkcs11 = "module_path = \"/usr/lib/p11.so\" token_label = \"t\" key_label = \"k\" pin_env = \"PIN\"";
    let expected = Pkcs11Settings {
        module_path: "/usr/lib/p11.so".into(),
        token_label: "t".to_owned(),
        key_label: "k".to_owned(),
        pin: SecretSource::Environment("PIN".to_owned()),
    };
    assert_eq!(seal(&format!("seal \"pkcs11\" {{ {pkcs11} }}")).unwrap(), SealSettings::Pkcs11(expected));
    let transit = "address = \"https://vault.test:8200/\" mount_path = \"/a/transit/\" key_name = \"steeple\" \
                   token_path = \"/run/token\" namespace = \"team\" ca_cert_path = \"/etc/ca.pem\"";
    let expected = TransitSettings {
        address: "https://vault.test:8200".to_owned(),
        mount_path: "a/transit".to_owned(),
        key_name: "steeple".to_owned(),
        token: SecretSource::File(Path::new("/run/token").to_owned()),
        namespace: Some("team".to_owned()),
        ca_cert_path: Some("/etc/ca.pem".into()),
    };
    assert_eq!(seal(&format!("seal \"transit\" {{ {transit} }}")).unwrap(), SealSettings::Transit(expected));
}

#[test]
fn variables_that_hold_secrets_are_known() {
    let variables = |block: &str| {
        let text =
            format!("server {{ trust_domain = \"example.org\" data_dir = \"/srv/data\" }}\ncluster {{ {block} }}");
        server(&text).unwrap().settings.cluster.secret_variables()
    };
    assert_eq!(variables(""), [""; 0]);
    assert_eq!(variables("seal \"passphrase\" { passphrase_path = \"/p\" }"), [""; 0]);
    let pin = "seal \"pkcs11\" { module_path = \"/m\" token_label = \"t\" key_label = \"k\" pin_env = \"PIN\" }";
    assert_eq!(variables(pin), ["PIN"]);
    let bucket = "backup { dir = \"s3://backups\" s3 { access_key_id = \"a\" secret_access_key_env = \"S3\" } }";
    assert_eq!(variables(&format!("{pin} {bucket}")), ["PIN", "S3"]);
}

#[test]
fn a_seal_that_cannot_be_used_is_refused_by_name() {
    let transit = "token_env = \"T\" key_name = \"k\"";
    let cases = [
        ("seal \"transt\" {}".to_owned(), "cluster.seal \"transt\" is not supported: the kinds of seal are file"),
        ("seal \"transt\" {}".to_owned(), "did you mean \"transit\"?"),
        ("seal {}".to_owned(), "cluster.seal holds one labelled block, not 0"),
        ("seal \"passphrase\" {}".to_owned(), "set one of passphrase_path, passphrase_env and passphrase_credential"),
        (
            "seal \"passphrase\" { passphrase_path = \"/a\" passphrase_env = \"B\" }".to_owned(),
            "set one of passphrase_path",
        ),
        ("seal \"passphrase\" { passphrase_credential = \"../x\" }".to_owned(), "for a path use passphrase_path"),
        ("seal \"pkcs11\" { pin_env = \"P\" }".to_owned(), "cluster.seal.module_path =  is not safe: name the PKCS#11"),
        (format!("seal \"transit\" {{ {transit} }}"), "cluster.seal.address =  is not safe: write https://host:port"),
        (format!("seal \"transit\" {{ {transit} address = \"http://v:8200\" }}"), "write https://host:port: the key"),
        (format!("seal \"transit\" {{ {transit} address = \"https://v/x\" }}"), "write https://host:port: the key"),
        (
            format!("seal \"transit\" {{ {transit} address = \"https://v\" mount_path = \"a/../b\" }}"),
            "cluster.seal.mount_path = a/../b is not safe",
        ),
        (
            "seal \"transit\" { token_env = \"T\" address = \"https://v\" key_name = \"a/b\" }".to_owned(),
            "cluster.seal.key_name = a/b is not safe",
        ),
    ];
    for (block, part) in cases {
        let refused = seal(&block).expect_err(&block).to_string();
        assert!(refused.contains(part), "{block}: {refused}");
    }
    // A passphrase that stands in the file is no key of the block.
    let refused = seal("seal \"passphrase\" { passphrase = \"canary\" passphrase_env = \"P\" }").unwrap_err();
    assert!(matches!(refused, ConfigError::Unknown(_)), "{refused}");
    assert!(!refused.explained().contains("canary"), "{}", refused.explained());
}
