//! From `crates/api/proto` to `crates/api/src/gen`, without protoc. The result is committed, so that a build of the
//! product needs neither this program nor what it depends on; `verify` checks that it is fresh.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{checkout, prometheus_rule};

/// The one protobuf package without a name is the Workload API's.
const NAMELESS_PACKAGE: &str = "workload";
/// Every .proto file and its imports, for reflection and for the comparison with the published descriptors.
const DESCRIPTORS: &str = "descriptors.bin";

/// Messages that nothing may print.
const WITH_SECRETS: [&str; 2] = [".steeple.server.v1.ImportAuthorityRequest", ".steeple.server.v1.ImportedJoinToken"];

pub fn write() -> Result<()> {
    prometheus_rule::write()?;
    let folder = checkout::root().join("crates/api/src/gen");
    // A file whose package is gone would linger, so the new folder takes the place of the old one.
    let fresh = generate()?;
    std::fs::create_dir_all(&folder)?;
    for stale in names(&folder)?.into_iter().filter(|name| !fresh.path().join(name).exists()) {
        std::fs::remove_file(folder.join(stale))?;
    }
    for name in names(fresh.path())? {
        let new = std::fs::read(fresh.path().join(&name))?;
        let target = folder.join(&name);
        if std::fs::read(&target).ok().as_ref() != Some(&new) {
            std::fs::write(target, new)?;
        }
    }
    Ok(())
}

/// Fails when the committed code is not what the .proto files give.
pub fn check() -> Result<()> {
    prometheus_rule::check()?;
    let folder = checkout::root().join("crates/api/src/gen");
    let fresh = generate()?;
    let (committed, wanted) = (names(&folder)?, names(fresh.path())?);
    if committed != wanted {
        bail!("crates/api/src/gen holds {committed:?} instead of {wanted:?}; run `cargo xtask codegen`");
    }
    for name in wanted {
        if std::fs::read(folder.join(&name))? != std::fs::read(fresh.path().join(&name))? {
            bail!("crates/api/src/gen/{name} is stale; run `cargo xtask codegen`");
        }
    }
    Ok(())
}

fn generate() -> Result<tempfile::TempDir> {
    let protos = checkout::root().join("crates/api/proto");
    let out = tempfile::tempdir()?;
    std::fs::write(out.path().join(DESCRIPTORS), compiler(&protos, false)?.encode_file_descriptor_set())?;

    let mut config = tonic_prost_build::Config::new();
    config.default_package_filename(NAMELESS_PACKAGE);
    // `Any` carries full type URLs.
    // Their `Debug` is written by hand, because they carry secrets.
    config.skip_debug(WITH_SECRETS);
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        .out_dir(out.path())
        .include_file("mod.rs")
        .build_transport(false)
        // Maps go out in one order, so that equal messages are equal bytes.
        .btree_map(".")
        // An RPC that is not built yet answers `Unimplemented`.
        .generate_default_stubs(true)
        .compile_fds_with_config(compiler(&protos, true)?.file_descriptor_set(), config)
        .context("generating Rust")?;
    Ok(out)
}

/// With source information the comments of the .proto files reach the generated code.
fn compiler(protos: &Path, source_info: bool) -> Result<protox::Compiler> {
    let mut compiler = protox::Compiler::new([protos])?;
    compiler.include_imports(true).include_source_info(source_info);
    compiler.open_files(protos_below(protos)?)?;
    Ok(compiler)
}

fn protos_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(protos_below(&path)?);
        } else if path.extension().is_some_and(|found| found == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = std::fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
