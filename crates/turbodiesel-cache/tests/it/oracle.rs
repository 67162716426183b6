//! Random histories of readers and writers against a small database that remembers everything.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use turbodiesel_cache::{
    Cache, Followed, Lead, Lookup, Read, Role, Slot, Snapshot, Stamps, StampsOptions, TierOptions,
    WriteMark,
};
use turbodiesel_core::{Clock, ManualClock, Nanos, Outcome, Tier, Weigh};

use crate::support::{Polled, quiet, read, table};

const TABLES: usize = 2;
/// Which tables each query reads.
const QUERIES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];
const TTL: Duration = Duration::from_millis(100);
const LIFETIME: Duration = Duration::from_millis(40);

type Versions = [u64; TABLES];

/// What the database said: the number of writes to each table that had landed, and when.
#[derive(Clone, Copy, Debug)]
struct Row {
    versions: Versions,
    read_at: Nanos,
}

impl Weigh for Row {
    fn weight(&self) -> usize {
        1_000
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Lookup {
        query: usize,
        max_age: Option<u64>,
    },
    /// A lookup and, if it has to lead, the load at once.
    Read {
        query: usize,
    },
    /// Some load asks the database.
    Ask {
        which: usize,
    },
    /// Some load that asked completes, or fails, or vanishes, or turns out not to be shareable.
    Land {
        which: usize,
        how: u8,
    },
    /// Some follower is polled, or cancelled.
    Follower {
        which: usize,
        cancel: bool,
    },
    /// A read outside any flight begins, or ends.
    Pinned {
        query: usize,
        which: usize,
    },
    Begin {
        tables: u8,
    },
    /// Some write lands in the database.
    Commit {
        which: usize,
    },
    /// Some write tells its outcome, or loses it.
    End {
        which: usize,
        lose: bool,
    },
    /// Some write that lost its outcome lands after all, if its lifetime is not over.
    LandLate {
        which: usize,
    },
    Change {
        table: usize,
    },
    Clear,
    Advance {
        milliseconds: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..4_usize;
    let query = 0..QUERIES.len();
    let step = prop_oneof![
        15 => query.clone().prop_map(|query| Step::Read { query }),
        8 => (query.clone(), prop::option::weighted(0.2, 0..120_u64))
            .prop_map(|(query, max_age)| Step::Lookup { query, max_age }),
        6 => which.clone().prop_map(|which| Step::Ask { which }),
        6 => (which.clone(), 0..8_u8).prop_map(|(which, how)| Step::Land { which, how }),
        6 => (which.clone(), prop::bool::weighted(0.2))
            .prop_map(|(which, cancel)| Step::Follower { which, cancel }),
        3 => (query, which.clone()).prop_map(|(query, which)| Step::Pinned { query, which }),
        5 => (1..4_u8).prop_map(|tables| Step::Begin { tables }),
        5 => which.clone().prop_map(|which| Step::Commit { which }),
        5 => (which.clone(), prop::bool::weighted(0.3))
            .prop_map(|(which, lose)| Step::End { which, lose }),
        5 => which.prop_map(|which| Step::LandLate { which }),
        1 => (0..TABLES).prop_map(|table| Step::Change { table }),
        1 => Just(Step::Clear),
        4 => (1..60_u64).prop_map(|milliseconds| Step::Advance { milliseconds }),
    ];
    prop::collection::vec(step, 1..120)
}

struct Load {
    lead: Lead<Row, ()>,
    row: Option<Row>,
}

struct Follower {
    query: usize,
    /// What had been acknowledged when the reader came, and when that was.
    acknowledged: Versions,
    came: Nanos,
    waiting: Polled<Followed<Row, ()>>,
}

struct Pinned {
    query: usize,
    snapshot: Snapshot,
    row: Row,
}

struct Write {
    tables: Vec<usize>,
    mark: WriteMark,
    landed: Option<Versions>,
}

struct Lost {
    tables: Vec<usize>,
    deadline: Nanos,
    landed: bool,
}

struct Model {
    clock: Arc<ManualClock>,
    stamps: Arc<Stamps>,
    cache: Cache<Row, ()>,
    slots: Vec<Slot>,
    database: Versions,
    acknowledged: Versions,
    loads: Vec<Load>,
    followers: Vec<Follower>,
    pinned: Vec<Pinned>,
    writes: Vec<Write>,
    lost: Vec<Lost>,
    /// The newest row that each query was served from the cache.
    served: HashMap<usize, Versions>,
    hits: usize,
}

impl Model {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let stamps = Stamps::new(clock.clone(), StampsOptions { tables: 8, hashed: 8 });
        let options = TierOptions {
            ttl: TTL,
            stale_after: Some(TTL / 2),
            // Room for three entries, so that some are evicted.
            capacity_bytes: 3_600,
            ..quiet(Tier::L1)
        };
        let cache = Tier::ALL
            .into_iter()
            .fold(Cache::builder(), |builder, tier| builder.tier(tier, options))
            .max_entry_bytes(1_300)
            .stamps(stamps.clone())
            .build()
            .unwrap();
        let slots = (0..TABLES).map(|n| stamps.slot(&table(&format!("t{n}")))).collect();
        Self {
            clock,
            stamps,
            cache,
            slots,
            database: [0; TABLES],
            acknowledged: [0; TABLES],
            loads: Vec::new(),
            followers: Vec::new(),
            pinned: Vec::new(),
            writes: Vec::new(),
            lost: Vec::new(),
            served: HashMap::new(),
            hits: 0,
        }
    }

    fn slots(&self, tables: &[usize]) -> Vec<Slot> {
        tables.iter().map(|&table| self.slots[table]).collect()
    }

    fn row(&self) -> Row {
        Row { versions: self.database, read_at: self.clock.now() }
    }

    fn land(&mut self, tables: &[usize]) {
        for &table in tables {
            self.database[table] += 1;
        }
    }

    /// C2 and C1: at least what was acknowledged when the reader came, and no older than allowed.
    fn check(&self, query: usize, row: &Row, acknowledged: &Versions, came: Nanos, max: Duration) {
        for &table in QUERIES[query] {
            assert!(row.versions[table] >= acknowledged[table], "an acknowledged write is missing");
        }
        assert!(came.since(row.read_at) < max.max(Duration::from_nanos(1)), "too old");
    }

    /// What is served from the tier is also exact when all is quiet, and never goes back.
    fn check_hit(&mut self, query: usize, row: &Row) {
        self.hits += 1;
        let now = self.clock.now();
        let tables = QUERIES[query];
        let touches = |written: &[usize]| written.iter().any(|table| tables.contains(table));
        let quiet = !self.writes.iter().any(|write| touches(&write.tables))
            && !self.lost.iter().any(|lost| touches(&lost.tables) && now < lost.deadline);
        let last = self.served.entry(query).or_default();
        for &table in tables {
            if quiet {
                assert_eq!(row.versions[table], self.database[table], "stale though all is quiet");
            }
            assert!(row.versions[table] >= last[table], "went back");
        }
        *last = row.versions;
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Lookup { query, max_age } => self.lookup(query, max_age),
            Step::Read { query } => {
                let loads = self.loads.len();
                self.lookup(query, None);
                let row = self.row();
                if self.loads.len() > loads {
                    drop(self.loads.pop().unwrap().lead.complete(row));
                }
            }
            Step::Ask { which } => {
                let row = self.row();
                if let Some(load) = pick(&mut self.loads, which) {
                    load.row.get_or_insert(row);
                }
            }
            Step::Land { which, how } => self.land_load(which, how),
            Step::Follower { which, cancel } => self.follower(which, cancel),
            Step::Pinned { query, which } => {
                if which < self.pinned.len() {
                    let Pinned { query, snapshot, row } = self.pinned.remove(which);
                    let (name, slots) = (query.to_string(), self.slots(QUERIES[query]));
                    self.cache.fill(&read(&name, &slots), snapshot, row);
                } else {
                    let snapshot = self.stamps.snapshot(self.slots(QUERIES[query]));
                    self.pinned.push(Pinned { query, snapshot, row: self.row() });
                }
            }
            Step::Begin { tables } => {
                let tables: Vec<usize> = (0..TABLES).filter(|n| tables & (1 << n) != 0).collect();
                let mark = self.stamps.begin_write(self.slots(&tables), LIFETIME);
                self.writes.push(Write { tables, mark, landed: None });
            }
            Step::Commit { which } => {
                let Some(write) = pick(&mut self.writes, which) else { return };
                if write.landed.is_none() {
                    let tables = write.tables.clone();
                    self.land(&tables);
                    let database = self.database;
                    pick(&mut self.writes, which).unwrap().landed = Some(database);
                }
            }
            Step::End { which, lose } => self.end(which, lose),
            Step::LandLate { which } => {
                let now = self.clock.now();
                let Some(lost) = pick(&mut self.lost, which) else { return };
                if !lost.landed && now < lost.deadline {
                    lost.landed = true;
                    let tables = lost.tables.clone();
                    self.land(&tables);
                }
            }
            Step::Change { table } => self.stamps.change([self.slots[table]]),
            Step::Clear => self.cache.clear(None),
            Step::Advance { milliseconds } => {
                self.clock.advance(Duration::from_millis(milliseconds));
            }
        }
    }

