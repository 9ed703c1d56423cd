//! Selectors and what comes of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use steeple_core::{Bundle, Secret, SpiffeId, Timestamp, TrustDomain, X509Authority};

use super::*;

fn values(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn bundle(domain: &str, der: &[u8]) -> Bundle {
    let root = X509Authority { der: der.to_vec(), tainted: false };
    Bundle { x509_authorities: vec![root], ..Bundle::empty(TrustDomain::parse(domain).unwrap()) }
}

#[test]
fn selectors_name_a_folder_below_the_base_and_nothing_else() {
    let parsed = Place::parse(&values(&["group:www-data", "path:team/web", "owner:33"])).unwrap();
    assert_eq!(parsed.path, ["team", "web"]);
    assert_eq!((parsed.owner, parsed.group), (Some(Name::Id(33)), Some(Name::Name("www-data".to_owned()))));
    assert_eq!(Place::parse(&values(&["path:a b:c"])).unwrap().path, ["a b:c"]);
    for (bad, part) in [
        (&["owner:1"][..], "none that begins with directory:path:"),
        (&["path:/etc"], "is absolute"),
        (&["path:../x"], "as \"..\" does"),
        (&["path:a/../../x"], "as \"..\" does"),
        (&["path:a/./x"], "as \".\" does"),
        (&["path:..data"], "as \"..data\" does"),
        (&["path:a//b"], "as \"\" does"),
        (&["path:"], "as \"\" does"),
        (&["path:a/"], "as \"\" does"),
        (&["path:a\nb"], "has control characters"),
        (&["path:a\0b"], "has control characters"),
        (&["path:a/b/c/d/e/f/g/h/i"], "more than 8 folders"),
        (&["path:a", "path:b"], "several paths"),
        (&["path:a", "mode:0777"], "\"mode\" is none of path, owner and group"),
        (&["path:a", "owner:"], "owner \"\" is no name"),
        (&["path:a", "group:4294967295"], "is nobody's number"),
        (&["web"], "\"web\" is none of"),
    ] {
        let error = Place::parse(&values(bad)).unwrap_err();
        assert!(matches!(&error, StoreError::Selectors(text) if text.contains(part)), "{bad:?}: {error}");
    }
    let long = format!("path:{}", "n".repeat(256));
    assert!(Place::parse(&values(&[&long])).is_err());
}

#[tokio::test]
async fn an_svid_becomes_files_and_goes_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(&dir.path().join("svids")).unwrap();
    let (own, other) = (bundle("example.org", b"root"), bundle("other.org", b"their root"));
    let (chain, key) = (vec![b"leaf".to_vec(), b"intermediate".to_vec()], Secret::new(b"key".to_vec()));
    let spiffe_id = SpiffeId::parse("spiffe://example.org/web").unwrap();
    let expires_at = Timestamp::from_secs(1);
    let svid =
        StoredSvid { spiffe_id: &spiffe_id, expires_at, chain: &chain, key: &key, bundle: &own, federated: &[&other] };
    let values = values(&["path:web"]);
    store.put(&values, svid).await.unwrap();
    let path = dir.path().join("svids/web");
    let blocks = |name: &str| -> Vec<(String, Vec<u8>)> {
        let text = fs::read(path.join(name)).unwrap();
        pem::parse_many(text)
            .unwrap()
            .into_iter()
            .map(|block| (block.tag().to_owned(), block.into_contents()))
            .collect()
    };
    let certificate = |der: &[u8]| ("CERTIFICATE".to_owned(), der.to_vec());
    assert_eq!(blocks("svid.pem"), [certificate(b"leaf"), certificate(b"intermediate")]);
    assert_eq!(blocks("svid_key.pem"), [("PRIVATE KEY".to_owned(), b"key".to_vec())]);
    assert_eq!(blocks("bundle.pem"), [certificate(b"root")]);
    assert_eq!(blocks("federated_bundle.other.org.pem"), [certificate(b"their root")]);
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("svid_key.pem"), mode("svid.pem"), mode("bundle.pem")), (0o600, 0o644, 0o644));

    // For a group, which reads the key too; the federation is over.
    let gid = fs::metadata(dir.path()).unwrap().gid();
    let for_group = [values[0].clone(), format!("group:{gid}")];
    store.put(&for_group, StoredSvid { federated: &[], ..svid }).await.unwrap();
    assert_eq!(mode("svid_key.pem"), 0o640);
    assert!(!path.join("federated_bundle.other.org.pem").exists());

    let place = store.place(&for_group).unwrap();
    assert_eq!(place, StorePlace(vec!["web".to_owned()]));
    assert_eq!(store.kept().await.unwrap(), std::slice::from_ref(&place));
    store.delete(&place).await.unwrap();
    assert!(!path.exists() && store.kept().await.unwrap().is_empty());
    store.delete(&place).await.unwrap();
}

#[tokio::test]
async fn users_and_files_that_are_in_the_way_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(dir.path()).unwrap();
    let (own, chain, key) = (bundle("example.org", b"root"), vec![b"leaf".to_vec()], Secret::new(b"key".to_vec()));
    let spiffe_id = SpiffeId::parse("spiffe://example.org/web").unwrap();
    let expires_at = Timestamp::from_secs(1);
    let svid = StoredSvid { spiffe_id: &spiffe_id, expires_at, chain: &chain, key: &key, bundle: &own, federated: &[] };
    for (bad, part) in [
        (&["path:web", "owner:no-such-user"][..], "this node has no user no-such-user"),
        (&["path:web", "group:no-such-group"], "this node has no group no-such-group"),
    ] {
        let error = store.put(&values(bad), svid).await.unwrap_err();
        assert!(matches!(&error, StoreError::Failed(text) if text.contains(part)), "{error}");
    }
    fs::write(dir.path().join("file"), "").unwrap();
    let error = store.put(&values(&["path:file"]), svid).await.unwrap_err().to_string();
    assert!(error.contains("/file: it is no folder"), "{error}");
    let long = bundle(&"o".repeat(240), b"root");
    let error = store.put(&values(&["path:web"]), StoredSvid { federated: &[&long], ..svid }).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Selectors(text) if text.contains("too long for the name of a file")),
        "{error}"
    );
}

#[test]
fn a_base_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| DirectoryStore::open(path).map(drop).unwrap_err().to_string();
    assert_eq!(refused(Path::new("svids")), "base_dir svids is no absolute path");
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(refused(&dir.path().join("file")).starts_with("cannot make base_dir "));
    assert!(refused(Path::new("/proc/svids")).starts_with("cannot make base_dir /proc/svids: "));
    let held = DirectoryStore::open(dir.path()).unwrap();
    assert!(refused(dir.path()).contains("is another agent's"));
    drop(held);
    DirectoryStore::open(dir.path()).unwrap();
}
