//! Trust domains of one server each, beside the cluster: what they suffer from would take the cluster along.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use steeple_api::server::bundle::BatchSetFederatedBundleRequest;
use steeple_testkit::{
    Binaries, ClusterRole, ExtraLines, Offset, Port, Server, ServerSpec, WallClock, preload_env, until,
};
use tokio::time::Instant;

use super::place::telemetry;

/// The least hint that is honoured: polls are 15 s apart.
const REFRESH_HINT_SECS: i64 = 60;
const FETCHED_MAX: Duration = Duration::from_secs(60);
/// The least that is allowed; what failed is tried again after as long.
const BACKUP_INTERVAL_SECS: u64 = 60;
/// Of the upstream root: less than the month before which somebody should know.
const ROOT_DAYS: i64 = 20;
const NEXT_ROOT_DAYS: i64 = 365;
const DAY_SECS: i64 = 24 * 3600;

pub(super) struct Neighbour {
    pub(super) name: &'static str,
    pub(super) server: Server,
    pub(super) clock: WallClock,
    metrics: Port,
}

impl Neighbour {
    pub(super) async fn start(
        binaries: &Binaries,
        dir: &Path,
        name: &'static str,
        clock: Option<Offset>,
        extra: ExtraLines,
    ) -> anyhow::Result<Self> {
        let (metrics, own) = (Port::reserve()?, dir.join(format!("preload-{name}")));
        std::fs::create_dir_all(&own)?;
        let wall = WallClock::new(&own)?;
        if let Some(offset) = clock {
            wall.set(offset)?;
        }
        let spec = ServerSpec {
            name: name.to_owned(),
            trust_domain: trust_domain(name),
            cluster: Some(ClusterRole { join: Vec::new(), sealing_key_path: own.join("sealing-key") }),
            x509pop_root: None,
            jwt_issuer: None,
            log_level: "INFO".to_owned(),
            env: preload_env(&[wall.preload()]),
        };
        let extra = ExtraLines { top: telemetry(&metrics), ..extra };
        let mut server = Server::start_with(binaries, dir, &spec, &extra)?;
        server.ready().await?;
        Ok(Self { name, server, clock: wall, metrics })
    }

    /// `host:port` of its metrics.
    pub(super) fn metrics(&self) -> String {
        self.metrics.address()
    }
}

fn trust_domain(name: &str) -> String {
    format!("{name}.test")
}

/// A server under an authority on disk, that takes backups.
pub(super) struct Kept {
    pub(super) neighbour: Neighbour,
    upstream: PathBuf,
    backups: PathBuf,
}

impl Kept {
    pub(super) async fn start(binaries: &Binaries, dir: &Path, clock: Offset) -> anyhow::Result<Self> {
        let (upstream, backups) = (dir.join("upstream"), dir.join("backups"));
        std::fs::create_dir(&upstream)?;
        std::fs::create_dir(&backups)?;
        write_root(&upstream, ROOT_DAYS)?;
        let extra = ExtraLines {
            cluster: format!("backup {{ dir = {backups:?} interval = \"{BACKUP_INTERVAL_SECS}s\" keep = 2 }}"),
            plugins: format!(
                "UpstreamAuthority \"disk\" {{ plugin_data {{ cert_file_path = {:?} key_file_path = {:?} }} }}",
                upstream.join(ROOT),
                upstream.join(ROOT_KEY)
            ),
            ..ExtraLines::default()
        };
        let neighbour = Neighbour::start(binaries, dir, "kept", Some(clock), extra).await?;
        Ok(Self { neighbour, upstream, backups })
    }

    /// A file appears when it is complete.
    pub(super) fn has_backup(&self) -> anyhow::Result<()> {
        let names = std::fs::read_dir(&self.backups)?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<_> = names.collect::<std::io::Result<_>>()?;
        ensure!(names.iter().any(|name| name.to_string_lossy().ends_with(".backup")), "there are {names:?}");
        Ok(())
    }

    /// The directory of the backups is gone, as a volume is that was not mounted.
    pub(super) fn lose_backups(&self) -> std::io::Result<()> {
        std::fs::rename(&self.backups, self.backups.with_extension("away"))
    }

    /// A directory again, and a root that lasts.
    pub(super) fn heal(&self) -> anyhow::Result<()> {
        std::fs::rename(self.backups.with_extension("away"), &self.backups)?;
        write_root(&self.upstream, NEXT_ROOT_DAYS)
    }
}

fn write_root(dir: &Path, days: i64) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "a root on disk");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::seconds(DAY_SECS);
    params.not_after = now + time::Duration::days(days);
    let root = params.self_signed(&key)?;
    std::fs::write(dir.join(ROOT_KEY), key.serialize_pem())?;
    std::fs::write(dir.join(ROOT), root.pem())?;
    Ok(())
}

const ROOT: &str = "root.pem";
const ROOT_KEY: &str = "root.key";

/// Two trust domains, of which one fetched the other's bundle, and the other one is gone.
pub(super) struct Federated {
    pub(super) east: Neighbour,
    pub(super) west: Neighbour,
    pub(super) gone_at: Instant,
}

impl Federated {
    pub(super) async fn start(binaries: &Binaries, dir: &Path) -> anyhow::Result<Self> {
        let endpoint = Port::reserve()?;
        let shown = ExtraLines {
            server: format!(
                "federation {{ bundle_endpoint {{ address = \"127.0.0.1\" port = {} refresh_hint = \
                 \"{REFRESH_HINT_SECS}s\" profile \"https_spiffe\" {{}} }} }}",
                endpoint.number()
            ),
            ..ExtraLines::default()
        };
        let mut west = Neighbour::start(binaries, dir, "west", None, shown).await?;
        let other = trust_domain("west");
        let followed = ExtraLines {
            server: format!(
                "federation {{ federates_with {other:?} {{ bundle_endpoint_url = \"https://{}/\" \
                 bundle_endpoint_profile \"https_spiffe\" {{ endpoint_spiffe_id = \"spiffe://{other}/spire/server\" \
                 }} }} }}",
                endpoint.address()
            ),
            ..ExtraLines::default()
        };
        let east = Neighbour::start(binaries, dir, "east", None, followed).await?;
        // By hand, as an operator does it once before https_spiffe can work.
        let bundle = west.server.admin().bundle().await?;
        let request = BatchSetFederatedBundleRequest { bundle: vec![bundle], output_mask: None };
        east.server.admin().bundles().batch_set_federated_bundle(request).await?;
        until("a bundle from the endpoint", FETCHED_MAX, async || {
            let hint = east.server.admin().federated_bundle(&other).await?.refresh_hint;
            // Only what the endpoint shows has one.
            ensure!(hint == REFRESH_HINT_SECS, "the hint is {hint}");
            anyhow::Ok(())
        })
        .await
        .context("federating")?;
        west.server.kill9().await?;
        Ok(Self { east, west, gone_at: Instant::now() })
    }

    pub(super) async fn heal(&mut self) -> anyhow::Result<()> {
        self.east.clock.set_right()?;
        self.west.server.launch()?;
        self.west.server.ready().await
    }
}
