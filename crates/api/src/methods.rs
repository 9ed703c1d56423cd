//! The methods of services, from their descriptors.

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::FILE_DESCRIPTOR_SET;

/// The HTTP/2 paths of all methods of `services`, each named with its package: `/package.Service/Method`.
pub fn methods_of(services: &[&str]) -> Vec<String> {
    methods_where(|_, service| services.contains(&service))
}

/// The HTTP/2 paths of all methods of the services that `wanted` picks, by package and by name with package.
pub fn methods_where(wanted: impl Fn(&str, &str) -> bool) -> Vec<String> {
    // The set is part of this program, and a test decodes it.
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default().file;
    let mut methods = Vec::new();
    for (package, service) in files.iter().flat_map(|file| file.service.iter().map(|one| (file.package(), one))) {
        let name = if package.is_empty() { service.name().to_owned() } else { format!("{package}.{}", service.name()) };
        if wanted(package, &name) {
            methods.extend(service.method.iter().map(|method| format!("/{name}/{}", method.name())));
        }
    }
    methods
}

/// Whether a server's listeners offer the services of `package`.
pub fn is_of_server(package: &str) -> bool {
    package.starts_with("spire.api.server.")
        || ["grpc.health.v1", "steeple.agent.v1", "steeple.server.v1"].contains(&package)
}
