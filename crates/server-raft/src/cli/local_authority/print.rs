//! Authorities as people read them.

use std::io::Write;

use steeple_api::server::localauthority::AuthorityState;
use steeple_cli::{Failure, Streams, utc_time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Jwt,
    X509,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::X509 => "X.509",
        }
    }
}

/// `show`: all three slots, with a blank line between them.
pub(super) fn print_all(
    streams: &mut Streams,
    kind: Kind,
    [active, prepared, old]: [Option<&AuthorityState>; 3],
) -> Result<(), Failure> {
    let slots = [("Active", "active", active), ("Prepared", "prepared", prepared), ("Old", "old", old)];
    for (at, (title, lower, authority)) in slots.into_iter().enumerate() {
        let out = &mut streams.stdout;
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{title} {} authority:", kind.name())?;
        match authority {
            Some(authority) => print_body(out, kind, authority)?,
            None => writeln!(out, "  No {lower} {} authority found", kind.name())?,
        }
    }
    Ok(())
}

/// The authority that an action was about; `title` is `Prepared`, `Activated` and so on.
pub(super) fn print_one(
    streams: &mut Streams,
    kind: Kind,
    title: &str,
    authority: Option<&AuthorityState>,
) -> Result<(), Failure> {
    let authority = authority.ok_or_else(|| Failure::message("server response missing the authority"))?;
    writeln!(streams.stdout, "{title} {} authority:", kind.name())?;
    print_body(&mut streams.stdout, kind, authority)
}

fn print_body(out: &mut dyn Write, kind: Kind, authority: &AuthorityState) -> Result<(), Failure> {
    writeln!(out, "  Authority ID: {}", authority.authority_id)?;
    writeln!(out, "  Expires at: {}", utc_time(authority.expires_at))?;
    if kind == Kind::X509 {
        match authority.upstream_authority_subject_key_id.as_str() {
            "" => writeln!(out, "  Upstream authority ID: No upstream authority")?,
            id => writeln!(out, "  Upstream authority Subject Key ID: {id}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_show() {
        let authority = AuthorityState { authority_id: "ab".into(), ..Default::default() };
        let (mut streams, captured) = Streams::captured("");
        print_all(&mut streams, Kind::X509, [Some(&authority), None, None]).unwrap();
        let expected = "\
Active X.509 authority:
  Authority ID: ab
  Expires at: 1970-01-01 00:00:00 +0000 UTC
  Upstream authority ID: No upstream authority

Prepared X.509 authority:
  No prepared X.509 authority found

Old X.509 authority:
  No old X.509 authority found
";
        assert_eq!(captured.stdout(), expected);
    }
}
