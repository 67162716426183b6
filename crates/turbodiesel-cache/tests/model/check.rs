//! What is claimed, and what the checker finds out about it.

use std::time::Instant;

use stateright::{Checker, Model, Property};

use crate::{
    state::{Query, Slots, Stage, State},
    world::{Action, Checked, World},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// No read that started after a write was acknowledged returns an older answer.
    P1,
    /// No stale entry stays valid once all is quiet: writers are gone and deadlines have passed.
    P2,
    /// No read returns an older answer than one that was returned before it started.
    P3,
    /// Every acknowledged write leaves nothing behind, and nothing is kept after it. A model in
    /// which this held would be about nothing.
    NothingIsKept,
    /// Every acknowledged write of `k = 1` ends the answer for `k = 2`. It must not.
    NothingSurvives,
}

impl Claim {
    pub(crate) fn property(self) -> Property<Checked> {
        match self {
            Claim::P1 => Property::always("P1", |_, state: &State| !state.read_stale),
            Claim::P2 => Property::always("P2", |_, state| !is_quiet_and_stale(state)),
            Claim::P3 => Property::always("P3", |_, state: &State| !state.went_back),
            Claim::NothingIsKept => Property::always("nothing is kept", |_, state: &State| {
                !Query::ALL.into_iter().any(|query| {
                    state.acknowledged[query as usize] > 0 && state.valid_entry(query).is_some()
                })
            }),
            Claim::NothingSurvives => Property::always("nothing survives", |_, state: &State| {
                let written = Slots::ONE.indices().map(|slot| state.stamps[slot]).max();
                state.acknowledged[Query::One as usize] == 0
                    || state.valid_entry(Query::Two).is_none_or(|two| Some(two.version) > written)
            }),
        }
    }
}

fn is_quiet_and_stale(state: &State) -> bool {
    let quiet = state.writers.iter().all(|writer| match writer.stage {
        Stage::Beginning => writer.moves == 0,
        Stage::InFlight => writer.effect.is_none() && !writer.has_marked(),
        Stage::Ending(_) | Stage::Doubted => false,
        Stage::Over => !writer.may_land && !writer.holds(),
    });
    let stale = |query: Query| {
        state.valid_entry(query).is_some_and(|entry| entry.value < state.database[query as usize])
    };
    quiet && Query::ALL.into_iter().any(stale)
}

/// A world, the claims that hold in it, and those that do not.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) world: World,
    pub(crate) holds: &'static [Claim],
    pub(crate) fails: &'static [Claim],
}

impl Case {
    /// Visits every state for what holds, and as many as it takes for what does not.
    ///
    /// # Panics
    ///
    /// If a verdict is another.
    #[expect(clippy::disallowed_methods, reason = "people want to know how long it took")]
    pub(crate) fn check(&self) {
        let Self { name, world, holds, fails } = self;
        if !holds.is_empty() {
            let start = Instant::now();
            let (steps, states) = explore(world, holds);
            if !steps.is_empty() {
                // The checker remembers the last counterexample that it met. One claim alone ends
                // with the first.
                let shortest = holds.iter().map(|claim| (claim, explore(world, &[*claim]).0));
                panic!("{name}: broken by {:?}", shortest.collect::<Vec<_>>());
            }
            let seconds = start.elapsed().as_secs_f64();
            println!("{name:<66} {holds:?} hold in {states} states, {seconds:.1} s");
        }
        for claim in *fails {
            let (steps, states) = explore(world, &[*claim]);
            let Some(steps) = steps.first() else {
                panic!("{name}: {claim:?} holds in all {states} states");
            };
            println!("{name:<66} {claim:?} fails in {} steps, {states} states", steps.len());
        }
    }
}

/// Counterexamples, and how many states were visited. A single claim's is a shortest one.
fn explore(world: &World, claims: &[Claim]) -> (Vec<Vec<Action>>, usize) {
    let world = World { remembers_seen: claims.contains(&Claim::P3), ..world.clone() };
    let checked = Checked { world, claims: claims.to_vec() };
    // One thread, because two would not visit the nearer states first. Tests run side by side anyway.
    let checker = checked.checker().threads(1).spawn_bfs().join();
    let steps = checker.discoveries().into_values().map(|path| path.into_actions()).collect();
    (steps, checker.unique_state_count())
}
