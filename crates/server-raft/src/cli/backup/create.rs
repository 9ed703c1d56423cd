//! `backup create`: from the server's stream to a file that is there whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use steeple_api::steeple::backup::Facts;
use steeple_api::steeple::server::CreateBackupRequest;
use steeple_api::steeple::server::backup_client::BackupClient;
use steeple_cli::{Call, Context, Failure, Progress};
use steeple_core::{Timestamp, TrustDomain};
use steeple_files::NewFile;
use tonic::transport::Channel;

use super::print::print_facts;
use crate::backup;

pub(super) async fn create(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = CreateBackupRequest { local: call.values.bool("local") };
    let mut client = BackupClient::new(channel).max_decoding_message_size(PART_BYTES_MAX);
    let mut parts = client.create(request).await.context("could not create a backup")?.into_inner();
    let mut progress = Progress::new("backup");
    let mut target: Option<(PathBuf, NewFile)> = None;
    while let Some(part) = parts.message().await.context("the backup broke off")? {
        if target.is_none() {
            let path = match call.values.text_if_any("path") {
                Some(path) => PathBuf::from(path),
                None => default_path(&part.data)?,
            };
            let file = NewFile::create(&path)?;
            target = Some((path, file));
        }
        if let Some((_, file)) = &mut target {
            file.write_all(&part.data)?;
        }
        progress.at(part.rows, part.rows_total);
    }
    drop(progress);
    let (path, mut file) = target.ok_or_else(|| Failure::message("the server sent no backup"))?;
    // What was written is read again before it is called a backup.
    let facts = backup::facts(std::io::BufReader::new(file.written()?)).map_err(Failure::message)?;
    file.keep()?;
    let facts = Facts { path: path.display().to_string(), ..facts };
    call.print(&facts, |streams, facts| {
        writeln!(streams.stdout, "Backup written to {}.\n", facts.path)?;
        print_facts(&mut streams.stdout, facts)
    })
}

/// In the working directory, named by what the header says. The first part is far longer than that.
fn default_path(beginning: &[u8]) -> Result<PathBuf, Failure> {
    let reader = backup::BackupReader::begin(beginning).map_err(Failure::message)?;
    let header = reader.header();
    let trust_domain = TrustDomain::from_name(&header.trust_domain).map_err(Failure::message)?;
    let name = backup::file_name(&trust_domain, Timestamp::from_ms(header.created_at_ms));
    Ok(Path::new(&name).to_owned())
}

/// A part has at most 1 MiB; anything longer comes from another program.
const PART_BYTES_MAX: usize = 4 << 20;
