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
        compile(&["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-ldl"], &file, &library)?;
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

/// Compiles a C program to `name` in `dir`.
pub fn compile_program(dir: &Path, name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let (file, program) = (dir.join(format!("{name}.c")), dir.join(name));
    std::fs::write(&file, source)?;
    compile(&["-O2", "-Wall", "-Werror"], &file, &program)?;
    Ok(program)
}

fn compile(flags: &[&str], file: &Path, to: &Path) -> anyhow::Result<()> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    // Libraries stand behind what needs them.
    let (libraries, options): (Vec<&str>, Vec<&str>) = flags.iter().partition(|flag| flag.starts_with("-l"));
    command.args(options).arg("-pthread").arg("-o").arg(to).arg(file).args(libraries);
    let output = command.output().with_context(|| {
        format!("cannot run {}: install a C compiler, or choose faults that need none", compiler.display())
    })?;
    ensure!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    Ok(())
}
