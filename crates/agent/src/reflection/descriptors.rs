//! Which .proto file tells what a name means.

use prost_reflect::{DescriptorError, DescriptorPool, FileDescriptor};
use tonic_reflection::pb;

/// Of all that this program speaks, and of reflection itself.
#[derive(Clone, Debug)]
pub struct Descriptors(DescriptorPool);

impl Descriptors {
    /// An error means that the program was built from other files than it was tested with.
    pub fn of_this_program() -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::decode(steeple_api::FILE_DESCRIPTOR_SET)?;
        for reflection in [pb::v1::FILE_DESCRIPTOR_SET, pb::v1alpha::FILE_DESCRIPTOR_SET] {
            pool.decode_file_descriptor_set(reflection)?;
        }
        Ok(Self(pool))
    }

    pub fn file(&self, path: &str) -> Option<FileDescriptor> {
        self.0.get_file_by_name(path)
    }

    /// Of a message, enum, service or extension, or of what is named inside one. The values of an enum are named beside
    /// it (protobuf's scoping).
    pub fn file_of_symbol(&self, name: &str) -> Option<FileDescriptor> {
        self.file_of_type(name).or_else(|| self.file_of_part(name))
    }

    pub fn file_of_extension(&self, message: &str, number: i32) -> Option<FileDescriptor> {
        let number = u32::try_from(number).ok()?;
        Some(self.0.get_message_by_name(message)?.get_extension(number)?.parent_file())
    }

    /// Ascending; none where the message is unknown.
    pub fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        self.file_of_symbol(message)?;
        let extensions = self.0.all_extensions();
        let numbers = extensions.filter(|extension| extension.containing_message().full_name() == message);
        let mut numbers: Vec<i32> = numbers.filter_map(|extension| extension.number().try_into().ok()).collect();
        numbers.sort_unstable();
        Some(numbers)
    }

    fn file_of_type(&self, name: &str) -> Option<FileDescriptor> {
        let Self(pool) = self;
        let message = || pool.get_message_by_name(name).map(|found| found.parent_file());
        let enumeration = || pool.get_enum_by_name(name).map(|found| found.parent_file());
        let service = || pool.get_service_by_name(name).map(|found| found.parent_file());
        let extension = || pool.get_extension_by_name(name).map(|found| found.parent_file());
        message().or_else(enumeration).or_else(service).or_else(extension)
    }

    fn file_of_part(&self, name: &str) -> Option<FileDescriptor> {
        let Self(pool) = self;
        let (whole, part) = name.rsplit_once('.').unwrap_or(("", name));
        if let Some(message) = pool.get_message_by_name(whole) {
            let is_field = message.get_field_by_name(part).is_some();
            if is_field || message.oneofs().any(|oneof| oneof.name() == part) {
                return Some(message.parent_file());
            }
        }
        if let Some(service) = pool.get_service_by_name(whole) {
            return service.methods().any(|method| method.name() == part).then(|| service.parent_file());
        }
        let mut enums = pool.all_enums();
        enums.find(|found| found.values().any(|value| value.full_name() == name)).map(|found| found.parent_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_has_a_name_is_in_a_file() {
        let descriptors = Descriptors::of_this_program().unwrap();
        for (symbol, file) in [
            ("SpiffeWorkloadAPI", "workload.proto"),
            ("SpiffeWorkloadAPI.FetchX509SVID", "workload.proto"),
            ("X509SVIDResponse", "workload.proto"),
            ("X509SVIDResponse.federated_bundles", "workload.proto"),
            ("X509SVIDResponse.FederatedBundlesEntry", "workload.proto"),
            ("google.protobuf.Value.kind", "google/protobuf/struct.proto"),
            ("google.protobuf.NULL_VALUE", "google/protobuf/struct.proto"),
            ("grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"),
            ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"),
        ] {
            let found = descriptors.file_of_symbol(symbol).unwrap_or_else(|| panic!("{symbol}"));
            assert!(found.name().ends_with(file), "{symbol} is in {}", found.name());
            assert!(descriptors.file(found.name()).is_some());
        }
        for unknown in
            ["", ".", "SpiffeWorkloadAPI.Nope", "X509SVIDResponse.nope", "grpc.health.v1", "a.b.C", "NULL_VALUE"]
        {
            assert!(descriptors.file_of_symbol(unknown).is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn extensions_are_told_by_message_and_number() {
        let descriptors = Descriptors::of_this_program().unwrap();
        assert_eq!(descriptors.extension_numbers("X509SVIDResponse"), Some(Vec::new()));
        assert_eq!(descriptors.extension_numbers("a.B"), None);
        for extension in descriptors.0.all_extensions() {
            let (message, number) = (extension.containing_message(), extension.number().try_into().unwrap());
            assert!(descriptors.extension_numbers(message.full_name()).unwrap().contains(&number));
            let file = descriptors.file_of_extension(message.full_name(), number).unwrap();
            assert_eq!(file.name(), extension.parent_file().name());
        }
        assert!(descriptors.file_of_extension("X509SVIDResponse", -1).is_none());
    }
}
