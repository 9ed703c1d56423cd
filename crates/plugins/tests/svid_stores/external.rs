//! A store that is a program of its own.

use steeple_core::plugin::{StoreError, StorePlace};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_told_all_of_an_svid_and_of_the_selectors() {
    let Some(plugins) = GoPlugins::build() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (catalog, store) = external(plugins, dir.path(), Bounds::default().call).await;
    let values = ["colour:blue".to_owned(), "name:web".to_owned()];
    Sample::new("1").put(&*store, &values, true).await;
    let file = shelved(dir.path(), "web").expect("a file");
    assert_eq!((&file["spiffe_id"], &file["expires_at"]), (&"spiffe://example.org/web".into(), &EXPIRES_AT.into()));
    assert_eq!(file["metadata"], serde_json::json!(["colour:blue", "name:web"]));
    catalog.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_plugin_that_refuses_hangs_or_ends_is_told_apart() {
    let Some(plugins) = GoPlugins::build() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (catalog, store) = external(plugins, dir.path(), Duration::from_secs(2)).await;
    let web = StorePlace(vec!["name:web".to_owned()]);
    // Nothing can have been put where no name was given.
    store.delete(&StorePlace(vec!["colour:blue".to_owned()])).await.expect("nothing to remove");
    let nameless = Sample::new("1").try_put(&*store, &["colour:blue".to_owned()], false).await;
    let told = "rpc error: code = InvalidArgument desc = svidstore(shelf): a name is required";
    assert_eq!(nameless, Err(StoreError::Failed(told.to_owned())));
    for (mode, told) in [
        ("refuse", "rpc error: code = PermissionDenied desc = svidstore(shelf): not today"),
        ("hang", "the plugin did not answer DeleteX509SVID within 2 s"),
        ("exit", "the plugin has ended (exit status 3) and is not started again: restart this process"),
    ] {
        let settings = format!("directory = {:?}\nmode = {mode:?}", dir.path());
        Arc::clone(&store.0).configure(Some(settings)).await.expect("it takes them");
        let failed = store.delete(&web).await.expect_err("it does not");
        assert!(failed.to_string().contains(told), "{mode}: {failed}");
    }
    catalog.unload().await;
}
