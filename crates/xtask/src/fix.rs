//! What `verify` complains about and a program can mend.

use anyhow::Result;

use crate::{cargo, codegen, tidy};

pub fn run() -> Result<()> {
    codegen::write()?;
    tidy::repoint_links()?;
    cargo::run(&["fmt", "--all"])
}
