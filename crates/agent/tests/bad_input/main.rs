//! Real agents and bad input: each refusal says what to do, and leaves everything as it was.

mod core_dump;
mod floods;
mod reflection;
mod site;
mod start;
mod workloads;
