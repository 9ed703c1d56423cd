//! `grpc.reflection.v1.ServerReflection`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::OnceLock;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use prost_reflect::FileDescriptor;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflection;
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};

use super::Descriptors;

pub struct Reflection {
    /// Sorted.
    services: Vec<String>,
}

impl Reflection {
    /// Of what is offered at the socket.
    pub fn of(services: &[&str]) -> Self {
        let services: BTreeSet<&str> = services.iter().copied().collect();
        Self { services: services.into_iter().map(str::to_owned).collect() }
    }
}

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let mut answers =
            Answers { descriptors: descriptors()?, services: self.services.clone(), sent: BTreeSet::new() };
        let responses = request.into_inner().map(move |request| answers.to(request?));
        Ok(Response::new(responses.boxed()))
    }
}

/// What one stream is told.
struct Answers {
    descriptors: &'static Descriptors,
    services: Vec<String>,
    /// Files that its client has: at most all there are.
    sent: BTreeSet<String>,
}

impl Answers {
    fn to(&mut self, request: ServerReflectionRequest) -> Result<ServerReflectionResponse, Status> {
        let known = self.descriptors;
        let answer = match &request.message_request {
            None => return Err(Status::invalid_argument("invalid MessageRequest: <nil>")),
            Some(MessageRequest::FileByFilename(path)) => self.files(known.file(path)),
            Some(MessageRequest::FileContainingSymbol(name)) => self.files(known.file_of_symbol(name)),
            Some(MessageRequest::FileContainingExtension(wanted)) => {
                self.files(known.file_of_extension(&wanted.containing_type, wanted.extension_number))
            }
            Some(MessageRequest::AllExtensionNumbersOfType(message)) => {
                known.extension_numbers(message).map(|extension_number| {
                    let base_type_name = message.clone();
                    let numbers = ExtensionNumberResponse { base_type_name, extension_number };
                    MessageResponse::AllExtensionNumbersResponse(numbers)
                })
            }
            Some(MessageRequest::ListServices(_)) => {
                let service = self.services.iter().map(|name| ServiceResponse { name: name.clone() }).collect();
                Some(MessageResponse::ListServicesResponse(ListServiceResponse { service }))
            }
        };
        Ok(ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer.unwrap_or_else(not_found)),
        })
    }

    /// The file, and of those that it is built from what the client lacks, so that it need not ask for them.
    fn files(&mut self, file: Option<FileDescriptor>) -> Option<MessageResponse> {
        let file = file?;
        self.sent.insert(file.name().to_owned());
        let mut encoded = vec![file.encode_to_vec()];
        let mut imports: VecDeque<FileDescriptor> = file.dependencies().collect();
        while let Some(import) = imports.pop_front() {
            if self.sent.insert(import.name().to_owned()) {
                encoded.push(import.encode_to_vec());
                imports.extend(import.dependencies());
            }
        }
        Some(MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto: encoded }))
    }
}

/// The text is protobuf-go's.
fn not_found() -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: Code::NotFound as i32,
        error_message: "proto: not found".to_owned(),
    })
}

/// Decoded when somebody asks for the first time: most agents are never asked.
fn descriptors() -> Result<&'static Descriptors, Status> {
    static DECODED: OnceLock<Result<Descriptors, String>> = OnceLock::new();
    let decoded = DECODED.get_or_init(|| Descriptors::of_this_program().map_err(|error| error.to_string()));
    decoded.as_ref().map_err(|error| Status::internal(format!("the descriptors of this program are unusable: {error}")))
}
