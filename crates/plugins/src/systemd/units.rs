//! Questions to systemd on the bus.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::wire::{OwnedObjectPath, OwnedVariant};
use zbus::{Connection, DBusError as _};

/// One connection, opened when it is first needed and again after it broke.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// For tests; the system bus without it.
    address: Option<String>,
    held: Mutex<Option<Connection>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub id: String,
    /// Empty for a unit that no file describes.
    pub fragment_path: String,
}

/// Why the unit of a process is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemdError {
    #[error("invalid value for PID: {0}")]
    Pid(i32),
    #[error("failed to open dbus connection: {0}")]
    Connect(#[source] zbus::Error),
    #[error("failed to open dbus connection: no answer within {} s", ANSWER_MAX.as_secs())]
    ConnectTimeout,
    #[error("failed to get unit by pid {pid}: {}", words(source))]
    Unit { pid: u32, source: zbus::Error },
    #[error("error getting value for {property}: {}", words(source))]
    Property { property: &'static str, source: zbus::Error },
    #[error("Returned value for {property} was not a string")]
    NotText { property: &'static str },
}

impl Units {
    #[cfg(test)]
    pub(super) fn on_bus(address: &str) -> Self {
        Self { address: Some(address.to_owned()), held: Mutex::default() }
    }

    pub(super) async fn of_process(&self, pid: u32) -> Result<Unit, SystemdError> {
        let connection = self.connection().await?;
        match ask(&connection, pid).await {
            // The bus was restarted since.
            Err(error) if error.is_broken_connection() => {
                *self.held.lock().await = None;
                ask(&self.connection().await?, pid).await
            }
            outcome => outcome,
        }
    }

    async fn connection(&self) -> Result<Connection, SystemdError> {
        let mut held = self.held.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        let opened = timeout(ANSWER_MAX, builder.method_timeout(ANSWER_MAX).build()).await;
        let connection = opened.map_err(|_| SystemdError::ConnectTimeout)?.map_err(SystemdError::Connect)?;
        *held = Some(connection.clone());
        Ok(connection)
    }
}

async fn ask(connection: &Connection, pid: u32) -> Result<Unit, SystemdError> {
    let failed = |source| SystemdError::Unit { pid, source };
    let reply = connection.call_method(Some(SYSTEMD), ROOT, Some(MANAGER), "GetUnitByPID", &pid).await;
    let path: OwnedObjectPath = reply.and_then(|reply| reply.body().deserialize()).map_err(failed)?;
    Ok(Unit {
        id: property(connection, &path, "Id").await?,
        fragment_path: property(connection, &path, "FragmentPath").await?,
    })
}

async fn property(
    connection: &Connection,
    path: &OwnedObjectPath,
    property: &'static str,
) -> Result<String, SystemdError> {
    let failed = |source| SystemdError::Property { property, source };
    let reply = connection.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &(UNIT, property)).await;
    let value: OwnedVariant = reply.and_then(|reply| reply.body().deserialize()).map_err(failed)?;
    String::try_from(value).map_err(|_| SystemdError::NotText { property })
}

/// An answer's own words, without the name of the error, as SPIRE tells them.
fn words(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(_, Some(words), _) => words.clone(),
        zbus::Error::FDO(error) => error.description().map_or_else(|| error.to_string(), str::to_owned),
        other => other.to_string(),
    }
}

impl SystemdError {
    fn is_broken_connection(&self) -> bool {
        let (Self::Unit { source, .. } | Self::Property { source, .. }) = self else { return false };
        matches!(source, zbus::Error::InputOutput(_))
    }
}

const SYSTEMD: &str = "org.freedesktop.systemd1";
const ROOT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// systemd answers within milliseconds; three calls and a connection stay within the time that an attestor has.
const ANSWER_MAX: Duration = Duration::from_secs(5);
