//! From the values of selectors to a place below the base directory.

use std::fmt;

use steeple_core::plugin::{StoreError, StorePlace};

/// `path:…`, and whose the files shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The names that lead from the base directory to the folder.
    pub path: Vec<String>,
    pub owner: Option<Name>,
    pub group: Option<Name>,
}

/// Of a user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Id(u32),
    Name(String),
}

impl Place {
    pub(super) fn parse(values: &[String]) -> Result<Self, StoreError> {
        let (mut path, mut owner, mut group) = (None, None, None);
        for value in values {
            let (key, value) = value.split_once(':').unwrap_or((value, ""));
            let place = match key {
                "path" => &mut path,
                "owner" => &mut owner,
                "group" => &mut group,
                _ => return refused(format!("{key:?} is none of path, owner and group")),
            };
            if place.replace(value).is_some() {
                return refused(format!("several {key}s"));
            }
        }
        let Some(path) = path else { return refused("none that begins with directory:path:".to_owned()) };
        Ok(Self {
            path: parse_path(path)?,
            owner: owner.map(|name| Name::parse("owner", name)).transpose()?,
            group: group.map(|name| Name::parse("group", name)).transpose()?,
        })
    }

    pub(super) fn place(&self) -> StorePlace {
        StorePlace(self.path.clone())
    }
}

/// Folders below the base directory only.
fn parse_path(path: &str) -> Result<Vec<String>, StoreError> {
    let names: Vec<String> = path.split('/').map(str::to_owned).collect();
    if path.starts_with('/') {
        return refused(format!("path {path:?} is absolute: it is below base_dir"));
    }
    if let Some(name) = names.iter().find(|name| name.is_empty() || name.starts_with('.')) {
        return refused(format!("path {path:?}: no folder may be empty or begin with a dot, as {name:?} does"));
    }
    if path.chars().any(char::is_control) {
        return refused(format!("path {path:?} has control characters"));
    }
    if names.len() > DEPTH_MAX || names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return refused(format!("path {path:?} has more than {DEPTH_MAX} folders, or one of more than 255 bytes"));
    }
    Ok(names)
}

impl Name {
    fn parse(key: &str, text: &str) -> Result<Self, StoreError> {
        if text.is_empty() || text.contains(['\0', ':', '/']) {
            return refused(format!("{key} {text:?} is no name and no number"));
        }
        match text.parse() {
            // chown(2) leaves things as they are for it.
            Ok(u32::MAX) => refused(format!("{key} {text} is nobody's number")),
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn refused<T>(why: String) -> Result<T, StoreError> {
    Err(StoreError::Selectors(format!("selectors of directory: {why}")))
}

pub(super) const DEPTH_MAX: usize = 8;
/// Linux, `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;
