//! Small libraries that stand before libc in the processes under test.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// A compiled library and what it is told by the environment.
#[derive(Clone, Debug)]
pub struct Preload {
    library: PathBuf,
    variables: Vec<(String, String)>,
}

impl Preload {
    /// Compiles `source` to `lib<name>.so` in `dir`.
    pub fn compile(dir: &Path, name: &str, source: &str, variables: Vec<(String, String)>) -> anyhow::Result<Self> {
        let (file, library) = (dir.join(format!("{name}.c")), dir.join(format!("lib{name}.so")));
        std::fs::write(&file, source)?;
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(&compiler);
        command.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(&file);
        let output = command.args(["-ldl", "-pthread"]).output().with_context(|| {
            format!("cannot run {}: install a C compiler, or choose faults that need none", compiler.display())
        })?;
        ensure!(output.status.success(), "{name}.c: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { library, variables })
    }
}

/// The environment of a process with all of these libraries.
pub fn preload_env(preloads: &[&Preload]) -> Vec<(String, String)> {
    let libraries: Vec<_> = preloads.iter().map(|preload| preload.library.to_string_lossy()).collect();
    let mut env = vec![("LD_PRELOAD".to_owned(), libraries.join(":"))];
    env.extend(preloads.iter().flat_map(|preload| preload.variables.iter().cloned()));
    env
}

/// Compiles a C program for a test that runs under a library.
pub fn compile_program(dir: &Path, source: &str) -> PathBuf {
    let (file, program) = (dir.join("program.c"), dir.join("program"));
    std::fs::write(&file, source).expect("a file");
    let compiled = Command::new("cc").args(["-pthread", "-o"]).arg(&program).arg(&file).status();
    assert!(compiled.expect("a C compiler").success());
    program
}
