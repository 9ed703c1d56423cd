//! Links between documents and into the sources. A link to a line, `#L42`, must reach a line that holds the symbol
//! named in backticks in or before the link; `cargo xtask fix` moves such links along with their symbols.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Finding, has_extension, normalize};
use crate::checkout;

/// What can be linked to.
pub struct Links {
    files: BTreeSet<PathBuf>,
}

/// `[text](target#L42)` on one line of a document.
#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    target: &'a str,
    /// What follows the `#`; empty without one.
    anchor: &'a str,
    /// The last text in backticks before the target, without `path::` and `()`.
    symbol: Option<&'a str>,
    /// Where in the line the anchor begins.
    anchor_at: usize,
}

impl Links {
    pub fn new(files: &[PathBuf]) -> Self {
        Self { files: files.iter().cloned().collect() }
    }

    pub fn check(&self, file: &Path, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, line) in prose(text) {
            for link in links(line) {
                if let Some(complaint) = self.complaint(file, &link) {
                    findings.push(Finding::new(file, number + 1, complaint));
                }
            }
        }
        findings
    }

    fn complaint(&self, file: &Path, link: &Link<'_>) -> Option<String> {
        let Some(target) = resolve(file, link.target) else {
            return Some(format!("{} leaves the checkout", link.target));
        };
        let is_folder = self.files.iter().any(|known| known != &target && known.starts_with(&target));
        if !is_folder && !self.files.contains(&target) {
            return Some(format!("{} does not exist", link.target));
        }
        let wanted = line_number(link.anchor)?;
        let Some(symbol) = link.symbol else {
            return Some(format!("{}#{}: no symbol in backticks before it", link.target, link.anchor));
        };
        let source = std::fs::read_to_string(checkout::root().join(&target)).unwrap_or_default();
        let reached = source.lines().nth(wanted.saturating_sub(1)).unwrap_or_default();
        (!holds(reached, symbol))
            .then(|| format!("{}#{} does not name `{symbol}`; run `cargo xtask fix`", link.target, link.anchor))
    }
}

/// Moves links whose symbol stands on another line by now to its definition, or else to its first mention.
pub fn repoint() -> Result<()> {
    for file in checkout::files()?.into_iter().filter(|file| has_extension(file, &["md"])) {
        let text = std::fs::read_to_string(checkout::root().join(&file))?;
        let moved =
            repointed(&text, |target| std::fs::read_to_string(checkout::root().join(resolve(&file, target)?)).ok());
        if moved != text {
            std::fs::write(checkout::root().join(&file), moved)?;
        }
    }
    Ok(())
}

fn repointed(text: &str, read: impl Fn(&str) -> Option<String>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (number, line) in prose(text) {
        // From the back, so that the places of the links before stay right.
        for link in links(line).into_iter().rev().filter(|link| line_number(link.anchor).is_some()) {
            let found = link.symbol.and_then(|symbol| place(&read(link.target)?, symbol, line_number(link.anchor)?));
            if let Some(found) = found {
                let end = link.anchor_at + link.anchor.len();
                lines[number].replace_range(link.anchor_at..end, &format!("L{found}"));
            }
        }
    }
    let ending = if text.ends_with('\n') { "\n" } else { "" };
    lines.join("\n") + ending
}

/// The line of a symbol: the one given when it is right, else its definition, else its first mention.
fn place(source: &str, symbol: &str, given: usize) -> Option<usize> {
    let lines: Vec<&str> = source.lines().collect();
    let given = given.checked_sub(1)?;
    let right = lines.get(given).is_some_and(|line| holds(line, symbol)).then_some(given);
    let defines = |line: &&str| DEFINITIONS.iter().any(|word| line.contains(&format!("{word} {symbol}")));
    let definition = || lines.iter().position(|line| defines(line) && holds(line, symbol));
    let mention = || lines.iter().position(|line| holds(line, symbol));
    Some(right.or_else(definition).or_else(mention)? + 1)
}

const DEFINITIONS: [&str; 9] = ["fn", "struct", "enum", "trait", "const", "type", "mod", "message", "rpc"];

/// Lines outside fenced blocks, numbered from 0.
pub fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The links of a line that point into the checkout.
fn links(line: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        let start = at + 2;
        let Some(end) = line[start..].find([')', ' ']).map(|length| start + length) else { continue };
        let whole = &line[start..end];
        let (target, anchor) = whole.split_once('#').unwrap_or((whole, ""));
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let symbol = line[..at].split('`').skip(1).step_by(2).last().map(bare);
        found.push(Link { target, anchor, symbol, anchor_at: start + target.len() + 1 });
    }
    found
}

fn bare(symbol: &str) -> &str {
    let symbol = symbol.trim_end_matches("()");
    symbol.rsplit("::").next().unwrap_or(symbol)
}

fn resolve(file: &Path, target: &str) -> Option<PathBuf> {
    normalize(&file.parent()?.join(target))
}

fn line_number(anchor: &str) -> Option<usize> {
    anchor.strip_prefix('L')?.parse().ok()
}

/// As a whole word.
fn holds(line: &str, symbol: &str) -> bool {
    let is_letter = |character: char| character.is_alphanumeric() || character == '_';
    !symbol.is_empty()
        && line
            .match_indices(symbol)
            .any(|(at, _)| !line[..at].ends_with(is_letter) && !line[at + symbol.len()..].starts_with(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_line() {
        let line = "see `State::apply()` ([code](../a.rs#L3)), [b](b.md \"B\") and [web](https://x.test/#L1)";
        let found = links(line);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].target, found[0].anchor, found[0].symbol), ("../a.rs", "L3", Some("apply")));
        assert_eq!((found[1].target, found[1].anchor), ("b.md", ""));
    }

    #[test]
    fn dead_links_are_found() {
        let links = Links::new(&["docs/a.md".into(), "docs/sub/b.md".into()]);
        let complaints = |text: &str| links.check(Path::new("docs/a.md"), text);
        assert_eq!(complaints("[b](sub/b.md) [folder](sub) [b](./sub/../sub/b.md#title)\n```\n[x](gone)\n```\n"), []);
        assert_eq!(complaints("\n[x](gone.md)")[0].to_string(), "docs/a.md:2: gone.md does not exist");
        assert_eq!(complaints("[x](../../x)")[0].text, "../../x leaves the checkout");
        assert!(complaints("[x](sub/b.md#L1)")[0].text.ends_with("no symbol in backticks before it"));
    }

    #[test]
    fn links_follow_their_symbols() {
        let source = "// apply_all\nuse apply;\nfn apply() {}\n";
        let moved = |text: &str| repointed(text, |_| Some(source.to_owned()));
        assert_eq!(moved("`apply` [1](a.rs#L9), `use` [2](a.rs#L1)\n"), "`apply` [1](a.rs#L3), `use` [2](a.rs#L2)\n");
        assert_eq!(moved("`apply` [1](a.rs#L2)"), "`apply` [1](a.rs#L2)");
        assert_eq!(moved("`gone` [1](a.rs#L2)"), "`gone` [1](a.rs#L2)");
    }
}
