//! Trust domains that federate: real servers, real agents, and the Workload API as a workload sees it.

mod acme;
mod both_ways;
mod cluster;
mod domain;
mod web;
