//! Pages as SPIRE's clients expect them: a token on every page that is not empty, until one is.

/// How much to return, and from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageRequest<'a> {
    /// Records; 0 means all of them at once and no token.
    pub size: usize,
    /// Empty, or the `next` of the page before.
    pub token: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Set on every page that is not empty, the last one included (SPIRE behaviour); empty when everything was asked
    /// for. Opaque to clients; it stays valid while records come and go.
    pub next: Option<String>,
}

/// A token that this server never gave out (SPIRE answers `Internal` with this text).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not parse token '{0}'")]
pub struct TokenError(pub String);

impl PageRequest<'_> {
    /// Everything at once.
    pub const ALL: PageRequest<'static> = PageRequest { size: 0, token: "" };

    /// Takes a page from `items`, which begin after the token's record; `token_of` names a record.
    pub(crate) fn take<T>(self, items: impl Iterator<Item = T>, token_of: impl Fn(&T) -> String) -> Page<T> {
        if self.size == 0 {
            return Page { items: items.collect(), next: None };
        }
        let items: Vec<T> = items.take(self.size).collect();
        let next = items.last().map(token_of);
        Page { items, next }
    }

    /// The record number in the token, or 0 when this is the first page: numbers begin at 1.
    pub(crate) fn after_number(self) -> Result<u64, TokenError> {
        Ok(self.cursor(number)?.unwrap_or(0))
    }

    /// The token as `parse` reads it, or `None` when this is the first page.
    pub(crate) fn cursor<C>(self, parse: impl Fn(&str) -> Option<C>) -> Result<Option<C>, TokenError> {
        match self.token {
            "" => Ok(None),
            token => parse(token).map(Some).ok_or_else(|| TokenError(token.to_owned())),
        }
    }
}

/// Digits alone: what else `u64` would take, no server gave out.
pub(crate) fn number(token: &str) -> Option<u64> {
    token.bytes().all(|byte| byte.is_ascii_digit()).then(|| token.parse().ok()).flatten()
}
