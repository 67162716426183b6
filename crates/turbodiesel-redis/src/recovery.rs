//! Brings Redis back: connects, makes sure that it is what it was, tells it what it missed.
//!
//! Runs in a task of its own for as long as the cache lives. While there is a link it looks at it
//! regularly, so that an idle cache notices an outage too.

use std::{
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use redis::{PushKind, Value, cmd, pipe};

use crate::{
    breaker::{Breaker, Former},
    cache::{Settings, unix_millis},
    frame::{self, Framed},
    link::{self, Epoch, Failure, Link, Server, Wire},
    stats::{Trouble, add},
    target::Target,
};

/// The pause after the first attempt that failed. It doubles, up to the probe interval.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How many keys, and about how many bytes, are told in one round trip.
const BATCH_KEYS: usize = 128;
const BATCH_BYTES: usize = 256 << 10;
/// How long the trace of a probe stays in Redis.
const PROBE_TTL_MILLIS: u64 = 10_000;

/// Keeps a link as long as Redis can be reached. Ends only when it is aborted.
pub(crate) async fn run(breaker: Arc<Breaker>, settings: Arc<Settings>, target: Target) {
    let mut number = 0;
    loop {
        let mut pause = FIRST_PAUSE;
        let link = loop {
            number += 1;
            match attempt(&breaker, &settings, &target, number).await {
                Ok(link) => break link,
                Err(()) => {
                    // Processes that lost Redis together do not come back together.
                    let part = 0.5 + fastrand::f64() / 2.0;
                    wait(pause.mul_f64(part)).await;
                    pause = (pause * 2).min(settings.probe_interval.max(FIRST_PAUSE));
                }
            }
        };
        watch(&breaker, &settings, &link).await;
    }
}

/// One attempt to bring a link back.
async fn attempt(
    breaker: &Arc<Breaker>,
    settings: &Settings,
    target: &Target,
    number: u64,
) -> Result<Arc<Link>, ()> {
    let wire = match connect(breaker, settings, target, number).await {
        Ok(wire) => wire,
        Err(failure) => {
            breaker.attempt_failed(&failure, None);
            return Err(());
        }
    };
    breaker.probing.store(true, Relaxed);
    let server = link::identify(&wire).await;
    let brought = match &server {
        Ok(server) => bring(breaker, settings, number, wire, server).await,
        Err(failure) => Err(failure.clone()),
    };
    breaker.probing.store(false, Relaxed);
    brought.map_err(|failure| {
        // Whatever was told through it may yet be done, and must not be when it is old.
        let former = server.ok().map(|server| Former { server, has_unheard_writes: true });
        breaker.attempt_failed(&failure, former);
    })
}

async fn connect(
    breaker: &Arc<Breaker>,
    settings: &Settings,
    target: &Target,
    number: u64,
) -> Result<Wire, Failure> {
    let weak: Weak<Breaker> = Arc::downgrade(breaker);
    let on_push = move |kind| {
        if let (PushKind::Disconnection, Some(breaker)) = (kind, weak.upgrade()) {
            breaker.trip(number, Trouble::Unreachable);
        }
    };
    let roots = settings.root_certificates.as_deref();
    let connecting = target.connect(roots, settings.connect_timeout, on_push);
    // A Sentinel or a Cluster takes several connections, and a server that is stopped accepts one
    // and says nothing.
    let connection = tokio::time::timeout(settings.connect_timeout * 2, connecting)
        .await
        .map_err(|_| Failure::Timeout)?
        .map_err(Failure::from)?;
    Ok(Wire::new(connection, settings.deadline))
}

/// Makes a connection a link.
async fn bring(
    breaker: &Arc<Breaker>,
    settings: &Settings,
    number: u64,
    wire: Wire,
    server: &Server,
) -> Result<Arc<Link>, Failure> {
    // Before anything is told: a write that was sent long ago must not be done after a newer one.
    let former = breaker.former();
    for former in &former {
        let ended = link::end_connection(&wire, server, &former.server).await;
        if !ended && former.has_unheard_writes {
            // It will then be done in a former epoch, where nobody looks.
            breaker.with_journal(|_, journal| journal.rotate());
        }
    }
    breaker.forget_former(former.len());
    let names = &settings.names;
    let probe =
        cmd("SET").arg(names.probe()).arg(number).arg("PX").arg(PROBE_TTL_MILLIS).to_owned();
    wire.ask::<Value>(&probe).await?;

    loop {
        let rotate = breaker.with_journal(|_, journal| journal.must_rotate());
        let nonce = settle_epoch(&wire, names.epoch(), rotate).await?;
        if rotate {
            add(&breaker.counters.rotations, 1);
            tracing::info!("the namespace got a new epoch");
            breaker.with_journal(|_, journal| journal.rotated());
        }
        let Settings { secret, namespace, .. } = settings;
        let epoch = Epoch::new(names, secret, namespace, nonce, &server.history);
        let link = Arc::new(Link::new(number, wire.clone(), server.clone(), epoch, names));
        // Somebody may ask for a new epoch in the meantime.
        if replay(breaker, settings, &link).await? && breaker.restore(Arc::clone(&link)) {
            // A connection that was lost in the meantime told so when there was no link to give up.
            if let Err(failure) = link.read(pipe()).await {
                breaker.read_failed(&link, &failure);
                if failure != Failure::Timeout {
                    return Err(failure);
                }
            }
            return Ok(link);
        }
    }
}

/// Finds the epoch of the namespace, or begins one.
async fn settle_epoch(wire: &Wire, key: String, rotate: bool) -> Result<Bytes, Failure> {
    let fresh = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut set = cmd("SET");
    set.arg(&key).arg(fresh);
    if !rotate {
        set.arg("NX");
    }
    wire.ask::<Value>(&set).await?;
    wire.ask(cmd("GET").arg(&key)).await
}

/// Tells Redis what changed while it was away. False if there is to be a new epoch instead.
async fn replay(breaker: &Breaker, settings: &Settings, link: &Link) -> Result<bool, Failure> {
    loop {
        let (keys, rotate) = breaker.with_journal(|_, journal| match journal.must_rotate() {
            true => (Vec::new(), true),
            false => (journal.take(BATCH_KEYS), false),
        });
        if rotate {
            return Ok(false);
        }
        if keys.is_empty() {
            return Ok(true);
        }
        let mut told = 0;
        while told < keys.len() {
            let (batch, is_set) = batch(breaker, settings, link, &keys[told..]);
            let count = batch.len();
            if let Err(failure) = link.write(batch).await {
                let refused_for_good =
                    matches!(&failure, Failure::Refused(code) if !is_passing(code));
                breaker.with_journal(|memory, journal| {
                    for key in &keys[told..] {
                        if refused_for_good {
                            // This server will not have these values, so they are deleted ones.
                            memory.delete(key);
                        }
                        journal.note(key.clone());
                    }
                    if refused_for_good && !is_set {
                        journal.rotate();
                    }
                });
                if refused_for_good {
                    break;
                }
                return Err(failure);
            }
            add(&breaker.counters.replayed, count);
            told += count;
        }
    }
}

/// Commands for the first of some keys, and whether they set any.
fn batch(
    breaker: &Breaker,
    settings: &Settings,
    link: &Link,
    keys: &[Bytes],
) -> (redis::Pipeline, bool) {
    let (mut commands, mut bytes, mut sets) = (pipe(), 0, false);
    for key in keys {
        if bytes > BATCH_BYTES {
            break;
        }
        match breaker.memory.live(key) {
            Some((entry, left)) => {
                let latest = breaker.memory.longest_left(&entry);
                let framed = Framed {
                    value: entry.value,
                    tier: entry.tier,
                    expires_at: unix_millis() + millis(latest),
                };
                let frame = frame::encode(&link.epoch.seal, key, &framed, settings.compress_from);
                bytes += frame.len();
                sets = true;
                commands.cmd("SET").arg(link.name(key)).arg(frame).arg("PX").arg(millis(left));
            }
            None => {
                commands.cmd("UNLINK").arg(link.name(key));
            }
        }
    }
    (commands, sets)
}

/// Milliseconds as Redis wants them, at least one.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4).max(1)
}

