//! What holds for every SVID store.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use steeple_core::plugin::StoreError;
use steeple_plugins::directory::DirectoryStore;

use super::*;

/// What a place holds, by its name.
type Finds = Box<dyn Fn(&str) -> Option<Found>>;

struct Subject {
    name: &'static str,
    store: Arc<dyn SvidStore>,
    /// Two places, by the values of selectors that name them; the last value is the name alone.
    places: [Vec<String>; 2],
    /// What somebody who looks at a place finds.
    found: Finds,
    /// Values that name no place.
    unusable: Vec<Vec<String>>,
    /// Whether it tells after a restart what is there.
    remembers: bool,
    _kept: Box<dyn std::any::Any>,
}

async fn subjects(dir: &Path) -> Vec<Subject> {
    let mut subjects = vec![directory(&dir.join("files"))];
    if let Some(plugins) = GoPlugins::build() {
        subjects.push(program(plugins, &dir.join("shelf")).await);
    }
    subjects
}

fn values(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn directory(base: &Path) -> Subject {
    let blocks = |path: PathBuf| -> Option<Vec<Vec<u8>>> {
        let text = std::fs::read(path).ok()?;
        Some(pem::parse_many(text).expect("PEM").into_iter().map(pem::Pem::into_contents).collect())
    };
    let at = base.to_owned();
    let found = move |name: &str| {
        let folder = at.join(name);
        Some(Found {
            chain: blocks(folder.join("svid.pem"))?,
            key: blocks(folder.join("svid_key.pem"))?.concat(),
            bundle: blocks(folder.join("bundle.pem"))?,
            federated: blocks(folder.join("federated_bundle.other.org.pem")).map(|roots| roots.concat()),
        })
    };
    let gid = nix::unistd::getgid();
    Subject {
        name: "directory",
        store: Arc::new(DirectoryStore::open(base).expect("a directory")),
        places: [values(&[&format!("group:{gid}"), "path:web"]), values(&["path:app"])],
        found: Box::new(found),
        unusable: vec![Vec::new(), values(&[""]), values(&["path:../web"]), values(&["path:web", "path:app"])],
        remembers: true,
        _kept: Box::new(()),
    }
}

async fn program(plugins: &GoPlugins, dir: &Path) -> Subject {
    std::fs::create_dir(dir).expect("a directory");
    let (catalog, store) = external(plugins, dir, Bounds::default().call).await;
    let at = dir.to_owned();
    let found = move |name: &str| {
        let file = shelved(&at, name)?;
        let bytes = |value: &serde_json::Value| BASE64_STANDARD.decode(value.as_str().expect("text")).expect("base64");
        let list = |key: &str| file[key].as_array().expect("a list").iter().map(bytes).collect::<Vec<_>>();
        let federated = file["federated_bundles"].get("spiffe://other.org").map(bytes);
        Some(Found { chain: list("cert_chain"), key: bytes(&file["private_key"]), bundle: list("bundle"), federated })
    };
    Subject {
        name: "shelf",
        store,
        places: [values(&["colour:blue", "name:web"]), values(&["name:app"])],
        found: Box::new(found),
        unusable: Vec::new(),
        remembers: false,
        _kept: Box::new(catalog),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_is_there_whole_is_replaced_whole_and_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    for Subject { name, store, places, found, .. } in subjects(dir.path()).await {
        assert_eq!(store.name(), name);
        let [first, second] = ["1", "2"].map(Sample::new);
        let [web, app] = &places;
        first.put(&*store, web, true).await;
        first.put(&*store, app, false).await;
        assert_eq!((found("web"), found("app")), (Some(first.found(true)), Some(first.found(false))), "{name}");
        // Again, and then another one, whose entry federates with nobody.
        first.put(&*store, web, true).await;
        assert_eq!(found("web"), Some(first.found(true)), "{name}");
        second.put(&*store, web, false).await;
        assert_eq!((found("web"), found("app")), (Some(second.found(false)), Some(first.found(false))), "{name}");
        let place = store.place(web).expect("a place");
        for _ in 0..2 {
            store.delete(&place).await.expect("nothing to remove is no failure");
            assert_eq!((found("web"), found("app")), (None, Some(first.found(false))), "{name}");
        }
        second.put(&*store, web, true).await;
        assert_eq!(found("web"), Some(second.found(true)), "{name}: it can be filled again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_told_apart_and_remembered_by_stores_that_can() {
    let dir = tempfile::tempdir().expect("a directory");
    for Subject { name, store, places, remembers, .. } in subjects(dir.path()).await {
        let [web, app] = places.each_ref().map(|values| store.place(values).expect("a place"));
        assert!(web != app && web == store.place(&places[0]).expect("a place"), "{name}");
        Sample::new("1").put(&*store, &places[0], true).await;
        let expected = if remembers { vec![web] } else { Vec::new() };
        assert_eq!(store.kept().await.expect("a list"), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_name_no_place_are_refused_before_anything_is_put() {
    let dir = tempfile::tempdir().expect("a directory");
    for Subject { name, store, unusable, .. } in subjects(dir.path()).await {
        for values in unusable {
            assert!(matches!(store.place(&values), Err(StoreError::Selectors(_))), "{name} {values:?}");
            let put = Sample::new("1").try_put(&*store, &values, false).await;
            assert!(matches!(put, Err(StoreError::Selectors(_))), "{name} {values:?}: {put:?}");
        }
        assert!(store.kept().await.expect("a list").is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failure_tells_a_key() {
    let dir = tempfile::tempdir().expect("a directory");
    for Subject { name, store, places, .. } in subjects(dir.path()).await {
        // What the store writes into is gone, and something else in its place.
        for base in ["files", "shelf"].map(|base| dir.path().join(base)).iter().filter(|base| base.is_dir()) {
            std::fs::remove_dir_all(base).expect("it is there");
            std::fs::write(base, "mine").expect("a file");
        }
        let failed = Sample::new("1").try_put(&*store, &places[0], true).await.expect_err("it cannot be put");
        assert!(matches!(failed, StoreError::Failed(_)) && !failed.to_string().contains("key 1"), "{name}: {failed}");
    }
}