    fn lookup(&mut self, query: usize, max_age: Option<u64>) {
        let (name, slots) = (query.to_string(), self.slots(QUERIES[query]));
        let max_age = max_age.map(Duration::from_millis);
        let read = Read { max_age, ..read(&name, &slots) };
        let (came, acknowledged) = (self.clock.now(), self.acknowledged);
        let max = max_age.unwrap_or(TTL).min(TTL);
        match self.cache.lookup(&read) {
            Lookup::Hit { value, outcome, refresh } => {
                assert!(matches!(outcome, Outcome::Hit(Tier::L1) | Outcome::Stale(Tier::L1)));
                self.check(query, &value, &acknowledged, came, max);
                self.check_hit(query, &value);
                self.loads.extend(refresh.map(|lead| Load { lead, row: None }));
            }
            Lookup::Collision => panic!("a collision"),
            Lookup::Miss => match self.cache.join(&read) {
                Role::Lead(lead) => self.loads.push(Load { lead, row: None }),
                Role::Follow(follow) => {
                    let waiting = Polled::new(follow.wait());
                    self.followers.push(Follower { query, acknowledged, came, waiting });
                }
            },
        }
    }

    fn land_load(&mut self, which: usize, how: u8) {
        if self.loads.is_empty() {
            return;
        }
        let Load { lead, row } = self.loads.remove(which % self.loads.len());
        match (how, row) {
            (0, _) => lead.fail(()),
            (1, _) => lead.unshared(),
            (_, Some(row)) => drop(lead.complete(row)),
            (_, None) => drop(lead),
        }
    }

