//! `api fetch x509` and `api fetch`.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{X509svidRequest, X509svidResponse};
use steeple_cli::{Call, Failure, Streams, pem_text, written};
use steeple_core::{Clock, Secret, SystemClock};
use steeple_files::{write_private_file, write_public_file};
use tonic::Status;
use tonic::transport::Channel;

use super::client::{time_limit, within};
use super::print::{Style, print_svids};
use crate::workload_api::with_security_header;
use crate::workload_client::{Certificate, Svids, first, parse_verified};

pub(super) async fn fetch(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let started = Instant::now();
    let response = within(time_limit(&call.values), first_svids(channel)).await?;
    let took = started.elapsed();
    let silent = call.values.bool("silent");
    let write = call.values.text_if_any("write").map(str::to_owned);
    call.print(&response, |streams, response| {
        let svids = parse_verified(response.clone(), SystemClock.now()).map_err(Failure::message)?;
        if !silent {
            print_svids(&mut streams.stdout, &svids, took, Style::Fetch)?;
        }
        match write {
            Some(directory) => write_files(streams, &svids, Path::new(&directory)),
            None => Ok(()),
        }
    })
}

async fn first_svids(channel: Channel) -> Result<X509svidResponse, Status> {
    let mut client = SpiffeWorkloadApiClient::new(channel);
    first(client.fetch_x509svid(with_security_header(X509svidRequest {})).await).await
}

fn write_files(streams: &mut Streams, svids: &Svids, directory: &Path) -> Result<(), Failure> {
    let out = &mut streams.stdout;
    for (at, svid) in svids.svids.iter().enumerate() {
        let path = directory.join(format!("svid.{at}.pem"));
        writeln!(out, "Writing SVID #{at} to file {}.", path.display())?;
        written(&path, write_public_file(&path, pem_of(&svid.chain).as_bytes()))?;

        let path = directory.join(format!("svid.{at}.key"));
        writeln!(out, "Writing key #{at} to file {}.", path.display())?;
        let key = Secret::new(pem_text("PRIVATE KEY", svid.key.expose()).into_bytes());
        written(&path, write_private_file(&path, key.expose()))?;

        let path = directory.join(format!("bundle.{at}.pem"));
        writeln!(out, "Writing bundle #{at} to file {}.", path.display())?;
        written(&path, write_public_file(&path, pem_of(&svid.bundle).as_bytes()))?;

        for (number, (trust_domain, bundle)) in svids.federated.iter().enumerate() {
            let path = directory.join(format!("federated_bundle.{at}.{number}.pem"));
            let shown = path.display();
            writeln!(out, "Writing federated bundle #{number} for trust domain {trust_domain} to file {shown}.")?;
            written(&path, write_public_file(&path, pem_of(bundle).as_bytes()))?;
        }
    }
    Ok(())
}

fn pem_of(certificates: &[Certificate]) -> String {
    certificates.iter().map(|certificate| pem_text("CERTIFICATE", &certificate.der)).collect()
}
