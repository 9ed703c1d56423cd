//! What can be measured, one subcommand each.

mod aliases;
mod attest;
mod ceiling;
mod clients;
mod failover;
mod fsync;
mod hands;
mod idle;
mod issue;
mod issuers;
mod jwt;
mod list;
mod many_entries;
mod overload;
mod propagate;
mod reconnect;
mod restart;
mod rotate;
mod stages;
mod transfer;
mod workload;
mod writes;

use clap::Subcommand;

pub use self::{
    attest::AttestArgs, ceiling::CeilingArgs, failover::FailoverArgs, idle::IdleArgs, issue::IssueArgs, jwt::JwtArgs,
    list::ListArgs, many_entries::ManyEntriesArgs, overload::OverloadArgs, propagate::PropagateArgs,
    reconnect::ReconnectArgs, restart::RestartArgs, rotate::RotateArgs, transfer::TransferArgs, writes::WritesArgs,
};
use crate::report::Report;
use crate::target::Options;

/// Scenarios, each with defaults that fit a machine with two cores in minutes.
#[derive(Subcommand, Clone, Debug)]
pub enum Scenario {
    Issue(IssueArgs),
    Jwt(JwtArgs),
    Attest(AttestArgs),
    Idle(IdleArgs),
    Propagate(PropagateArgs),
    Writes(WritesArgs),
    ManyEntries(ManyEntriesArgs),
    Reconnect(ReconnectArgs),
    Failover(FailoverArgs),
    Transfer(TransferArgs),
    Restart(RestartArgs),
    Rotate(RotateArgs),
    List(ListArgs),
    Overload(OverloadArgs),
    Ceiling(CeilingArgs),
}

/// One run, from the start of a server to its end.
pub async fn run(options: &Options, scenario: &Scenario) -> anyhow::Result<Report> {
    match scenario {
        Scenario::Issue(args) => issue::run(options, args).await,
        Scenario::Jwt(args) => jwt::run(options, args).await,
        Scenario::Attest(args) => attest::run(options, args).await,
        Scenario::Idle(args) => idle::run(options, args).await,
        Scenario::Propagate(args) => propagate::run(options, args).await,
        Scenario::Writes(args) => writes::run(options, args).await,
        Scenario::ManyEntries(args) => many_entries::run(options, args).await,
        Scenario::Reconnect(args) => reconnect::run(options, args).await,
        Scenario::Failover(args) => failover::run(options, args).await,
        Scenario::Transfer(args) => transfer::run(options, args).await,
        Scenario::Restart(args) => restart::run(options, args).await,
        Scenario::Rotate(args) => rotate::run(options, args).await,
        Scenario::List(args) => list::run(options, args).await,
        Scenario::Overload(args) => overload::run(options, args).await,
        Scenario::Ceiling(args) => ceiling::run(options, args).await,
    }
}
