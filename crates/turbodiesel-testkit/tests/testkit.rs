//! Private servers start, are private, and leave nothing behind however they end.

mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::MetadataExt,
    panic,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use rustix::process::{Pid, test_kill_process};
use turbodiesel_testkit::{Database, Postgres, PostgresOptions, ServerTls, SqliteFile, database};

use crate::support::eventually;

#[test]
fn a_server_starts_answers_and_leaves_nothing() {
    let server = Postgres::start().unwrap();
    let (folder, process) = (server.folder().to_owned(), process_of(&server));
    assert!(server.version().starts_with(|c: char| c.is_ascii_digit()), "{}", server.version());

    let database = server.create_database().unwrap();
    database.batch_execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)").unwrap();
    drop(database);

    server.stop().unwrap();
    assert!(!folder.exists());
    assert!(!is_running(process));
}

#[test]
fn two_servers_do_not_meet() {
    let (one, two) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    let on_one = one.create_database().unwrap();
    let on_two = two.create_database().unwrap();
    on_one.batch_execute("CREATE TABLE t ()").unwrap();
    on_two.batch_execute("CREATE TABLE t ()").expect("a table of its own");

    drop(on_one);
    drop(one);
    on_two.batch_execute("SELECT * FROM t").expect("the second one does not notice");
}

#[test]
fn nothing_runs_as_root_and_nobody_else_can_enter() {
    let server = Postgres::start().unwrap();
    let folder = fs::metadata(server.folder()).unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
    assert_ne!(folder.uid(), 0);
    // Where there is no /proc, the owner of the folder has to be enough.
    if let Ok(process) = fs::metadata(format!("/proc/{}", process_of(&server))) {
        assert_ne!(process.uid(), 0);
    }
}

#[test]
fn a_database_is_fresh_and_is_dropped_with_its_clients() {
    let (one, two) = (database(), database());
    one.batch_execute("CREATE TABLE t ()").unwrap();
    two.batch_execute("CREATE TABLE t ()").expect("a table of its own");

    let url = one.url().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, connection) =
        runtime.block_on(tokio_postgres::connect(&url, tokio_postgres::NoTls)).unwrap();
    runtime.spawn(connection);
    drop(one);
    assert!(runtime.block_on(client.batch_execute("SELECT 1")).is_err(), "its session has ended");
    let error = Database::on(&url).unwrap_err();
    assert!(error.is_database(), "{error}");
    two.batch_execute("SELECT * FROM t").expect("the other one does not notice");
}

#[test]
fn a_database_can_be_asked_for_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        database().batch_execute("SELECT 1").unwrap();
    });
}

#[test]
fn a_setting_that_postgresql_refuses_is_reported_with_its_log() {
    let options = PostgresOptions {
        settings: vec![("max_connections".into(), "many".into())],
        ..PostgresOptions::default()
    };
    let error = Postgres::with(options).unwrap_err();
    assert!(error.is_server());
    assert!(error.to_string().contains("max_connections"), "{error}");
}

#[test]
fn programs_that_are_asked_for_must_be_there() {
    let options = PostgresOptions { programs: Some("/nowhere".into()), ..Default::default() };
    let error = Postgres::with(options).unwrap_err();
    assert!(error.is_not_installed());
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

#[test]
fn tcp_needs_the_password() {
    let server = Postgres::with(PostgresOptions { tcp: true, ..Default::default() }).unwrap();
    let database = server.create_database().unwrap();
    assert!(database.url().contains("@127.0.0.1:"), "{}", database.url());
    Database::on(database.url()).expect("the password is right");

    let wrong = format!("postgres://postgres:wrong@127.0.0.1:{}/postgres", server.port());
    let error = Database::on(&wrong).unwrap_err();
    assert!(error.is_database(), "{error}");
}

#[test]
fn tls_is_spoken_when_an_identity_is_given() {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let options = PostgresOptions {
        tcp: true,
        tls: Some(ServerTls {
            certificate: identity.cert.pem(),
            key: identity.signing_key.serialize_pem(),
        }),
        hba: Some("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256".into()),
        ..PostgresOptions::default()
    };
    let server = Postgres::with(options).unwrap();
    let database = server.create_database().expect("over the socket");
    let error = Database::on(database.url()).unwrap_err();
    assert!(error.is_database(), "the kit's own client speaks no TLS: {error}");

    // The request that opens every TLS connection to PostgreSQL; `S` agrees, `N` refuses.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"S");
}

#[test]
fn a_panic_ends_the_server() {
    let payload = panic::catch_unwind(|| {
        let server = Postgres::start().unwrap();
        panic::panic_any(server.folder().to_owned());
    });
    let folder = payload.unwrap_err().downcast::<PathBuf>().unwrap();
    assert!(!folder.exists());
}

/// Plays both roles: run once more with the variable set, it is the process that gets killed.
#[test]
fn a_killed_process_leaves_nothing() {
    const ROLE: &str = "TESTKIT_TEST_IS_VICTIM";
    if env::var_os(ROLE).is_some() {
        let server = Postgres::start().unwrap();
        println!("\nVICTIM {} {}", process_of(&server), server.folder().display());
        loop {
            thread::park();
        }
    }
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_nothing", "--nocapture"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with("VICTIM "))
        .expect("the victim starts its server");
    let words: Vec<_> = line.split(' ').collect();
    let (process, folder) = (words[1].parse().unwrap(), Path::new(words[2]));
    assert!(is_running(process) && folder.exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the server and its folder are gone", || !is_running(process) && !folder.exists());
}

/// The window in which no server runs yet: the folder is there and `initdb` writes into it.
#[test]
fn a_process_killed_while_the_server_starts_leaves_nothing() {
    const ROLE: &str = "TESTKIT_TEST_IS_EARLY_VICTIM";
    if env::var_os(ROLE).is_some() {
        let server = Postgres::start().unwrap();
        panic!("not killed before the server was ready: {server:?}");
    }
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_process_killed_while_the_server_starts_leaves_nothing"])
        .env(ROLE, "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let prefix = format!("turbodiesel-{}-", victim.id());
    let folders = || {
        let parents = [env::temp_dir(), "/tmp".into(), "/dev/shm".into()];
        let entries = parents.into_iter().flat_map(fs::read_dir).flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().starts_with(&prefix)).count()
    };
    eventually("the watchdog makes the folder", || folders() > 0);
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the folder is gone", || folders() == 0);
}

#[test]
fn a_sqlite_file_disappears_with_its_journals() {
    let file = SqliteFile::new().unwrap();
    let folder = file.path().parent().unwrap().to_owned();
    for suffix in ["", "-wal", "-shm"] {
        fs::write(format!("{}{suffix}", file.path().display()), "").unwrap();
    }
    drop(file);
    assert!(!folder.exists());
}

fn process_of(server: &Postgres) -> i32 {
    let status = fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
    status.lines().next().unwrap().parse().unwrap()
}

fn is_running(process: i32) -> bool {
    test_kill_process(Pid::from_raw(process).unwrap()).is_ok()
}
