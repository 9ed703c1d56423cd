//! Our descriptors against those of the published Go modules (`interop/descriptors`), in both directions. Without a Go
//! toolchain the comparison is not run, and says so.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use prost::Message;
use prost_types::FileDescriptorSet;
use steeple_api::FILE_DESCRIPTOR_SET;

#[test]
fn they_are_the_published_ones() {
    let Some(output) = compare(FILE_DESCRIPTOR_SET) else { return };
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_wrong_field_number_is_found() {
    let mut set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let files = set.file.iter_mut().filter(|file| file.package() == "spire.api.types");
    let mut messages = files.flat_map(|file| &mut file.message_type);
    let entry = messages.find(|message| message.name() == "Entry").unwrap();
    entry.field.iter_mut().find(|field| field.name() == "hint").unwrap().number = Some(99);

    let Some(output) = compare(&set.encode_to_vec()) else { return };
    assert!(!output.status.success());
    assert!(text(&output.stdout).starts_with("spire.api.types.Entry.hint: ours is"), "{}", text(&output.stdout));
}

/// `None`, and said by each test that asks, when there is no Go toolchain.
fn compare(descriptors: &[u8]) -> Option<Output> {
    let Some(program) = program() else {
        eprintln!("not run: there is no `go` on the PATH");
        return None;
    };
    let piped = || Stdio::piped();
    let mut child = Command::new(program).stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(descriptors).unwrap();
    Some(child.wait_with_output().unwrap())
}

/// The comparing program, built once.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        if Command::new("go").arg("version").stdout(Stdio::null()).status().is_err() {
            return None;
        }
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/descriptors");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("descriptors");
        let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(sources).status();
        assert!(built.unwrap().success(), "go build failed in interop/descriptors");
        Some(program)
    };
    PROGRAM.get_or_init(build).as_deref()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
