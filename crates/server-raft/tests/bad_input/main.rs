//! Real servers and bad input: each refusal says what to do, and leaves everything as it was.

mod agent;
mod audit;
mod bench;
mod canary;
mod core_dump;
mod disk;
mod diverged;
mod floods;
mod join;
mod peer_traffic;
mod removed;
mod replica_away;
mod scrape;
mod seal;
mod seal_protocol_double;
mod sealed_replica;
mod several_faults;
mod stale_replica;
mod start;
mod wire;
