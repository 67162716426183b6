//! Private Redis servers start, can be killed and started again, and leave nothing behind.

mod support;

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use rustix::process::{Pid, test_kill_process};
use turbodiesel_testkit::{Redis, RedisCluster, RedisOptions, RedisSentinel, ServerTls};

use crate::support::eventually;

#[test]
fn a_server_starts_answers_and_leaves_nothing() {
    let server = Redis::start().unwrap();
    assert!(server.version().starts_with(|c: char| c.is_ascii_digit()), "{}", server.version());
    assert_eq!(server.command(&["SET", "k", "a\r\nb"]).unwrap(), "OK");
    assert_eq!(server.command(&["GET", "k"]).unwrap(), "a\r\nb");
    assert_eq!(server.command(&["MGET", "k", "none"]).unwrap(), "a\r\nb\n");
    let error = server.command(&["NO-SUCH-COMMAND"]).unwrap_err();
    assert!(error.is_database(), "{error}");

    let (folder, process) = (server.folder().to_owned(), server.process_id());
    assert!(is_running(process));
    server.stop().unwrap();
    assert!(!folder.exists() && !is_running(process));
}

#[test]
fn a_killed_server_starts_again_at_its_port_and_empty() {
    let mut server = Redis::start().unwrap();
    let url = server.url();
    server.command(&["SET", "k", "v"]).unwrap();
    server.kill();
    assert!(server.command(&["GET", "k"]).is_err());
    server.restart().unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(server.command(&["GET", "k"]).unwrap(), "");
}

#[test]
fn a_paused_server_is_ended_too() {
    let server = Redis::start().unwrap();
    let (folder, process) = (server.folder().to_owned(), server.process_id());
    server.pause();
    drop(server);
    assert!(!folder.exists() && !is_running(process));
}

#[test]
fn a_setting_that_redis_refuses_is_reported_with_its_log() {
    let options = RedisOptions {
        settings: vec![("maxclients".into(), "many".into())],
        ..RedisOptions::default()
    };
    let error = Redis::with(options).unwrap_err();
    assert!(error.is_server());
    assert!(error.to_string().contains("maxclients"), "{error}");
}

#[test]
fn the_network_needs_the_password() {
    use std::io::Write;

    let server = Redis::start().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.write_all(b"GET k\r\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("-NOAUTH"), "{answer}");
}

#[test]
fn tls_is_spoken_when_an_identity_is_given() {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls =
        ServerTls { certificate: identity.cert.pem(), key: identity.signing_key.serialize_pem() };
    let server = Redis::with(RedisOptions { tls: Some(tls), ..RedisOptions::default() }).unwrap();
    assert!(server.url().starts_with("rediss://"));
    assert_eq!(server.command(&["PING"]).expect("over the socket"), "PONG");
}

#[test]
fn a_replica_follows_its_primary_and_takes_its_place() {
    let mut group = RedisSentinel::start().unwrap();
    group.primary.command(&["SET", "k", "v"]).unwrap();
    eventually("the replica has it", || {
        group.replica.command(&["GET", "k"]).is_ok_and(|value| value == "v")
    });
    assert!(group.replica.command(&["SET", "k", "w"]).is_err(), "a replica is read only");
    group.primary.kill();
    eventually("the replica takes over", || group.replica.command(&["SET", "k", "w"]).is_ok());
}

#[test]
fn a_cluster_spreads_its_keys() {
    let cluster = RedisCluster::start().unwrap();
    let taken = cluster.nodes.iter().filter(|node| node.command(&["SET", "k", "v"]).is_ok());
    assert_eq!(taken.count(), 1);
}

/// Plays both roles: run once more with the variable set, it is the process that gets killed.
#[test]
fn a_killed_process_leaves_nothing() {
    const ROLE: &str = "TESTKIT_TEST_IS_VICTIM";
    if env::var_os(ROLE).is_some() {
        let server = Redis::start().unwrap();
        println!("\nVICTIM {} {}", server.process_id(), server.folder().display());
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

fn is_running(process: i32) -> bool {
    test_kill_process(Pid::from_raw(process).unwrap()).is_ok()
}
