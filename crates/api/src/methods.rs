//! The methods of services, from their descriptors.

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::FILE_DESCRIPTOR_SET;

/// The HTTP/2 paths of all methods of `services`, each named with its package: `/package.Service/Method`.
pub fn methods_of(services: &[&str]) -> Vec<String> {
    // The set is part of this program, and a test decodes it.
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default().file;
    let known = files.iter().flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    let methods = known.flat_map(|(package, service)| {
        let name = if package.is_empty() { service.name().to_owned() } else { format!("{package}.{}", service.name()) };
        let wanted = services.contains(&name.as_str());
        service.method.iter().filter(move |_| wanted).map(move |method| format!("/{name}/{}", method.name()))
    });
    methods.collect()
}
