//! Tells a plugin where our services are, over go-plugin's broker.

use futures::{StreamExt as _, stream};
use steeple_api::external::go_plugin::ConnInfo;
use steeple_api::external::go_plugin::grpc_broker_client::GrpcBrokerClient;
use tonic::transport::Channel;

/// What SPIRE's plugins ask for.
const HOST_SERVICES_ID: u32 = 1;

/// Runs until the plugin ends. The stream stays open: a plugin takes its end for that of the broker.
pub(super) async fn offer(channel: Channel, socket: String) {
    let info =
        ConnInfo { service_id: HOST_SERVICES_ID, network: "unix".to_owned(), address: socket, ..ConnInfo::default() };
    let once = stream::iter([info]).chain(stream::pending());
    // A plugin has nothing to tell us here, and is not held up if it does.
    if let Ok(answers) = GrpcBrokerClient::new(channel).start_stream(once).await {
        let mut answers = answers.into_inner();
        while let Ok(Some(_)) = answers.message().await {}
    }
}
