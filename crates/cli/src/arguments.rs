//! The arguments of this process.

/// Paths may have any bytes on Linux; configurations, answers and logs are text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument {position} is not UTF-8: {shown}; give the file another name, or reach it by a link")]
pub struct NotText {
    /// The program itself is 0.
    position: usize,
    /// With its odd bytes as escapes.
    shown: String,
}

/// The program's name and what follows it.
pub fn arguments() -> Result<Vec<String>, NotText> {
    texts(std::env::args_os())
}

fn texts(args: impl Iterator<Item = std::ffi::OsString>) -> Result<Vec<String>, NotText> {
    let text = |(position, arg): (usize, std::ffi::OsString)| {
        arg.into_string().map_err(|arg| NotText { position, shown: format!("{arg:?}") })
    };
    args.enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn an_argument_that_is_no_text_is_named() {
        let args = ["steeple-agent".into(), OsString::from_vec(b"/tmp/\xff".to_vec())];
        let told = texts(args.into_iter()).unwrap_err().to_string();
        assert!(told.starts_with("argument 1 is not UTF-8: \"/tmp/\\xFF\";"), "{told}");
        assert_eq!(texts(["a".into(), "\u{e4}".into()].into_iter()).unwrap(), ["a", "\u{e4}"]);
    }
}
