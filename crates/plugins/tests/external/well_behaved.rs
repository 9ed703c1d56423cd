//! Plugins that do what they should, and what our side does when they refuse, hang, flood or end.

use steeple_core::SpiffeId;
use steeple_core::plugin::{ReferenceError, WorkloadReference};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_tells_what_a_process_is_and_takes_new_settings() {
    let Some(plugins) = GoPlugins::build() else { return };
    let (_dir, path) = own_program(plugins, "workloadattestor");
    let sum = hex::decode(plugins.checksum("workloadattestor").expect("a sum")).expect("hex");
    let program = ExternalProgram { sha256: sum.try_into().ok(), ..workload_attestor(path.clone()) };
    let catalog = catalog(BOUNDS);
    let attestor = configured(&catalog, &program, "selectors = [\"a:b\"]").await;
    let own = format!("demo:pid:{}", std::process::id());
    assert_eq!(attest(&attestor).await.expect("selectors"), [&own, "demo:trust_domain:example.org", "demo:a:b"]);
    assert_eq!(running(&path), 1);

    // One that knows references alone.
    let configure = |settings: &str| Arc::clone(&attestor.0).configure(Some(settings.to_owned()));
    configure("mode = \"reference\"").await.expect("it takes them");
    let reference = "demo:reference:type.googleapis.com/spiffe.broker.WorkloadPIDReference";
    assert_eq!(attest(&attestor).await.expect("selectors")[0], reference);

    // It goes on with what it had.
    let refused = configure("mode = \"unusable\"").await.expect_err("it refuses");
    let told = "rpc error: code = InvalidArgument desc = workloadattestor(demo): this mode cannot be used";
    assert_eq!(refused, told);
    assert!(configure("mode = [").await.expect_err("it refuses").contains("failed to decode configuration"));
    assert_eq!(attest(&attestor).await.expect("selectors")[0], reference);

    catalog.unload().await;
    assert_eq!(running(&path), 0);
    assert!(attest(&attestor).await.expect_err("it is gone").0.contains("the plugin has ended (exit status 0)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_told_what_a_broker_refers_to_and_who_it_is() {
    let Some(plugins) = GoPlugins::build() else { return };
    let (_dir, path) = own_program(plugins, "workloadattestor");
    let catalog = catalog(BOUNDS);
    let attestor = configured(&catalog, &workload_attestor(path), "").await;
    let type_url = "type.example.org/vm.Reference".to_owned();
    let caller = SpiffeId::parse("spiffe://example.org/broker").expect("an ID");
    let reference = WorkloadReference { type_url, value: vec![1, 2], caller };
    let found = attestor.attest_reference(&reference).await.expect("selectors");
    let values: Vec<&str> = found.iter().map(|selector| selector.value.as_str()).collect();
    let told = ["reference:type.example.org/vm.Reference", "trust_domain:example.org"];
    assert_eq!(values, [&told[..], &["caller:spiffe://example.org/broker"]].concat());
    for (mode, expected) in [
        ("pid", ReferenceError::Unread),
        (
            "refuse",
            ReferenceError::Refused {
                code: 7,
                message: "rpc error: code = PermissionDenied desc = workloadattestor(demo): not that one".to_owned(),
            },
        ),
    ] {
        let settings = format!("mode = {mode:?}");
        Arc::clone(&attestor.0).configure(Some(settings)).await.expect("it takes them");
        assert_eq!(attestor.attest_reference(&reference).await, Err(expected), "{mode}");
    }
    catalog.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_refuses_hangs_floods_or_ends_is_told_apart() {
    let Some(plugins) = GoPlugins::build() else { return };
    let (_dir, path) = own_program(plugins, "workloadattestor");
    let program = workload_attestor(path);
    let catalog = catalog(Bounds { call: Duration::from_secs(2), ..BOUNDS });
    let attestor = configured(&catalog, &program, "").await;
    let say = async |mode: &str| {
        let settings = format!("mode = {mode:?}");
        Arc::clone(&attestor.0).configure(Some(settings)).await.expect("it takes them");
        attest(&attestor).await.map_err(|error| error.0)
    };
    assert_eq!(
        say("refuse").await.expect_err("it refuses"),
        "rpc error: code = PermissionDenied desc = workloadattestor(demo): not that one"
    );
    let hung = say("hang").await.expect_err("it hangs");
    assert!(
        hung.contains("DeadlineExceeded") && hung.contains("the plugin did not answer Attest within 2 s"),
        "{hung}"
    );
    let flooded = say("huge").await.expect_err("it floods");
    assert!(flooded.contains("message length too large"), "{flooded}");
    let nameless = say("nameless").await.expect_err("it is no selector");
    assert!(nameless.starts_with("workloadattestor(demo): the plugin gave an unusable selector: "), "{nameless}");
    say("").await.expect("it serves again");
    for _ in 0..2 {
        let ended = match attestor.0.program().name.as_str() {
            // Told to end once; the second call meets nobody.
            _ if running(&program.path) > 0 => say("exit").await.expect_err("it ends"),
            _ => attest(&attestor).await.expect_err("it is gone").0,
        };
        let told = "workloadattestor(demo): the plugin has ended (exit status 3) and is not started again: restart \
                    this process";
        assert_eq!(ended, format!("rpc error: code = Unavailable desc = {told}"));
    }
    catalog.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_dropped_leaves_no_process() {
    let Some(plugins) = GoPlugins::build() else { return };
    let (_dir, path) = own_program(plugins, "bundlepublisher");
    let program = ExternalProgram { kind: "BundlePublisher".into(), ..workload_attestor(path.clone()) };
    let error = load(&catalog(BOUNDS), &program).await.map(|_| ()).expect_err("another kind");
    let found = ["spire.plugin.server.bundlepublisher.v1.BundlePublisher", "spire.service.common.config.v1.Config"];
    let wanted = ExternalWorkloadAttestor::INTERFACE;
    assert_eq!(error, LaunchError::WrongInterface { found: found.map(str::to_owned).to_vec(), wanted });
    let gone = steeple_testkit::until("its end", Duration::from_secs(20), async || {
        if running(&path) == 0 { Ok(()) } else { Err("it runs") }
    });
    gone.await.expect("it is killed");
}

/// Settings for a plugin that takes none are refused, as SPIRE refuses them.
#[tokio::test(flavor = "multi_thread")]
async fn settings_need_a_plugin_that_takes_them() {
    let Some(plugins) = GoPlugins::build() else { return };
    let program =
        ExternalProgram { kind: "CredentialComposer".into(), ..workload_attestor(plugins.path("credentialcomposer")) };
    let catalog = catalog(BOUNDS);
    let interface = "spire.plugin.server.credentialcomposer.v1.CredentialComposer";
    let plugin = catalog.load(&program, interface).await.expect("it is loaded");
    Arc::clone(&plugin).configure(None).await.expect("nothing to take");
    let refused = plugin.configure(Some("a = 1".into())).await.expect_err("it takes none");
    assert!(refused.ends_with("no supported configuration interface found"), "{refused}");
    catalog.unload().await;
}
