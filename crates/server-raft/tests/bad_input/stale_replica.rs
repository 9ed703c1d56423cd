//! What a replica tells that was cut off or paused: nothing of yesterday.

use std::time::Duration;

use steeple_api::server::bundle::{AppendBundleRequest, BatchCreateFederatedBundleRequest};
use steeple_api::types::{self, X509Certificate};
use steeple_testkit::{Cluster, Server, until};
use tonic::{Code, Status};

use crate::bench::{Bench, create};
use crate::replica_away::three;

/// Longer than any election here, and than a state may be told without a confirmation.
const SETTLED_MAX: Duration = Duration::from_secs(60);
const FOREIGN: &str = "other.test";

/// What three methods say of the state; `Unavailable` says nothing.
#[derive(Debug)]
struct Told {
    foreign: Result<types::Bundle, Status>,
    own: Result<types::Bundle, Status>,
    entries: Result<i32, Status>,
}

async fn ask(server: &Server) -> Told {
    let admin = server.admin();
    let (foreign, own, info) = tokio::join!(admin.federated_bundle(FOREIGN), admin.bundle(), admin.info());
    Told { foreign, own, entries: info.map(|info| info.entries_count) }
}

fn root(name: &str) -> Vec<X509Certificate> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    vec![X509Certificate { asn1: made.cert.der().to_vec(), tainted: false }]
}

/// Acknowledged by `server`: a bundle, a root of the own bundle, an entry.
async fn write(server: &Server) -> Vec<X509Certificate> {
    let late = root("late");
    let foreign =
        types::Bundle { trust_domain: FOREIGN.to_owned(), x509_authorities: root(FOREIGN), ..types::Bundle::default() };
    let request = BatchCreateFederatedBundleRequest { bundle: vec![foreign], output_mask: None };
    let answer = server.admin().bundles().batch_create_federated_bundle(request).await.expect("a bundle").into_inner();
    assert!(answer.results.iter().all(|result| result.status.as_ref().is_some_and(|status| status.code == 0)));
    let request = AppendBundleRequest { x509_authorities: late.clone(), ..AppendBundleRequest::default() };
    server.admin().bundles().append_bundle(request).await.expect("a root");
    create(server, "late").await;
    late
}

/// Each answer is whole, or there is none.
fn assert_nothing_old(told: &Told, late: &[X509Certificate]) {
    let is_silence =
        |status: &Status| matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded);
    match &told.foreign {
        Ok(bundle) => assert_eq!(bundle.x509_authorities.len(), 1),
        Err(status) => assert!(is_silence(status), "an acknowledged bundle: {status}"),
    }
    match &told.own {
        Ok(bundle) => assert!(bundle.x509_authorities.contains(&late[0]), "the bundle of yesterday"),
        Err(status) => assert!(is_silence(status), "{status}"),
    }
    match &told.entries {
        Ok(count) => assert_eq!(*count, 1, "a short count"),
        Err(status) => assert!(is_silence(status), "{status}"),
    }
}

async fn until_whole(server: &Server, late: &[X509Certificate]) {
    let whole = until("whole answers", SETTLED_MAX, async || {
        let told = ask(server).await;
        assert_nothing_old(&told, late);
        match told {
            Told { foreign: Ok(_), own: Ok(_), entries: Ok(_) } => Ok(()),
            told => Err(format!("{told:?}")),
        }
    });
    whole.await.expect("it follows again");
}

fn pause(cluster: &Cluster, position: usize) {
    cluster.servers[position].process().expect("it runs").pause();
}

fn resume(cluster: &Cluster, position: usize) {
    cluster.servers[position].process().expect("it runs").resume();
}

#[tokio::test]
async fn trap_a_replica_that_was_paused_and_is_cut_off_tells_nothing_of_yesterday() {
    let bench = Bench::new();
    let cluster = three(&bench).await;
    let old = cluster.follower().await.expect("a follower");
    pause(&cluster, old);
    let leader = cluster.leader().await.expect("a leader");
    let late = write(&cluster.servers[leader]).await;
    let others: Vec<usize> = (0..3).filter(|position| *position != old).collect();
    others.iter().for_each(|other| pause(&cluster, *other));
    resume(&cluster, old);
    let told = ask(&cluster.servers[old]).await;
    assert_nothing_old(&told, &late);
    assert!(told.foreign.is_err() && told.own.is_err() && told.entries.is_err(), "{told:?}");
    others.iter().for_each(|other| resume(&cluster, *other));
    until_whole(&cluster.servers[old], &late).await;
}

#[tokio::test]
async fn trap_a_leader_that_was_paused_tells_no_bundle_of_yesterday() {
    let bench = Bench::new();
    let cluster = three(&bench).await;
    let old = cluster.leader().await.expect("a leader");
    pause(&cluster, old);
    let next = until("another leader", SETTLED_MAX, async || {
        let leader = cluster.leader().await.map_err(|error| format!("{error:#}"))?;
        if leader == old { Err("the paused one".to_owned()) } else { Ok(leader) }
    });
    let next = next.await.expect("two of three elect one");
    let late = write(&cluster.servers[next]).await;
    // They are asked after all that was acknowledged, and answered as soon as the old leader goes on.
    let (told, ()) = tokio::join!(ask(&cluster.servers[old]), async { resume(&cluster, old) });
    assert_nothing_old(&told, &late);
    until_whole(&cluster.servers[old], &late).await;
}

#[tokio::test]
async fn a_replica_without_a_quorum_is_soon_unhealthy() {
    let bench = Bench::new();
    let cluster = three(&bench).await;
    let asked = cluster.follower().await.expect("a follower");
    let others: Vec<usize> = (0..3).filter(|position| *position != asked).collect();
    let until_healthy = async |expected: bool| {
        let told = until("the health check agrees", SETTLED_MAX, async || {
            let told = cluster.servers[asked].admin().is_serving().await;
            if told.as_ref().is_ok_and(|is_serving| *is_serving == expected) {
                Ok(())
            } else {
                Err(format!("{told:?}"))
            }
        });
        told.await.expect("it tells");
    };
    until_healthy(true).await;
    others.iter().for_each(|other| pause(&cluster, *other));
    until_healthy(false).await;
    others.iter().for_each(|other| resume(&cluster, *other));
    until_healthy(true).await;
}
