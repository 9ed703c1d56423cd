//! What uses the cluster: writers of entries, who read each other's, agents, and an operator.
//!
//! Each is a host of the simulated network with dice of its own. All write into the ledger, which knows what is wrong.

mod agent;
mod call;
mod channel;
mod identity;
mod operator;
mod writer;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use steeple_testkit::Dice;

use crate::world::World;

pub use writer::version;

pub type Client = Pin<Box<dyn Future<Output = turmoil::Result>>>;

/// In the order in which faults count them: writers, agents, the operator.
pub fn all(world: &Arc<World>) -> Vec<Client> {
    let plan = &world.plan;
    let mut clients: Vec<Client> = Vec::new();
    let dice = |number: usize| Dice::new(plan.seed.wrapping_mul(31).wrapping_add(number as u64));
    for number in 0..plan.writers {
        clients.push(Box::pin(writer::run(Arc::clone(world), number, dice(number))));
    }
    for number in plan.writers..plan.writers + plan.agents {
        clients.push(Box::pin(agent::run(Arc::clone(world), dice(number))));
    }
    clients.push(Box::pin(operator::run(Arc::clone(world), dice(clients.len()))));
    clients
}
