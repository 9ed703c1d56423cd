//! `docs/authorization.md` against real replicas, and against a stock server where one is named: for each cell a call,
//! whose answer is what the cell says.

use std::collections::BTreeMap;
use std::path::Path;

use futures::future::join_all;
use steeple_api::steeple::server::{DemoteRequest, PromoteRequest};
use steeple_api::types::permission_denied_details::Reason;
use steeple_api::{is_of_server, methods_where};
use steeple_testkit::{Binaries, Cluster, until};
use tonic::Code;
use tonic::transport::Channel;

use crate::every_caller::Cast;
use crate::question::{Answer, EMPTY, Message, ask, call};
use crate::site::READY_MAX;

/// The column of callers that a policy names, which is ours alone.
const LIMITED: &str = "limited";
const LOCAL: &str = "local";
const OUT_OF_TOUCH: [&str; 2] = ["there is no leader at the moment", "ask another one"];

/// By column.
type Row = BTreeMap<String, Answer>;
/// By method.
type Table = Vec<(String, Row)>;

#[tokio::test]
async fn every_cell_is_what_a_replica_answers_in_every_state() {
    let table = table();
    let mut known: Vec<String> = table.iter().map(|(method, _)| method.clone()).collect();
    let mut offered = methods_where(|package, _| is_of_server(package));
    known.sort();
    offered.sort();
    assert_eq!(known, offered, "a method without a row, or a row without a method");

    let mut cast = Cast::assemble().await;
    let leader = cast.cluster.leader().await.expect("a leader");
    let follower = cast.cluster.follower().await.expect("a follower");
    cast.cluster.caught_up(follower).await.expect("it knows the callers");
    let as_it_says = |column: &str, row: &Row| row[column].clone();
    let channels = cast.channels(leader).await;
    assert_answers("leader", &table, &channels, cast.message, as_it_says).await;
    let channels = cast.channels(follower).await;
    assert_answers("follower", &table, &channels, cast.message, as_it_says).await;

    vote(&cast.cluster, follower, false).await;
    assert_answers("learner", &table, &channels, cast.message, as_it_says).await;
    vote(&cast.cluster, follower, true).await;

    let key = cast.seal(follower).await;
    let sealed = |column: &str, row: &Row| if column == LOCAL { row[LOCAL].clone() } else { Answer::NoConnection };
    assert_answers("sealed", &table, &channels, cast.message, sealed).await;
    assert_says_that_it_is_sealed(&table, &channels[LOCAL]).await;
    cast.unseal(follower, &key).await;

    // While the connection still can be made.
    let channels = cast.channels(follower).await;
    for (position, server) in cast.cluster.servers.iter_mut().enumerate() {
        if position != follower {
            server.kill9().await.expect("killed");
        }
    }
    let admin = cast.cluster.servers[follower].admin();
    let alone = until("nobody leads", READY_MAX, async || match admin.status().await {
        Ok(status) if status.leader_id == 0 => Ok(()),
        Ok(status) => Err(format!("{} leads", status.leader_id)),
        Err(status) => Err(status.to_string()),
    });
    alone.await.expect("the replica is alone");
    assert_answers("no quorum", &table, &channels, cast.message, unconfirmed).await;
}

/// Where no entry and no agent's record decides, the answer needs no leader.
fn unconfirmed(column: &str, row: &Row) -> Answer {
    let is_for_everybody = row["anonymous"] == Answer::LetIn;
    let is_known_by_configuration = ["config", "config, foreign", "limited"].contains(&column);
    // There an entry may make an administrator, before anybody looks at an agent.
    let is_for_administrators = row["admin"] == Answer::LetIn;
    match (column, &row[column]) {
        (LOCAL | "anonymous" | "plain", cell) => cell.clone(),
        (_, cell) if is_for_everybody => cell.clone(),
        (_, cell @ (Answer::NoConnection | Answer::Absent)) => cell.clone(),
        (_, cell @ Answer::DeniedBecause(Reason::AgentExpired)) if !is_for_administrators => cell.clone(),
        (_, Answer::LetIn) if is_known_by_configuration => Answer::LetIn,
        // The policy takes the place of entries.
        ("limited", Answer::Denied) if is_for_administrators => Answer::Denied,
        _ => Answer::Unavailable,
    }
}

