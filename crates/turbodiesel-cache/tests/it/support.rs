//! A small world for tests: stopped time, numbered answers, reads named by a word.

use std::{future::Future, pin::Pin, sync::Arc, task::Context, time::Duration};

use futures_util::task::noop_waker_ref;
use turbodiesel_cache::{
    Cache, CacheBuilder, Completed, Follow, Followed, Key, Lead, Lookup, Read, Role, Slot, Stamps,
    StampsOptions, TierOptions,
};
use turbodiesel_core::{
    Fingerprint, FingerprintKey, ManualClock, Outcome, TableName, Tag, Tier, Weigh,
};

/// An answer with a number to recognise it by, which claims to weigh so many bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    pub(crate) bytes: usize,
}

pub(crate) fn answer(number: u64) -> Answer {
    Answer { number, bytes: 100 }
}

impl Weigh for Answer {
    fn weight(&self) -> usize {
        self.bytes
    }
}

pub(crate) type TestCache = Cache<Answer, &'static str>;
pub(crate) type TestLead = Lead<Answer, &'static str>;
pub(crate) type TestCompleted = Completed<Answer, &'static str>;
pub(crate) type TestFollow = Follow<Answer, &'static str>;
pub(crate) type TestFollowed = Followed<Answer, &'static str>;

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) stamps: Arc<Stamps>,
    pub(crate) cache: TestCache,
}

/// The TTL of L1 in a [`World`].
pub(crate) const TTL: Duration = Duration::from_secs(10);
/// How long marks without an outcome last.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);

impl World {
    /// Without chance: no jitter and no early refresh.
    pub(crate) fn new() -> Self {
        Self::configured(|builder| builder)
    }

    pub(crate) fn configured(
        configure: impl FnOnce(CacheBuilder<Answer, &'static str>) -> CacheBuilder<Answer, &'static str>,
    ) -> Self {
        let clock = Arc::new(ManualClock::default());
        let options = StampsOptions { tables: 8, hashed: 1_024 };
        let stamps = Stamps::new(clock.clone(), options);
        let builder = Tier::ALL
            .into_iter()
            .fold(Cache::builder().jitter(0.0), |builder, tier| builder.tier(tier, quiet(tier)));
        let cache = configure(builder.stamps(stamps.clone())).build().unwrap();
        Self { clock, stamps, cache }
    }

    pub(crate) fn table(&self, name: &str) -> Slot {
        self.stamps.slot(&table(name))
    }

    /// A value read and put in, outside of any flight.
    pub(crate) fn fill(&self, read: &Read<'_>, number: u64) -> bool {
        let snapshot = self.stamps.snapshot(read.slots.iter().copied());
        self.cache.fill(read, snapshot, answer(number))
    }

    /// The number that a lookup is answered with.
    pub(crate) fn hit(&self, read: &Read<'_>) -> Option<u64> {
        match self.cache.lookup(read) {
            Lookup::Hit { value, .. } => Some(value.number),
            Lookup::Miss => None,
            Lookup::Collision => panic!("a collision"),
        }
    }

    /// The number, the outcome and the refresh that a lookup is answered with.
    pub(crate) fn full_hit(&self, read: &Read<'_>) -> (u64, Outcome, Option<TestLead>) {
        match self.cache.lookup(read) {
            Lookup::Hit { value, outcome, refresh } => (value.number, outcome, refresh),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn lead(&self, read: &Read<'_>) -> TestLead {
        match self.cache.join(read) {
            Role::Lead(lead) => lead,
            Role::Follow(_) => panic!("somebody else leads"),
        }
    }

    pub(crate) fn follow(&self, read: &Read<'_>) -> TestFollow {
        match self.cache.join(read) {
            Role::Follow(follow) => follow,
            Role::Lead(_) => panic!("nobody to follow"),
        }
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

/// A tier's defaults without early refresh.
pub(crate) fn quiet(tier: Tier) -> TierOptions {
    TierOptions { refresh_beta: 0.0, ..TierOptions::default_for(tier) }
}

pub(crate) fn table(name: &str) -> Tag {
    Tag::Table(TableName::unqualified(name))
}

pub(crate) fn fingerprint(identity: &str) -> Fingerprint {
    FingerprintKey::from_words([1, 2]).fingerprint(identity.as_bytes())
}

/// A read from L1.
pub(crate) fn read<'a>(identity: &'a str, slots: &'a [Slot]) -> Read<'a> {
    let key = Key { fingerprint: fingerprint(identity), identity: identity.as_bytes() };
    Read { key, slots, tier: Tier::L1, max_age: None }
}

/// What a leader is answered with, which must not make it wait.
pub(crate) fn at_once(completed: TestCompleted) -> Arc<Answer> {
    Polled::new(completed.value()).poll().expect("an answer at once")
}

/// A future that is polled by hand.
pub(crate) struct Polled<T>(Pin<Box<dyn Future<Output = T> + Send>>);

pub(crate) fn wait(follow: TestFollow) -> Polled<TestFollowed> {
    Polled(Box::pin(follow.wait()))
}

impl<T> Polled<T> {
    pub(crate) fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}

impl Polled<TestFollowed> {
    pub(crate) fn value(&mut self) -> u64 {
        match self.poll() {
            Some(Followed::Value(value)) => value.number,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn lead(&mut self) -> TestLead {
        match self.poll() {
            Some(Followed::Lead(lead)) => lead,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn is_waiting(&mut self) -> bool {
        self.poll().is_none()
    }
}

impl<T> Polled<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}
