//! Which datastore, as the command line names it.

use std::path::PathBuf;
use std::str::FromStr;

use crate::{Database, ReadError, SourceError, postgres, sqlite};

/// Where the rows come from. No `Debug`: a URL may hold a password.
pub enum Source {
    /// The file of a SQLite database.
    Sqlite(PathBuf),
    Postgres(Box<tokio_postgres::Config>),
}

/// How PostgreSQL is reached, beside what its URL says. No `Debug`: there may be a password.
#[derive(Clone, Default)]
pub struct PostgresOptions {
    /// Where the URL has none, which everybody on the machine can read.
    pub password: Option<String>,
    /// PEM file with the roots that the database's certificate is judged by; those of the system when absent.
    pub root_ca_path: Option<PathBuf>,
}

impl Source {
    /// Reads all of it, in one transaction that writes nothing.
    pub async fn read(&self, options: &PostgresOptions) -> Result<Database, ReadError> {
        match self {
            Self::Sqlite(path) => sqlite::read(path).await,
            Self::Postgres(config) => postgres::read(config, options).await,
        }
    }

    /// For people and logs: without a password.
    pub fn name(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(config) => {
                let host = config.get_hosts().first().map_or_else(String::new, |host| match host {
                    tokio_postgres::config::Host::Tcp(name) => name.clone(),
                    tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
                });
                format!("postgres:{host}/{}", config.get_dbname().unwrap_or_default())
            }
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    /// `sqlite:FILE`, or a PostgreSQL URL or key-value string behind `postgres:`.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        // Before the URL scheme there may be another name for the kind: `postgres:postgres://…`, `postgres:host=…`.
        let (scheme, rest) = text.split_once(':').ok_or_else(|| SourceError::Unknown(without_secret(text)))?;
        match scheme {
            "sqlite" | "sqlite3" if !rest.is_empty() => Ok(Self::Sqlite(PathBuf::from(rest))),
            "mysql" => Err(SourceError::MySql),
            "postgres" | "postgresql" => {
                let connection = if rest.starts_with("//") { text } else { rest };
                let config = connection.parse().map_err(|error: tokio_postgres::Error| {
                    SourceError::Url(std::error::Error::source(&error).map_or_else(String::new, ToString::to_string))
                })?;
                Ok(Self::Postgres(Box::new(config)))
            }
            _ => Err(SourceError::Unknown(without_secret(text))),
        }
    }
}

/// What stands before the first sign that could belong to a password.
fn without_secret(text: &str) -> String {
    text.split(['@', ':', '=']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_by_name() {
        let name = |text: &str| text.parse::<Source>().map(|source| source.name());
        assert_eq!(name("sqlite:/var/lib/spire/d.sqlite3").unwrap(), "sqlite:/var/lib/spire/d.sqlite3");
        assert_eq!(name("postgres://u:canary@db.test:5433/spire").unwrap(), "postgres:db.test/spire");
        assert_eq!(
            name("postgres:host=db.test user=u password=canary dbname=spire").unwrap(),
            "postgres:db.test/spire"
        );
        for text in ["", "sqlite:", "oracle:x", "spire.sqlite3", "mysql:u:canary@h/d", "postgres:canary"] {
            let error = name(text).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
