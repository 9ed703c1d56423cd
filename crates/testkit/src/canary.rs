//! The search for secrets where none may be: as they are, in hexadecimal digits, and in base64 however they lie in it.

use std::path::{Path, PathBuf};

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// A secret in every form that would give it away.
#[derive(Clone)]
pub struct Canary {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    /// `name` is what a failure calls it.
    pub fn new(name: &str, secret: &[u8]) -> Self {
        assert!(secret.len() >= SECRET_BYTES_MIN, "{name} is so short that it is found by chance");
        let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![secret.to_vec(), digits.to_uppercase().into_bytes(), digits.into_bytes()];
        for engine in [&STANDARD, &URL_SAFE] {
            forms.extend((0..3).map(|offset| inside_base64(engine, secret, offset)));
        }
        Self { name: name.to_owned(), forms }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// PEM breaks its lines, and JSON writes their ends as two characters.
    pub fn is_in(&self, content: &[u8]) -> bool {
        if content.iter().all(|byte| *byte == 0) {
            // The ballast of a data directory is megabytes of nothing.
            return false;
        }
        let one_line = without(&without(content, b"\n"), b"\\n");
        self.forms.iter().any(|form| holds(content, form) || holds(&one_line, form))
    }

    /// The files in `dir` and below that hold it, in order.
    pub fn found_below(&self, dir: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = files_below(dir)
            .into_iter()
            .filter(|path| self.is_in(&std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))))
            .collect();
        found.sort();
        found
    }
}

/// Plain files; sockets and links are none.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(dir).expect("a directory") {
        let path = item.expect("an item").path();
        let kind = std::fs::symlink_metadata(&path).expect("a file").file_type();
        if kind.is_dir() {
            files.extend(files_below(&path));
        } else if kind.is_file() {
            files.push(path);
        }
    }
    files
}

/// The characters that depend on the secret alone when `offset` bytes stand before it, modulo three.
fn inside_base64(engine: &impl base64::Engine, secret: &[u8], offset: usize) -> Vec<u8> {
    let encoded = engine.encode([&[0; 2][..offset], secret].concat()).into_bytes();
    let (first, end) = ((8 * offset).div_ceil(6), 8 * (offset + secret.len()) / 6);
    encoded[first..end].to_vec()
}

fn holds(content: &[u8], part: &[u8]) -> bool {
    // The first byte is looked for by itself: a window for each byte of a data directory takes minutes unoptimized.
    let Some((first, rest)) = part.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = content[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if content[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

fn without(content: &[u8], separator: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(content.len());
    let mut rest = content;
    while !rest.is_empty() {
        match rest.strip_prefix(separator) {
            Some(behind) => rest = behind,
            None => {
                kept.push(rest[0]);
                rest = &rest[1..];
            }
        }
    }
    kept
}

/// Half of a key's.
const SECRET_BYTES_MIN: usize = 12;

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    const SECRET: [u8; 32] = *b"\x00\xff canary \xfb\xef\xbe of many bytes \xff\xfe..";

    #[test]
    fn a_planted_secret_is_found_in_every_form() {
        let dir = tempfile::tempdir().unwrap();
        let canary = Canary::new("planted", &SECRET);
        assert_eq!(canary.found_below(dir.path()), Vec::<PathBuf>::new());
        let digits: String = SECRET.iter().map(|byte| format!("{byte:02X}")).collect();
        let around = |before: &str| [before.as_bytes(), &SECRET, b"behind"].concat();
        let broken = |text: &str, end: &str| {
            text.as_bytes().chunks(7).map(|line| String::from_utf8(line.to_vec()).unwrap() + end).collect::<String>()
        };
        let planted = [
            around("before"),
            digits.to_lowercase().into_bytes(),
            format!("key={digits};").into_bytes(),
            STANDARD.encode(SECRET).into_bytes(),
            STANDARD.encode(around("1")).into_bytes(),
            URL_SAFE.encode(around("12")).into_bytes(),
            broken(&STANDARD.encode(around("123")), "\n").into_bytes(),
            broken(&STANDARD.encode(around("1234")), "\\n").into_bytes(),
        ];
        std::fs::create_dir(dir.path().join("below")).unwrap();
        let mut paths = Vec::new();
        for (number, content) in planted.iter().enumerate() {
            let path = dir.path().join(format!("below/{number}"));
            std::fs::write(&path, content).unwrap();
            paths.push(path);
        }
        std::fs::write(dir.path().join("other"), STANDARD.encode([7; 64])).unwrap();
        assert_eq!(canary.found_below(dir.path()), paths);
    }

    #[test]
    fn nearly_is_not_found() {
        let canary = Canary::new("planted", &SECRET);
        let mut nearly = SECRET;
        nearly[31] ^= 1;
        assert!(!canary.is_in(&nearly) && !canary.is_in(&SECRET[..31]) && !canary.is_in(b""));
    }
}
