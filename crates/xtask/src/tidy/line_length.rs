//! Lines fit the width that rustfmt keeps.

use std::path::Path;

use super::Finding;

/// Characters; rustfmt.toml's `max_width`.
const LINE_CHARS_MAX: usize = 120;

pub fn check(file: &Path, text: &str) -> Vec<Finding> {
    let long = |(_, chars): &(usize, usize)| *chars > LINE_CHARS_MAX;
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.chars().count()));
    lines.filter(long).map(|(line, chars)| Finding::new(file, line, format!("{chars} characters"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        let file = Path::new("a.rs");
        let text = format!("{}\n{}\n", "é".repeat(120), "x".repeat(121));
        assert_eq!(check(file, &text), [Finding::new(file, 2, "121 characters")]);
    }
}
