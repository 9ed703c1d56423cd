//! The attestor on a real bus, `dbus-daemon`, where a double of systemd answers.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use steeple_testkit::announce_double;
use zbus::connection::Builder;
use zbus::wire::{ObjectPath, OwnedObjectPath};
use zbus::{Connection, interface};

use super::SystemdAttestor;
use super::units::Units;

/// A bus of its own; `None`, said on standard error, where `dbus-daemon` is not installed.
struct Bus {
    daemon: Child,
    address: String,
}

struct ManagerDouble;

/// What systemd answers for a process that it did not start.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum ErrorDouble {
    #[zbus(error)]
    Bus(zbus::Error),
    NoUnitForPID(String),
}

struct UnitDouble;

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl ManagerDouble {
    #[zbus(name = "GetUnitByPID")]
    fn unit_by_pid(&self, pid: u32) -> Result<OwnedObjectPath, ErrorDouble> {
        match pid {
            PID => Ok(ObjectPath::from_static_str_unchecked(UNIT).into()),
            _ => Err(ErrorDouble::NoUnitForPID(format!("PID {pid} does not belong to any loaded unit."))),
        }
    }
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl UnitDouble {
    #[zbus(property)]
    fn id(&self) -> &str {
        "nginx.service"
    }

    #[zbus(property)]
    fn fragment_path(&self) -> &str {
        "/lib/systemd/system/nginx.service"
    }
}

impl Bus {
    fn start(socket: &Path) -> Option<Self> {
        // Without the identity of one daemon, as in the system bus's address.
        let address = format!("unix:path={}", socket.display());
        let mut command = Command::new("dbus-daemon");
        command
            .args(["--session", "--nofork", "--print-address=1", &format!("--address={address}")])
            .stdout(Stdio::piped());
        let Ok(mut daemon) = command.spawn() else {
            eprintln!("not run: there is no dbus-daemon");
            return None;
        };
        // It listens once it says where.
        BufReader::new(daemon.stdout.take()?).read_line(&mut String::new()).ok()?;
        Some(Self { daemon, address })
    }

    async fn systemd_double(&self) -> Connection {
        announce_double("systemd");
        let builder = Builder::address(self.address.as_str()).name("org.freedesktop.systemd1");
        let builder = builder.serve_at("/org/freedesktop/systemd1", ManagerDouble);
        builder.serve_at(UNIT, UnitDouble).build().await.unwrap()
    }

    fn attestor(&self) -> SystemdAttestor {
        SystemdAttestor { units: Units::on_bus(&self.address) }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[tokio::test]
async fn a_unit_is_told_by_systemd_and_a_process_without_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = Bus::start(&dir.path().join("bus")) else { return };
    let attestor = bus.attestor();
    let unknown = attestor.values(7).await.unwrap_err().to_string();
    assert!(unknown.starts_with("failed to get unit by pid 7: "), "{unknown}");
    let _systemd = bus.systemd_double().await;
    let values = attestor.values(PID as i32).await.unwrap();
    assert_eq!(values, ["id:nginx.service", "fragment_path:/lib/systemd/system/nginx.service"]);
    let unknown = attestor.values(8).await.unwrap_err().to_string();
    assert_eq!(unknown, "failed to get unit by pid 8: PID 8 does not belong to any loaded unit.");
    assert_eq!(attestor.values(-1).await.unwrap_err().to_string(), "invalid value for PID: -1");
}

#[tokio::test]
async fn a_bus_that_comes_back_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    let Some(bus) = Bus::start(&socket) else { return };
    let attestor = bus.attestor();
    let systemd = bus.systemd_double().await;
    assert!(attestor.values(PID as i32).await.is_ok());
    drop((systemd, bus));
    let gone = attestor.values(PID as i32).await.unwrap_err().to_string();
    assert!(gone.starts_with("failed to "), "{gone}");
    let _ = std::fs::remove_file(&socket);
    let bus = Bus::start(&socket).unwrap();
    let _systemd = bus.systemd_double().await;
    let again = attestor.values(PID as i32).await;
    assert!(again.is_ok(), "{again:?}");
}

const PID: u32 = 4711;
const UNIT: &str = "/org/freedesktop/systemd1/unit/nginx_2eservice";
