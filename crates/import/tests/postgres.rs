//! The dump in a PostgreSQL of its own gives the same records. Without PostgreSQL's programs this is not run.

mod support;

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::types::ValueRef;
use steeple_core::{Timestamp, TrustDomain};
use steeple_import::{PostgresOptions, Source, plan};
use support::{DUMP, keys, read, sqlite_of};
use tempfile::TempDir;

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

struct Postgres {
    /// Held open: another connection is another user of the database.
    client: tokio_postgres::Client,
    process: Child,
    dir: TempDir,
}

impl Postgres {
    async fn start() -> Option<Self> {
        let programs = programs()?;
        // Where another user may go, and short enough for the name of a socket.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        if nix::unistd::geteuid().is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let data = dir.path().join("data");
        let made = as_nobody(&programs.join("initdb"), dir.path())
            .args(["--auth", "trust", "--username", "spire", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut process = as_nobody(&programs.join("postgres"), dir.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "unix_socket_directories=."])
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = log.lines().map_while(Result::ok);
        lines.find(|line| line.contains("ready to accept connections")).expect("PostgreSQL starts");
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        let config = format!("host={} user=spire dbname=postgres", data.display());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Some(Self { client, process, dir })
    }

    fn source(&self) -> Source {
        let data = self.dir.path().join("data");
        format!("postgres:host={} user=spire dbname=postgres", data.display()).parse().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    found.find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}

fn as_nobody(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdout(Stdio::null()).env("LC_ALL", "C");
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The tables of the SQLite file at `path`, with the types that SPIRE gives them in PostgreSQL.
fn as_postgres(path: &Path) -> String {
    let sqlite = rusqlite::Connection::open(path).unwrap();
    let mut sql = String::new();
    let mut tables = sqlite.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
    let tables = tables.as_mut().unwrap().query_map([], |row| row.get::<_, String>(0)).unwrap();
    for table in tables.map(Result::unwrap) {
        let mut columns = sqlite.prepare(&format!("SELECT name, type FROM pragma_table_info('{table}')")).unwrap();
        let columns = columns.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        // SQLite tells the names of some types in capitals.
        let columns: Vec<(String, String)> =
            columns.map(Result::unwrap).map(|(name, kind)| (name, kind.to_lowercase())).collect();
        let declared = columns.iter().map(|(name, kind)| {
            let kind = match kind.as_str() {
                "blob" => "bytea",
                "bool" => "boolean",
                "datetime" => "timestamp with time zone",
                other => other,
            };
            format!("\"{name}\" {kind}")
        });
        sql += &format!("CREATE TABLE \"{table}\" ({});\n", declared.collect::<Vec<_>>().join(", "));
        let mut rows = sqlite.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = columns.iter().enumerate().map(|(at, (_, kind))| literal(row.get_ref(at).unwrap(), kind));
            sql += &format!("INSERT INTO \"{table}\" VALUES ({});\n", values.collect::<Vec<_>>().join(", "));
        }
    }
    sql
}

fn literal(value: ValueRef<'_>, kind: &str) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) if kind == "bool" => (number != 0).to_string(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''")),
        ValueRef::Blob(bytes) => format!("decode('{}', 'hex')", hex::encode(bytes)),
        ValueRef::Real(_) => panic!("no column is a fraction"),
    }
}

#[tokio::test]
async fn both_databases_give_the_same_records() {
    let Some(postgres) = Postgres::start().await else {
        eprintln!("not run: no PostgreSQL below /usr/lib/postgresql");
        return;
    };
    let (_dir, path) = sqlite_of(DUMP);
    postgres.client.batch_execute(&as_postgres(&path)).await.unwrap();
    let source = postgres.source();
    let (now, domain) = (Timestamp::from_secs(1_800_000_000), TrustDomain::from_name("example.org").unwrap());
    let found = source.read(&PostgresOptions::default()).await.unwrap();
    assert!(found.in_use, "the test itself has it open");
    assert_eq!((found.schema_version, found.unknown_columns.len()), (25, 0));
    let found = plan(found, &[keys()], &domain, now).unwrap();
    let expected = plan(read(&path).await.unwrap(), &[keys()], &domain, now).unwrap();
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));

    postgres.client.batch_execute("UPDATE migrations SET version = 99").await.unwrap();
    let error = source.read(&PostgresOptions::default()).await.err().unwrap().to_string();
    assert!(error.contains("schema version 99"), "{error}");
    let wrong = source.name();
    assert!(wrong.ends_with("/postgres"), "{wrong}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told() {
    let source: Source = "postgres:host=/nonexistent user=canary dbname=d".parse().unwrap();
    let error = source.read(&PostgresOptions::default()).await.err().unwrap().to_string();
    assert!(error.starts_with("the PostgreSQL database cannot be read"), "{error}");
}
