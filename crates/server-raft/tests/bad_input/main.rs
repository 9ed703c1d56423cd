//! Real servers and bad input: each refusal says what to do, and leaves everything as it was.

mod bench;
mod disk;
mod join;
mod removed;
mod replica_away;
mod scrape;
mod seal;
mod sealed_replica;
mod several_faults;
mod start;
mod wire;