/// Gives the replica at `position` its vote, or takes it: then it is a learner.
async fn vote(cluster: &Cluster, position: usize, votes: bool) {
    let node_id = cluster.servers[position].admin().status().await.expect("a status").node_id;
    let mut admin = cluster.servers[cluster.leader().await.expect("a leader")].admin().cluster();
    let changed = match votes {
        true => admin.promote(PromoteRequest { node_id }).await.map(drop),
        false => admin.demote(DemoteRequest { node_id }).await.map(drop),
    };
    changed.expect("a change of its vote");
    let admin = cluster.servers[position].admin();
    let heard = until("the replica knows of its vote", READY_MAX, async || {
        let members = admin.status().await.map_err(|status| status.to_string())?.members;
        let voter = members.iter().find(|member| member.node_id == node_id).map(|member| member.voter);
        if voter == Some(votes) { Ok(()) } else { Err(format!("{voter:?}")) }
    });
    heard.await.expect("it hears of it");
}

/// Whatever the admin socket is asked: at once an answer that needs no key, or why there is none.
async fn assert_says_that_it_is_sealed(table: &Table, local: &Channel) {
    let calls = table.iter().map(|(method, _)| call(local.clone(), method, EMPTY));
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for ((method, _), outcome) in table.iter().zip(join_all(calls).await) {
        match outcome.map_err(|status| (status.code(), status.message().to_owned())) {
            Ok(()) => {}
            Err((Code::InvalidArgument | Code::PermissionDenied, _)) => {}
            Err((Code::FailedPrecondition | Code::Unimplemented, _)) => {}
            Err((Code::Unavailable, text)) if text.contains("the server is sealed") => refused += 1,
            // It came back a moment ago.
            Err((Code::Unavailable, text)) if OUT_OF_TOUCH.iter().any(|why| text.contains(why)) => {}
            Err(other) => wrong.push(format!("{method}: {other:?}")),
        }
    }
    assert!(wrong.is_empty() && refused > 0, "{refused} refused; {}", wrong.join("\n"));
}

/// Where the table is ours alone it is not asked.
#[tokio::test]
async fn a_stock_server_has_the_same_table() {
    let Some(stock) = Binaries::stock() else { return };
    let cast = Cast::alone(&stock).await;
    let mut channels = cast.channels(0).await;
    channels.remove(LIMITED);
    let mut table = table();
    table.retain(|(method, _)| !method.starts_with("/steeple."));
    table.iter_mut().for_each(|(_, cells)| drop(cells.remove(LIMITED)));
    assert_answers("stock", &table, &channels, cast.message, |column, row| row[column].clone()).await;
}

/// A call for each cell; those of one caller at once.
async fn assert_answers(
    state: &str,
    table: &Table,
    channels: &BTreeMap<&'static str, Channel>,
    message: Message,
    in_state: impl Fn(&str, &Row) -> Answer,
) {
    let mut wrong = Vec::new();
    for (column, channel) in channels {
        let answers = join_all(table.iter().map(|(method, _)| ask(channel.clone(), method, message))).await;
        for ((method, cells), answer) in table.iter().zip(answers) {
            let expected = in_state(column, cells);
            if answer != expected {
                wrong.push(format!("{state}, {column}, {method}: {answer:?} instead of {expected:?}"));
            }
        }
    }
    let columns = table.first().map_or(0, |(_, cells)| cells.len());
    assert_eq!(columns, channels.len(), "a column that nobody plays");
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), columns * table.len(), wrong.join("\n"));
}

/// The table of the document.
fn table() -> Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authorization.md");
    let text = std::fs::read_to_string(file).expect("the document");
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let mut lines = text.lines().skip_while(|line| !line.starts_with("| method |"));
    let columns = cells(lines.next().expect("a head"));
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    rows.map(|row| {
        let cells = columns.iter().zip(&row).skip(1).map(|(column, cell)| (column.clone(), read_cell(cell)));
        (row[0].clone(), cells.collect())
    })
    .collect()
}

fn read_cell(text: &str) -> Answer {
    match text {
        "yes" => Answer::LetIn,
        "no" => Answer::Denied,
        "absent" => Answer::Absent,
        "–" => Answer::NoConnection,
        reason => {
            let name = format!("AGENT_{reason}");
            Answer::DeniedBecause(Reason::from_str_name(&name).unwrap_or_else(|| panic!("a cell says {reason:?}")))
        }
    }
}
