//! How agents are let in, how callers are turned away or made to wait, and how their calls go on record: real
//! processes, real connections.

mod authority;
mod bombs;
mod every_caller;
mod every_cell;
mod explained;
mod limited;
mod limits;
mod node_attestors;
mod on_another_replica;
mod on_record;
mod push;
mod question;
mod site;
mod turned_away;
