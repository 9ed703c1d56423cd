//! Entries: made in bulk, and waited for until agents may use them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_api::server::entry::BatchCreateEntryRequest;
use steeple_api::types;
use steeple_core::TrustDomain;
use steeple_testkit::{Admin, until};
use tokio::task::JoinSet;
use tonic::Code;

use crate::fleet::{Agent, Known, sync};
use crate::report::Progress;

/// An entry as loads need them: four selectors and a DNS name.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) path: String,
    pub(crate) parent: types::Spiffeid,
}

impl Wanted {
    pub(crate) fn entry(&self) -> types::Entry {
        let selectors = ["ns:load", "sa:load", "pod-label:app:load"].map(|value| ("k8s", value.to_owned()));
        let own = ("unix", format!("path:/opt{}", self.path));
        types::Entry {
            spiffe_id: Some(types::Spiffeid {
                trust_domain: self.parent.trust_domain.clone(),
                path: self.path.clone(),
            }),
            parent_id: Some(self.parent.clone()),
            selectors: selectors.into_iter().chain([own]).map(selector).collect(),
            dns_names: vec!["workload.load.test".to_owned()],
            ..types::Entry::default()
        }
    }

    /// An ID for all agents whose node certificate has the common name `name`.
    pub(crate) fn alias(trust_domain: &TrustDomain, path: &str, name: &str) -> types::Entry {
        let id =
            |path: &str| Some(types::Spiffeid { trust_domain: trust_domain.name().to_owned(), path: path.to_owned() });
        types::Entry {
            spiffe_id: id(path),
            parent_id: id("/spire/server"),
            selectors: vec![selector(("x509pop", format!("subject:cn:{name}")))],
            ..types::Entry::default()
        }
    }
}

fn selector((kind, value): (&str, String)) -> types::Selector {
    types::Selector { r#type: kind.to_owned(), value }
}

/// Creates `count` entries, in batches over several connections, and returns their ids in order.
pub(crate) async fn create_all(
    admin: impl Fn() -> anyhow::Result<Admin>,
    count: u64,
    entry: impl Fn(u64) -> types::Entry + Clone + Send + 'static,
    progress: &Arc<Progress>,
) -> anyhow::Result<Vec<String>> {
    progress.step(format!("creating {count} entries"), count);
    let batches = count.div_ceil(BATCH_ENTRIES);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS.min(batches) {
        let (admin, entry, progress) = (admin()?, entry.clone(), Arc::clone(progress));
        writers.spawn(async move {
            let mut created = Vec::new();
            for batch in (writer..batches).step_by(WRITERS as usize) {
                let numbers = batch * BATCH_ENTRIES..((batch + 1) * BATCH_ENTRIES).min(count);
                let ids = batch_create(&admin, numbers.map(&entry).collect()).await?;
                progress.add(ids.len() as u64);
                created.push((batch, ids));
            }
            anyhow::Ok(created)
        });
    }
    let mut created = Vec::new();
    while let Some(done) = writers.join_next().await {
        created.extend(done??);
    }
    created.sort_unstable_by_key(|(batch, _)| *batch);
    Ok(created.into_iter().flat_map(|(_, ids)| ids).collect())
}

/// One call. The server has to accept all of them.
pub(crate) async fn batch_create(admin: &Admin, entries: Vec<types::Entry>) -> anyhow::Result<Vec<String>> {
    let request = BatchCreateEntryRequest { entries, output_mask: Some(types::EntryMask::default()) };
    let response = admin.entries().batch_create_entry(request).await.context("creating entries")?.into_inner();
    let mut ids = Vec::with_capacity(response.results.len());
    for result in response.results {
        let status = result.status.unwrap_or_default();
        ensure!(status.code == Code::Ok as i32, "an entry was refused: {} (code {})", status.message, status.code);
        ids.push(result.entry.context("a created entry was not returned")?.id);
    }
    Ok(ids)
}

/// Waits until a server that reloads its entries now and then lets every agent have `entries` of them.
pub(crate) async fn until_authorized(agents: &[Arc<Agent>], entries: usize, progress: &Progress) -> anyhow::Result<()> {
    progress.step("waiting until agents see their entries", agents.len() as u64);
    for agent in agents {
        until("an agent sees its entries", AUTHORIZED_MAX, async || {
            let seen = sync(&agent.channel(), &mut Known::new()).await?.entries;
            ensure!(seen == entries, "{seen} of {entries}");
            anyhow::Ok(())
        })
        .await?;
        progress.add(1);
    }
    Ok(())
}

/// Far below a message's limit.
const BATCH_ENTRIES: u64 = 500;
/// Each over its own connection.
const WRITERS: u64 = 8;
/// SPIRE reloads every five seconds, and takes its time with many entries.
const AUTHORIZED_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_parent_differ_in_their_selectors() {
        let parent = types::Spiffeid { trust_domain: "x.test".to_owned(), path: "/node".to_owned() };
        let of = |path: &str| Wanted { path: path.to_owned(), parent: parent.clone() }.entry();
        assert_eq!(of("/a").selectors.len(), 4);
        assert_ne!(of("/a").selectors, of("/b").selectors);
        assert_eq!(of("/a").spiffe_id.unwrap().path, "/a");
    }
}
