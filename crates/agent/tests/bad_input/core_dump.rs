//! An agent that crashes while it holds keys leaves no core dump.

use steeple_testkit::{CRASHES, allow_core_dumps, leaves_core_dump};

use crate::site::World;

#[tokio::test]
async fn an_agent_that_crashes_leaves_no_core_dump() {
    let world = World::new().await;
    // The control: who does not forbid it is dumped here.
    if !allow_core_dumps(&world.scratch.join("control")).await.expect("a program that crashes") {
        eprintln!("cannot tell: this machine dumps no process");
        return;
    }
    for crash in CRASHES {
        let name = crash.as_str();
        let mut agent = world.agent(name, &world.token().await, &world.bundle);
        agent.ready().await.expect("the agent becomes ready");
        let dir = world.scratch.join(name);
        assert!(!leaves_core_dump(agent.process_mut(), &dir, crash).await.expect("it crashes"));
    }
}
