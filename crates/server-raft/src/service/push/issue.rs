//! Signing on the stream: the same checks, limits, forwarding and audit records as for the calls that it stands for.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use steeple_api::server::svid::{
    BatchNewX509svidRequest, BatchNewX509svidResponse, NewJwtsvidRequest, NewJwtsvidResponse, NewX509svidParams,
};
use steeple_api::status::{ok, status_of};
use steeple_api::steeple::agent::from_server::Kind;
use steeple_api::steeple::agent::{Issue, Issued, issue, issued};
use steeple_api::types;
use tonic::Status;

use super::codec::encoded;
use crate::authz::Authorized;
use crate::service::SvidService;

/// As many results as were asked for, in the same order.
pub async fn answer(svids: Arc<SvidService>, caller: Authorized, asked: Issue) -> Bytes {
    let Issue { request_id, x509, jwt } = asked;
    let (x509, jwt) = tokio::join!(x509_svids(&svids, &caller, x509), jwt_svids(&svids, &caller, jwt));
    encoded(Kind::Issued(Issued { request_id, x509, jwt }))
}

async fn x509_svids(svids: &SvidService, caller: &Authorized, asked: Vec<issue::X509>) -> Vec<issued::X509> {
    let count = asked.len();
    if count == 0 {
        return Vec::new();
    }
    let wish = |wish: issue::X509| NewX509svidParams { entry_id: wish.entry_id, csr: wish.csr };
    let params: Vec<_> = asked.into_iter().map(wish).collect();
    let audit = svids.shared.audit.as_ref();
    let on_record = audit.map(|audit| (audit, BatchNewX509svidRequest { params: params.clone() }));
    let mut signed = match caller.pay_as(X509_METHOD, count).await {
        Ok(()) => svids.x509_for_agent(caller, params).await,
        Err(refused) => Err(refused),
    };
    if let Some((audit, request)) = on_record {
        let answer = |results: &Vec<_>| BatchNewX509svidResponse { results: results.clone() }.encode_to_vec();
        let recorded = audit.record(X509_METHOD, caller, &request, signed.as_ref().map(answer)).await;
        signed = recorded.and(signed);
    }
    match signed {
        Ok(results) => {
            results.into_iter().map(|result| issued::X509 { status: result.status, svid: result.svid }).collect()
        }
        Err(status) => vec![issued::X509 { status: Some(item(&status)), svid: None }; count],
    }
}

async fn jwt_svids(svids: &SvidService, caller: &Authorized, asked: Vec<issue::Jwt>) -> Vec<issued::Jwt> {
    if asked.len() > JWTS_MAX {
        let status = status_of(tonic::Code::InvalidArgument, format!("more than {JWTS_MAX} JWT-SVIDs at once"));
        return vec![issued::Jwt { status: Some(status), svid: None }; asked.len()];
    }
    let mut results = Vec::with_capacity(asked.len());
    for wish in asked {
        let request = NewJwtsvidRequest { entry_id: wish.entry_id, audience: wish.audience };
        let on_record = svids.shared.audit.as_ref().map(|audit| (audit, request.clone()));
        let mut signed = match caller.pay_as(JWT_METHOD, 1).await {
            Ok(()) => svids.jwt_for_agent(caller, request).await,
            Err(refused) => Err(refused),
        };
        if let Some((audit, request)) = on_record {
            let answer = |svid: &types::Jwtsvid| NewJwtsvidResponse { svid: Some(svid.clone()) }.encode_to_vec();
            let recorded = audit.record(JWT_METHOD, caller, &request, signed.as_ref().map(answer)).await;
            signed = recorded.and(signed);
        }
        results.push(match signed {
            Ok(svid) => issued::Jwt { status: Some(ok()), svid: Some(svid) },
            Err(status) => issued::Jwt { status: Some(item(&status)), svid: None },
        });
    }
    results
}

fn item(status: &Status) -> types::Status {
    status_of(status.code(), status.message())
}

const X509_METHOD: &str = "/spire.api.server.svid.v1.SVID/BatchNewX509SVID";
const JWT_METHOD: &str = "/spire.api.server.svid.v1.SVID/NewJWTSVID";
/// A second's worth, as the burst of X.509-SVIDs is.
const JWTS_MAX: usize = 500;
