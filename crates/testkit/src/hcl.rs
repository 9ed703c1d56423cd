//! Text of configuration files.

use std::fmt::Write as _;
use std::path::Path;

/// Lines of an HCL file, indented as blocks open and close.
#[derive(Debug, Default)]
pub(crate) struct Hcl {
    text: String,
    depth: usize,
}

impl Hcl {
    pub(crate) fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line("}");
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {}", quoted(value)));
    }

    pub(crate) fn path(&mut self, key: &str, value: &Path) {
        self.text(key, &value.to_string_lossy());
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.line(&format!("{key} = {value}"));
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.line(&format!("{key} = {value}"));
    }

    pub(crate) fn texts(&mut self, key: &str, values: &[String]) {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        self.line(&format!("{key} = [{}]", values.join(", ")));
    }

    pub(crate) fn line(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}{line}", "    ".repeat(self.depth));
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
