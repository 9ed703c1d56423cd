//! The certificate authority is tainted and revoked while an agent's connection is open.

use steeple_api::server::localauthority::{
    ActivateX509AuthorityRequest, GetX509AuthorityStateRequest, PrepareX509AuthorityRequest,
    RevokeX509AuthorityRequest, TaintX509AuthorityRequest,
};
use steeple_testkit::{Binaries, until};

use crate::every_caller::Cast;
use crate::question::{Answer, EMPTY, ask};
use crate::site::READY_MAX;

const AGENT_CALL: &str = "/spire.api.server.agent.v1.Agent/PostStatus";
const ANYBODYS_CALL: &str = "/spire.api.server.bundle.v1.Bundle/GetBundle";

/// A handshake asks who vouches for a certificate, and an open connection is not asked again until its age is over:
/// of our server and, where it is named, of a stock one.
#[tokio::test]
async fn a_revoked_authority_opens_no_connection_and_ends_none() {
    let ours = Binaries { server: env!("CARGO_BIN_EXE_steeple-server").into(), agent: std::path::PathBuf::new() };
    for binaries in [Some(ours), Binaries::stock()].into_iter().flatten() {
        let cast = Cast::alone(&binaries).await;
        let server = &cast.cluster.servers[0];
        let address = server.api_address();
        let open = cast.channel_of("agent", &address);
        assert_eq!(ask(open.clone(), AGENT_CALL, EMPTY).await, Answer::LetIn);

        let mut authorities = server.admin().local_authorities();
        let state = authorities.get_x509_authority_state(GetX509AuthorityStateRequest {}).await.expect("a state");
        let old = state.into_inner().active.expect("an authority").authority_id;
        let prepared = authorities.prepare_x509_authority(PrepareX509AuthorityRequest {}).await.expect("an authority");
        let authority_id = prepared.into_inner().prepared_authority.expect("it is told").authority_id;
        let activate = ActivateX509AuthorityRequest { authority_id };
        authorities.activate_x509_authority(activate).await.expect("it signs");
        let taint = TaintX509AuthorityRequest { authority_id: old.clone() };
        authorities.taint_x509_authority(taint).await.expect("it is tainted");
        // The server may show an SVID of the new authority from here on.
        cast.trust_anew(server.admin()).await;
        assert_eq!(ask(open.clone(), AGENT_CALL, EMPTY).await, Answer::LetIn);
        assert_eq!(ask(cast.channel_of("agent", &address), AGENT_CALL, EMPTY).await, Answer::LetIn, "it may move on");

        authorities.revoke_x509_authority(RevokeX509AuthorityRequest { authority_id: old }).await.expect("it goes");
        cast.trust_anew(server.admin()).await;
        let shown = until("the server shows an SVID of the new authority", READY_MAX, async || {
            match ask(cast.channel_of("nobody", &address), ANYBODYS_CALL, EMPTY).await {
                Answer::LetIn => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        shown.await.expect("it does");
        let refused = until("the revoked authority vouches for nobody", READY_MAX, async || {
            match ask(cast.channel_of("agent", &address), AGENT_CALL, EMPTY).await {
                Answer::NoConnection => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        refused.await.expect("a new connection is refused");
        assert_eq!(ask(open, AGENT_CALL, EMPTY).await, Answer::LetIn, "an open one is not asked again");
    }
}
