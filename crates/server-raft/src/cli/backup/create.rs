//! `backup create`: from the server's stream to a backup that is there whole or not at all.

use std::io::Write as _;

use steeple_api::steeple::server::CreateBackupRequest;
use steeple_api::steeple::server::backup_client::BackupClient;
use steeple_cli::{Call, Context, Failure, Progress};
use steeple_core::{Timestamp, TrustDomain};
use tonic::transport::Channel;

use super::print::print_facts;
use super::spot::{clock, s3_settings};
use crate::backup::{self, Draft, Spot};

pub(super) async fn create(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let s3 = s3_settings(&call.values)?;
    let request = CreateBackupRequest { local: call.values.bool("local") };
    let mut client = BackupClient::new(channel).max_decoding_message_size(PART_BYTES_MAX);
    let mut parts = client.create(request).await.context("could not create a backup")?.into_inner();
    let mut progress = Progress::new("backup");
    let mut draft: Option<Draft> = None;
    while let Some(part) = parts.message().await.context("the backup broke off")? {
        if draft.is_none() {
            let path = match call.values.text_if_any("path") {
                Some(path) => path.to_owned(),
                None => default_path(&part.data)?,
            };
            let spot = Spot::open(&path, &s3, &clock()).await.map_err(Failure::message)?;
            draft = Some(Draft::create(spot, &std::env::temp_dir()).map_err(Failure::message)?);
        }
        if let Some(draft) = &mut draft {
            draft.write_all(&part.data)?;
        }
        progress.at(part.rows, part.rows_total);
    }
    drop(progress);
    let draft = draft.ok_or_else(|| Failure::message("the server sent no backup"))?;
    let kept = tokio::task::spawn_blocking(move || draft.keep()).await.map_err(Failure::message)?;
    call.print(&kept.map_err(Failure::message)?, |streams, facts| {
        writeln!(streams.stdout, "Backup written to {}.\n", facts.path)?;
        print_facts(&mut streams.stdout, facts)
    })
}

/// In the working directory, named by what the header says. The first part is far longer than that.
fn default_path(beginning: &[u8]) -> Result<String, Failure> {
    let reader = backup::BackupReader::begin(beginning).map_err(Failure::message)?;
    let header = reader.header();
    let trust_domain = TrustDomain::from_name(&header.trust_domain).map_err(Failure::message)?;
    Ok(backup::file_name(&trust_domain, Timestamp::from_ms(header.created_at_ms)))
}

/// A part has at most 1 MiB; anything longer comes from another program.
const PART_BYTES_MAX: usize = 4 << 20;
