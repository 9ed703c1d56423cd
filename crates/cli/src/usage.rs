//! Help texts in the layout of Go's `flag.PrintDefaults`, which scripts grep and people know.

use crate::{Flag, Kind};

/// `Usage of <path>:` and the flags, sorted by name, each with its value's kind and default.
pub fn usage(path: &str, flags: impl IntoIterator<Item = Flag>) -> String {
    let mut flags: Vec<Flag> = flags.into_iter().collect();
    flags.sort_by_key(|flag| flag.name);
    let mut text = format!("Usage of {path}:\n");
    for flag in flags {
        let (argument, default) = described(flag.kind);
        text += &format!("  -{}{argument}\n    \t{}{default}\n", flag.name, flag.help);
    }
    text
}

/// What stands behind a flag's name, with a blank before it, and behind its text.
pub(crate) fn described(kind: Kind) -> (&'static str, String) {
    let default = |text: String| format!(" (default {text})");
    match kind {
        Kind::Bool => ("", String::new()),
        Kind::CommaTexts | Kind::Output(_) | Kind::Texts => (" value", String::new()),
        Kind::Duration(value) if value.as_nanos() == 0 => (" duration", String::new()),
        Kind::Duration(value) => (" duration", default(value.to_string())),
        Kind::ToldDuration(value) => (" value", default(value.to_string())),
        Kind::Int(0) => (" int", String::new()),
        Kind::Int(value) => (" int", default(value.to_string())),
        Kind::Text("") => (" string", String::new()),
        Kind::Text(value) => (" string", default(format!("{value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_go() {
        let flags =
            [Flag::int("ttl", 600, "Seconds to live"), Flag::bool("node", "Is a node"), Flag::texts("dns", "A name")];
        let expected = "Usage of entry create:\n  -dns value\n    \tA name\n  -node\n    \tIs a node\n  -ttl int\n    \
                        \tSeconds to live (default 600)\n";
        assert_eq!(usage("entry create", flags), expected);
    }
}
