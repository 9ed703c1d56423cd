//! `spire.api.server.svid.v1.SVID`.

use steeple_api::server::svid::*;
use steeple_ca::Csr;
use steeple_core::Timestamp;
use steeple_telemetry::log::Fields;

use super::{Facts, decoded, items, put, put_hash, put_id, put_some};

pub(super) fn facts(method: &str, asked: &[u8], answered: &[u8]) -> Facts {
    let mut fields = Fields::new();
    let known = &mut fields;
    match method {
        "SVID/MintX509SVID" => {
            let request = decoded::<MintX509svidRequest>(asked);
            put_hash(known, "csr", &request.csr);
            put(known, "ttl", i64::from(request.ttl));
            if let Some(svid) = decoded::<MintX509svidResponse>(answered).svid {
                put_id(known, "spiffe_id", svid.id.as_ref());
                // Of minted SVIDs SPIRE records the date, of those for agents the seconds.
                put(known, "expires_at", Timestamp::from_secs(svid.expires_at).to_string());
                if let Ok(csr) = Csr::parse(&request.csr) {
                    put(known, "dns_name", csr.dns_names.join(","));
                    put(known, "subject", csr.subject.unwrap_or_default().to_string());
                }
            }
        }
        "SVID/MintJWTSVID" => {
            let request = decoded::<MintJwtsvidRequest>(asked);
            put_id(known, "spiffe_id", request.id.as_ref());
            put_some(known, "audience", &request.audience.join(","));
            put(known, "ttl", i64::from(request.ttl));
        }
        "SVID/MintWITSVID" => {
            let request = decoded::<MintWitsvidRequest>(asked);
            put_id(known, "spiffe_id", request.id.as_ref());
            put(known, "ttl", i64::from(request.ttl));
        }
        "SVID/BatchNewX509SVID" => {
            let asked = decoded::<BatchNewX509svidRequest>(asked).params;
            let answered = decoded::<BatchNewX509svidResponse>(answered).results;
            return items(asked, answered, |param, result| {
                let mut fields = Fields::new();
                put_some(&mut fields, "entry_id", &param.entry_id);
                put_hash(&mut fields, "csr", &param.csr);
                if let Some(svid) = &result.svid {
                    put_id(&mut fields, "spiffe_id", svid.id.as_ref());
                    put(&mut fields, "expires_at", svid.expires_at);
                }
                (fields, result.status.clone())
            });
        }
        "SVID/NewJWTSVID" => {
            let request = decoded::<NewJwtsvidRequest>(asked);
            put_some(known, "entry_id", &request.entry_id);
            put_some(known, "audience", &request.audience.join(","));
            if let Some(svid) = decoded::<NewJwtsvidResponse>(answered).svid {
                put_id(known, "spiffe_id", svid.id.as_ref());
                put(known, "expires_at", svid.expires_at);
            }
        }
        "SVID/BatchNewWITSVID" => {
            let asked = decoded::<BatchNewWitsvidRequest>(asked).params;
            let answered = decoded::<BatchNewWitsvidResponse>(answered).results;
            return items(asked, answered, |param, result| {
                let mut fields = Fields::new();
                put_some(&mut fields, "entry_id", &param.entry_id);
                if let Some(svid) = &result.svid {
                    put_id(&mut fields, "spiffe_id", svid.id.as_ref());
                    put(&mut fields, "expires_at", svid.expires_at);
                }
                (fields, result.status.clone())
            });
        }
        "SVID/NewDownstreamX509CA" => put_hash(known, "csr", &decoded::<NewDownstreamX509caRequest>(asked).csr),
        _ => {}
    }
    Facts::Call(fields)
}
