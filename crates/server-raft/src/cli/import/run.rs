//! `import`: reads and plans here, asks what would happen to every record, and only then has them written.

use std::path::{Path, PathBuf};

use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::types;
use steeple_cli::{Call, Context, Failure};
use steeple_core::{Clock as _, SystemClock, TrustDomain};
use steeple_import::{KeyFile, PostgresOptions, Source, plan};
use tonic::transport::Channel;

use super::report::Report;
use super::send::Sender;
use crate::cli::offline::required;

pub(super) async fn import(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let trust_domain = trust_domain(channel.clone()).await?;
    let source: Source = required(&call.values, "from", "a datastore")?.parse().map_err(Failure::message)?;
    let key_files = call.values.texts("keys").iter().map(|path| KeyFile::read(Path::new(path)));
    let key_files = key_files.collect::<Result<Vec<_>, _>>().map_err(Failure::message)?;
    let options = PostgresOptions {
        password: call.environment.get("PGPASSWORD").map(str::to_owned),
        root_ca_path: call.values.text_if_any("rootCAPath").map(PathBuf::from),
    };
    let database = source.read(&options).await.map_err(Failure::message)?;
    let mut report = Report::of(&source, &database, &trust_domain);
    let plan = plan(database, &key_files, &trust_domain, SystemClock.now()).map_err(Failure::message)?;
    report.leave_behind(&plan);

    let dry_run = call.values.bool("dry-run");
    let sender = Sender::new(channel, &trust_domain, plan);
    sender.send(true, &mut report).await?;
    let allowed = !report.in_use || call.values.bool("allowInUse");
    if !dry_run && report.conflicts.is_empty() && allowed && report.has_work() {
        report.begin_writing();
        sender.send(false, &mut report).await.context(BROKEN_OFF)?;
    }
    report.print(call)?;
    match report.conflicts.len() {
        0 if dry_run || allowed => Ok(()),
        0 => Err(Failure::message(IN_USE)),
        count => Err(Failure::Message(format!("{count} {CONFLICTS}"))),
    }
}

/// Of the server that is asked.
pub(super) async fn trust_domain(channel: Channel) -> Result<TrustDomain, Failure> {
    let request = GetBundleRequest { output_mask: Some(types::BundleMask::default()) };
    let bundle = BundleClient::new(channel).get_bundle(request).await;
    let bundle = bundle.context("could not ask the server for its trust domain")?.into_inner();
    TrustDomain::from_name(&bundle.trust_domain).map_err(Failure::message)
}

const BROKEN_OFF: &str = "the import broke off: repeat it, what was written is recognised";
const CONFLICTS: &str = "records are in conflict with what is here, and nothing was written: change or delete the ones \
                         here or there, and repeat the import";
const IN_USE: &str = "another program has the datastore open, so nothing was written: stop the old servers first, or \
                      give -allowInUse when you know that they change nothing any more";
