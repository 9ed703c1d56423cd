//! The first lines of a crate say what it is for.

use std::path::Path;

use super::Finding;

pub fn check(file: &Path, text: &str) -> Option<Finding> {
    let is_root = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
    (is_root && !text.starts_with("//!")).then(|| Finding::new(file, 1, "begin with what the crate is for (`//!`)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crate_roots_are_asked() {
        assert!(check(Path::new("crates/a/src/lib.rs"), "mod b;").is_some());
        assert!(check(Path::new("crates/a/src/lib.rs"), "//! Words.").is_none());
        assert!(check(Path::new("crates/a/src/b.rs"), "mod c;").is_none());
    }
}
