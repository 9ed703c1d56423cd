//! A real nginx that is started with its first certificate and reloads with each one after it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use steeple_testkit::{Port, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{EVENT_MAX, STOP_MAX, World};

/// Some web client that trusts the bundle and nothing else.
#[derive(Clone)]
struct Client {
    address: String,
    tls: TlsConnector,
}

impl Client {
    fn new(world: &World, port: &Port) -> Self {
        let mut roots = RootCertStore::empty();
        for root in &world.fixture.bundle.x509_authorities {
            roots.add(CertificateDer::from(root.asn1.clone())).expect("a certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        // Each connection is a whole handshake.
        config.resumption = rustls::client::Resumption::disabled();
        Self { address: port.address(), tls: TlsConnector::from(Arc::new(config)) }
    }

    /// One connection, one request; returns the certificate that nginx showed.
    async fn get(&self) -> anyhow::Result<Vec<u8>> {
        let stream = TcpStream::connect(&self.address).await.context("connect")?;
        let name = ServerName::try_from("localhost")?;
        let mut stream = self.tls.connect(name, stream).await.context("handshake")?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).context("a certificate")?.to_vec();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.context("request")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.context("reply")?;
        ensure!(reply.ends_with("hello"), "{reply}");
        Ok(shown)
    }
}

/// Of the certificate that is in the file, which is never half of one.
fn leaf(world: &World) -> Vec<u8> {
    pem::parse(world.read("svid.pem")).expect("PEM").into_contents()
}

fn nginx() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = dirs.map(|dir| dir.join("nginx")).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("not run: there is no nginx");
    }
    found
}

#[tokio::test]
async fn nginx_serves_on_while_its_certificates_are_replaced() {
    let Some(nginx) = nginx() else { return };
    let world = World::new().await;
    let (dir, port) = (world.fixture.scratch.path(), Port::reserve().expect("a port"));
    let user = if nix::unistd::Uid::effective().is_root() { "user root;" } else { "" };
    let config = format!(
        "{user} daemon off; pid {dir}/nginx.pid; worker_processes 1; events {{ }}
         http {{
             access_log off;
             client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
             uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
             server {{
                 listen {address} ssl;
                 ssl_certificate {certs}/svid.pem;
                 ssl_certificate_key {certs}/svid.key;
                 location / {{ return 200 hello; }}
             }}
         }}",
        dir = dir.display(),
        address = port.address(),
        certs = world.certs.display(),
    );
    std::fs::write(dir.join("nginx.conf"), config).expect("a file");
    let mut helper = world.start(&format!(
        "cmd = \"{}\"\ncmd_args = \"-p {dir} -c {dir}/nginx.conf -e stderr\"\nrenew_signal = \"SIGHUP\"",
        nginx.display(),
        dir = dir.display(),
    ));
    let client = Client::new(&world, &port);
    until("nginx serves", EVENT_MAX, async || client.get().await).await.expect("its first SVID");

    // It goes on connecting, and no connection fails.
    let (stop, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let busy = tokio::spawn({
        let (client, stop, connections) = (client.clone(), Arc::clone(&stop), Arc::clone(&connections));
        async move {
            while !stop.load(Ordering::Relaxed) {
                client.get().await?;
                connections.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        }
    });
    for x509_svid_ttl in [1200, 1800, 2400] {
        let before = leaf(&world);
        world.rotate(x509_svid_ttl).await;
        // For a moment the processes from before and after the reload both answer.
        let replaced = until("nginx shows another SVID", EVENT_MAX, async || {
            let (shown, written) = (client.get().await?, leaf(&world));
            ensure!(written != before && shown == written, "still the one before");
            anyhow::Ok(())
        });
        replaced.await.expect("nginx reloads");
        let after = connections.load(Ordering::Relaxed) + 3;
        let goes_on = async || {
            let count = connections.load(Ordering::Relaxed);
            ensure!(count >= after || busy.is_finished(), "{count} connections");
            anyhow::Ok(())
        };
        until("the client goes on", EVENT_MAX, goes_on).await.expect("connections");
    }
    stop.store(true, Ordering::Relaxed);
    busy.await.expect("no panic").expect("no connection failed");

    // The group gets the signal, so nginx ends too.
    assert!(helper.terminate(STOP_MAX).await.expect("it ends").success());
    let gone = async || match client.get().await {
        Ok(_) => Err("nginx still serves"),
        Err(_) => Ok(()),
    };
    until("nginx ends", EVENT_MAX, gone).await.expect("it ends");
    world.fixture.stop().await.expect("an orderly end");
}
