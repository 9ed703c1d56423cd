//! `bundle show|list|set|delete|count`.

use std::io::Write;

use steeple_api::server::bundle::batch_delete_federated_bundle_request::Mode;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::bundle::{
    BatchDeleteFederatedBundleRequest, BatchSetFederatedBundleRequest, CountBundlesRequest, GetBundleRequest,
    GetFederatedBundleRequest, ListFederatedBundlesRequest, ListFederatedBundlesResponse,
};
use steeple_cli::{Call, Command, Context, Failure, Flag, Help};
use tonic::transport::Channel;

use super::Action;
use super::bundle_data::{bundle_format, parse_bundle, print_bundle};
use super::reply::{is_ok, message};
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "bundle count",
        synopsis: "Counts bundles, the server's own included",
        help: Help::spire("Counts bundles, the own one included.", &[("Count them", "steeple-server bundle count")]),
        flags: &[COMMON_FLAGS],
        action: remote!(count),
    },
    Command {
        path: "bundle delete",
        synopsis: "Deletes a federated bundle",
        help: Help::spire(
            "Deletes the bundle of another trust domain. Entries that federate with it keep that from happening, \
             unless -mode says what becomes of them.",
            &[
                ("If no entry needs it", "steeple-server bundle delete -id spiffe://other.test"),
                ("And take it out of entries", "steeple-server bundle delete -id spiffe://other.test -mode dissociate"),
            ],
        ),
        flags: &[COMMON_FLAGS, &[ID, Flag::text_or("mode", "restrict", MODE_HELP)]],
        action: remote!(delete),
    },
    Command {
        path: "bundle list",
        synopsis: "Prints federated bundles",
        help: Help::spire(
            "Prints the bundles of other trust domains.",
            &[
                ("All, as PEM", "steeple-server bundle list"),
                ("One, as a SPIFFE bundle", "steeple-server bundle list -id spiffe://other.test -format spiffe"),
            ],
        ),
        flags: &[COMMON_FLAGS, &[ID, FORMAT]],
        action: remote!(list),
    },
    Command {
        path: "bundle set",
        synopsis: "Creates or replaces a federated bundle",
        help: Help::spire(
            "Creates or replaces the bundle of another trust domain, for federation without an endpoint, or for its \
             first bundle.",
            &[
                ("From a file", "steeple-server bundle set -id spiffe://other.test -format spiffe -path other.bundle"),
                (
                    "From another server",
                    "ssh other spire-server bundle show -format spiffe | steeple-server bundle set -id \
                     spiffe://other.test -format spiffe",
                ),
            ],
        ),
        flags: &[COMMON_FLAGS, &[ID, FORMAT, Flag::text("path", "File with the bundle; standard input when absent")]],
        action: remote!(set),
    },
    Command {
        path: "bundle show",
        synopsis: "Prints the server's own bundle, which agents are bootstrapped with",
        help: Help::spire(
            "Prints the server's own bundle, which agents are bootstrapped with and other trust domains trust.",
            &[
                ("For agents", "steeple-server bundle show > bundle.pem"),
                ("For another trust domain", "steeple-server bundle show -format spiffe > example.org.bundle"),
            ],
        ),
        flags: &[COMMON_FLAGS, &[FORMAT]],
        action: remote!(show),
    },
];

const ID: Flag = Flag::text("id", "The trust domain of the bundle");
const FORMAT: Flag = Flag::text_or("format", "pem", "Form of the bundle: pem or spiffe");
const MODE_HELP: &str = "What happens to entries that federate with it: restrict (refuse), dissociate or delete";

async fn show(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let format = call.values.text("format").to_owned();
    let bundle = BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await?.into_inner();
    call.print(&bundle, |streams, bundle| print_bundle(&mut streams.stdout, bundle, bundle_format(&format)?))
}

async fn list(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let format = call.values.text("format").to_owned();
    let mut client = BundleClient::new(channel);
    if let Some(id) = call.values.text_if_any("id").map(str::to_owned) {
        let request = GetFederatedBundleRequest { trust_domain: id, output_mask: None };
        let bundle = client.get_federated_bundle(request).await?.into_inner();
        return call
            .print(&bundle, |streams, bundle| print_bundle(&mut streams.stdout, bundle, bundle_format(&format)?));
    }
    let mut all = ListFederatedBundlesResponse::default();
    let mut page_token = String::new();
    loop {
        let request = ListFederatedBundlesRequest { output_mask: None, page_size: PAGE_BUNDLES, page_token };
        let page = client.list_federated_bundles(request).await?.into_inner();
        all.bundles.extend(page.bundles);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    call.print(&all, |streams, all| {
        let out = &mut streams.stdout;
        let format = bundle_format(&format)?;
        for (at, bundle) in all.bundles.iter().enumerate() {
            let (gap, line) = (if at == 0 { "" } else { "\n" }, "*".repeat(40));
            writeln!(out, "{gap}{line}\n* {}\n{line}", bundle.trust_domain)?;
            print_bundle(out, bundle, format)?;
        }
        Ok(())
    })
}

async fn set(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let id = call.values.text_if_any("id").ok_or_else(|| Failure::message("id flag is required"))?.to_owned();
    let format = bundle_format(call.values.text("format"))?;
    let path = call.values.text("path").to_owned();
    let data = call.read(&path, "").context("unable to load bundle data")?;
    let request = BatchSetFederatedBundleRequest { bundle: vec![parse_bundle(&id, &data, format)?], output_mask: None };
    let response = BundleClient::new(channel).batch_set_federated_bundle(request).await;
    let response = response.context("failed to set federated bundle")?.into_inner();
    call.print(&response, |streams, response| {
        let status = response.results.first().and_then(|result| result.status.as_ref());
        if !is_ok(status) {
            return Err(Failure::Message(format!("failed to set federated bundle: {}", message(status.cloned()))));
        }
        Ok(writeln!(streams.stdout, "bundle set.")?)
    })
}

async fn delete(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let id = call.values.text_if_any("id").ok_or_else(|| Failure::message("id is required"))?.to_owned();
    let mode = match call.values.text("mode") {
        "" | "restrict" => Mode::Restrict,
        "dissociate" => Mode::Dissociate,
        "delete" => Mode::Delete,
        other => return Err(Failure::Message(format!("unsupported mode {other:?}"))),
    };
    let request = BatchDeleteFederatedBundleRequest { trust_domains: vec![id], mode: mode.into() };
    let response = BundleClient::new(channel).batch_delete_federated_bundle(request).await;
    let response = response.context("failed to delete federated bundle")?.into_inner();
    call.print(&response, |streams, response| {
        for result in &response.results {
            if !is_ok(result.status.as_ref()) {
                let (id, reason) = (&result.trust_domain, message(result.status.clone()));
                return Err(Failure::Message(format!("failed to delete federated bundle {id:?}: {reason}")));
            }
        }
        Ok(writeln!(streams.stdout, "bundle deleted.")?)
    })
}

async fn count(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = BundleClient::new(channel).count_bundles(CountBundlesRequest {}).await?.into_inner();
    call.print(&response, |streams, response| {
        let bundles = if response.count == 1 { "bundle" } else { "bundles" };
        Ok(writeln!(streams.stdout, "{} {bundles}", response.count)?)
    })
}

/// A bundle may hold dozens of authorities of 2 KiB each, and a message 4 MiB.
const PAGE_BUNDLES: i32 = 50;