/// Whether a refusal is of the server's present state, not of what it was asked.
fn is_passing(code: &str) -> bool {
    ["OOM", "READONLY", "MISCONF", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "BUSY"]
        .contains(&code)
        || ["TRYAGAIN", "MOVED", "ASK", "NOAUTH", "NOPERM"].contains(&code)
}

/// Returns when the link was given up.
async fn watch(breaker: &Breaker, settings: &Settings, link: &Link) {
    let is_current = || breaker.link().is_some_and(|current| current.number == link.number);
    while is_current() {
        let tripped = breaker.tripped.notified();
        if tokio::time::timeout(settings.probe_interval, tripped).await.is_ok() {
            continue;
        }
        match look(settings, link).await {
            Ok(true) => {}
            Ok(false) => breaker.read_failed(link, &Failure::Rotated),
            Err(failure) => breaker.read_failed(link, &failure),
        }
    }
}

/// Whether the server still is a primary with the same history, and the namespace has its epoch.
async fn look(settings: &Settings, link: &Link) -> Result<bool, Failure> {
    let server = link::identify(&link.wire).await?;
    let nonce: Option<Bytes> = link.wire.ask(cmd("GET").arg(settings.names.epoch())).await?;
    // A read, for it resets the count of those that were slow.
    link.read(pipe()).await?;
    Ok(server == link.server && nonce.as_ref() == Some(&link.epoch.nonce))
}

#[expect(clippy::disallowed_methods, reason = "a pause between attempts is the point")]
async fn wait(pause: Duration) {
    tokio::time::sleep(pause).await;
}
