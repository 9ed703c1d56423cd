//! A server that crashes while it holds keys leaves no core dump.

use steeple_testkit::{CRASHES, allow_core_dumps, leaves_core_dump};

use crate::bench::Bench;

#[tokio::test]
async fn a_server_that_crashes_leaves_no_core_dump() {
    let bench = Bench::new();
    // The control: who does not forbid it is dumped here.
    if !allow_core_dumps(&bench.scratch.join("control")).await.expect("a program that crashes") {
        eprintln!("cannot tell: this machine dumps no process");
        return;
    }
    for crash in CRASHES {
        let name = crash.as_str();
        let mut server = bench.server(name).await;
        let process = server.process_mut().expect("it runs");
        assert!(!leaves_core_dump(process, &bench.scratch.join(name), crash).await.expect("it crashes"));
    }
}