    fn follower(&mut self, which: usize, cancel: bool) {
        if self.followers.is_empty() {
            return;
        }
        let mut follower = self.followers.remove(which % self.followers.len());
        if cancel {
            return;
        }
        let query = follower.query;
        match follower.waiting.poll() {
            None => self.followers.push(follower),
            Some(Followed::Value(row)) => {
                self.check(query, &row, &follower.acknowledged, follower.came, TTL);
            }
            Some(Followed::Lead(lead)) => self.loads.push(Load { lead, row: None }),
            Some(Followed::Failed(()) | Followed::Unshared) => {}
        }
    }

    fn end(&mut self, which: usize, lose: bool) {
        if self.writes.is_empty() {
            return;
        }
        let Write { tables, mark, landed } = self.writes.remove(which % self.writes.len());
        match (landed, lose) {
            (Some(versions), false) => {
                mark.committed();
                for table in tables {
                    self.acknowledged[table] = self.acknowledged[table].max(versions[table]);
                }
            }
            (None, false) => mark.aborted(),
            (landed, true) => {
                drop(mark);
                let deadline = self.clock.now().plus(LIFETIME);
                self.lost.push(Lost { tables, deadline, landed: landed.is_some() });
            }
        }
    }
}

fn pick<T>(items: &mut [T], which: usize) -> Option<&mut T> {
    let length = items.len();
    items.get_mut(which % length.max(1))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_serves_an_overtaken_answer(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        // Whoever still leads vanishes, and nobody is left waiting for nobody.
        model.loads.clear();
        while !model.followers.is_empty() {
            let before = model.followers.len();
            let lost_leads = |model: &mut Model| model.loads.clear();
            for _ in 0..before {
                model.follower(0, false);
                lost_leads(&mut model);
            }
            assert!(model.followers.len() < before, "followers wait for ever");
        }
        assert_eq!(model.cache.stats().flights, 0);
    }
}
