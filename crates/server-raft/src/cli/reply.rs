//! Parts of the server's answers that several commands read the same way.

use steeple_api::types::Status;
use steeple_cli::Failure;
use steeple_config::go_quoted;
use steeple_core::rpc_code_name;
use tonic::Code;

/// Whether an item of a batch succeeded.
pub(super) fn is_ok(status: Option<&Status>) -> bool {
    status.is_none_or(|status| status.code == Code::Ok as i32)
}

/// `code: AlreadyExists, msg: "similar entry already exists"`.
pub(super) fn described(status: Option<&Status>) -> String {
    let (code, message) = status.map(|status| (status.code, status.message.as_str())).unwrap_or_default();
    format!("code: {}, msg: {}", rpc_code_name(code), go_quoted(message))
}

/// `message` of a failed item.
pub(super) fn message(status: Option<Status>) -> String {
    status.map(|status| status.message).unwrap_or_default()
}

/// `1 bundle`, `2 bundles`.
pub(super) fn plural<'w>(count: usize, one: &'w str, many: &'w str) -> &'w str {
    if count == 1 { one } else { many }
}

/// A part of an answer that every server sends.
pub(super) fn expected<T>(part: Option<T>, name: &str) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::Message(format!("server response missing {name}")))
}
