//! Names that nobody knows, asked of gRPC reflection.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorProto;
use steeple_testkit::{Binaries, Fixture};
use steeple_transport::client::uds_channel;
use tonic::Code;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ExtensionRequest, ServerReflectionRequest};
use tonic_reflection::pb::v1alpha;

/// On one stream each, to our agent and to a stock one where it is named.
#[tokio::test]
async fn unknown_names_are_an_answer_and_reflection_goes_on() {
    let programs = [Some(Binaries::find().expect("the programs")), Binaries::stock()];
    for binaries in programs.into_iter().flatten() {
        let fixture = Fixture::of(&binaries, &[]).await.expect("a server and an agent");
        let channel = uds_channel(&fixture.agent.socket());
        assert_goes_on(channel.clone()).await;
        assert_former_name_goes_on(channel).await;
        fixture.stop().await.expect("an orderly end");
    }
}

async fn assert_goes_on(channel: Channel) {
    let known = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("SpiffeWorkloadAPI.FetchX509SVID".to_owned()),
        // Once more: what the client has is not sent again, but for what it asks for by name.
        MessageRequest::FileContainingSymbol("X509SVIDResponse".to_owned()),
        MessageRequest::AllExtensionNumbersOfType("X509SVIDResponse".to_owned()),
    ];
    let extension = |containing_type: &str| ExtensionRequest {
        containing_type: containing_type.to_owned(),
        extension_number: 12_345,
    };
    let unknown = [
        MessageRequest::FileContainingSymbol("nope.Nothing".to_owned()),
        MessageRequest::FileContainingSymbol("SpiffeWorkloadAPI.Nothing".to_owned()),
        MessageRequest::FileByFilename("nope.proto".to_owned()),
        MessageRequest::FileContainingExtension(extension("nope.Nothing")),
        MessageRequest::FileContainingExtension(extension("X509SVIDResponse")),
        MessageRequest::AllExtensionNumbersOfType("nope.Nothing".to_owned()),
    ];
    let asked: Vec<_> = unknown.iter().chain(&known).cloned().map(request).collect();
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers =
        client.server_reflection_info(futures::stream::iter(asked.clone())).await.expect("a stream").into_inner();
    for request in &asked[..unknown.len()] {
        let answer = answers.message().await.expect("the stream goes on").expect("an answer");
        assert_eq!(answer.original_request.as_ref(), Some(request));
        let Some(MessageResponse::ErrorResponse(error)) = answer.message_response else {
            panic!("{request:?}: {:?}", answer.message_response);
        };
        // Of which space it is protobuf-go makes a secret.
        let text = error.error_message.replace('\u{a0}', " ");
        assert_eq!((error.error_code, text.as_str()), (Code::NotFound as i32, "proto: not found"), "{request:?}");
    }
    let mut next = async || answers.message().await.expect("the stream goes on").expect("an answer").message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = next().await else { panic!("no list") };
    let names: BTreeSet<_> = listed.service.into_iter().map(|service| service.name).collect();
    let offered = [
        "SpiffeWorkloadAPI",
        "envoy.service.secret.v3.SecretDiscoveryService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    assert_eq!(names, offered.map(str::to_owned).into());
    let first = files(next().await);
    assert!(first.len() > 1 && first[0].service[0].name() == "SpiffeWorkloadAPI", "{first:?}");
    let imports: BTreeSet<_> = first[1..].iter().map(|file| file.name().to_owned()).collect();
    assert_eq!(imports, first[0].dependency.iter().cloned().collect());
    let again = files(next().await);
    assert!(again.len() == 1 && again[0].name() == first[0].name(), "{again:?}");
    let Some(MessageResponse::AllExtensionNumbersResponse(none)) = next().await else { panic!("no numbers") };
    assert_eq!((none.base_type_name.as_str(), none.extension_number.len()), ("X509SVIDResponse", 0));
    assert!(answers.message().await.expect("an orderly end").is_none());

    let nothing = ServerReflectionRequest::default();
    // The refusal may come in place of a stream.
    let status = match client.server_reflection_info(futures::stream::iter([nothing])).await {
        Ok(answers) => answers.into_inner().message().await.expect_err("that is no question"),
        Err(status) => status,
    };
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "invalid MessageRequest: <nil>"));
}

/// By which `grpcurl` asks where the new name is unknown.
async fn assert_former_name_goes_on(channel: Channel) {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let asked = ["nope.Nothing", "SpiffeWorkloadAPI"].map(|name| v1alpha::ServerReflectionRequest {
        host: "a host".to_owned(),
        message_request: Some(MessageRequest::FileContainingSymbol(name.to_owned())),
    });
    let mut answers =
        client.server_reflection_info(futures::stream::iter(asked.clone())).await.expect("a stream").into_inner();
    let first = answers.message().await.expect("the stream goes on").expect("an answer");
    assert_eq!((first.valid_host.as_str(), first.original_request.as_ref()), ("a host", Some(&asked[0])));
    assert!(matches!(first.message_response, Some(MessageResponse::ErrorResponse(_))), "{first:?}");
    let second = answers.message().await.expect("the stream goes on").expect("an answer");
    assert!(matches!(second.message_response, Some(MessageResponse::FileDescriptorResponse(_))), "{second:?}");
}

fn request(asked: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest { host: String::new(), message_request: Some(asked) }
}

fn files(answer: Option<MessageResponse>) -> Vec<FileDescriptorProto> {
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer else { panic!("no files: {answer:?}") };
    let decode = |file: Vec<u8>| FileDescriptorProto::decode(file.as_slice()).expect("a descriptor");
    files.file_descriptor_proto.into_iter().map(decode).collect()
}
