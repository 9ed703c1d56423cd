//! `ca plan`.

use std::io::Write;

use steeple_api::steeple::server::AuthorityPlanRequest;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_cli::{Call, Context, Failure, parse_rfc3339, utc_time};
use tonic::transport::Channel;

use super::status::print_stale;
use crate::cli::columns::print_table;

pub(super) async fn plan(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = AuthorityPlanRequest { until: until(call.values.text("until"))?, allow_stale: true };
    let response = AuthoritiesClient::new(channel).plan(request).await;
    let response = response.context("could not get the plan")?.into_inner();
    call.print(&response, |streams, response| {
        print_stale(&mut streams.stdout, response.stale)?;
        let header = ["AT", "KIND", "ACTION", "AUTHORITY ID", "NOT AFTER"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(response.steps.iter().map(|step| {
            let (kind, action, id) = (step.kind.clone(), step.action.clone(), step.authority_id.clone());
            [utc_time(step.at), kind, action, id, utc_time(step.not_after)]
        }));
        print_table(&mut streams.stdout, &rows)?;
        writeln!(
            streams.stdout,
            "\nprepare: made and published; it waits for acknowledgements, at most until `activate`."
        )?;
        writeln!(streams.stdout, "activate: it signs, and the one before is retired: it verifies only.")?;
        writeln!(streams.stdout, "forget: out of the bundle, a day after its end.")?;
        Ok(writeln!(streams.stdout, "\nComplete until {}.", utc_time(response.complete_until))?)
    })
}

/// Unix seconds; 0 leaves the choice to the server.
fn until(text: &str) -> Result<i64, Failure> {
    if text.is_empty() {
        return Ok(0);
    }
    let midnight = || parse_rfc3339(&format!("{text}T00:00:00Z"));
    parse_rfc3339(text).or_else(midnight).ok_or_else(|| {
        Failure::message(format!("-until {text:?} is neither a date such as 2027-12-31 nor a time as in RFC 3339"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_or_a_time() {
        assert_eq!(until("").unwrap(), 0);
        assert_eq!(until("2027-12-31").unwrap(), 1_830_211_200);
        assert_eq!(until("2027-12-31T01:00:00+01:00").unwrap(), 1_830_211_200);
        assert!(until("tomorrow").unwrap_err().to_string().contains("2027-12-31"));
    }
}
