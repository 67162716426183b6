//! What is claimed, and what the checker finds out about it.

use std::time::Instant;

use stateright::{Checker, Model, Property};

use crate::{
    state::{Entry, Query, Stage, State},
    world::{Action, Checked, World},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// No read that started after a write was acknowledged returns an older answer.
    P1,
    /// No stale entry is believed once all is quiet: writers are gone, and nothing lands any more.
    P2,
    /// No read returns an older answer than one that was returned before it started.
    P3,
    /// Nothing that an acknowledged write has changed is kept. A model in which this held would be
    /// about nothing.
    NothingIsKept,
    /// Every acknowledged write of `k = 1` ends the answer for `k = 2`. It must not.
    NothingSurvives,
}

impl Claim {
    pub(crate) fn property(self) -> Property<Checked> {
        match self {
            Claim::P1 => Property::always("P1", |_, state: &State| !state.read_stale),
            Claim::P2 => Property::always("P2", is_not_both_quiet_and_stale),
            Claim::P3 => Property::always("P3", |_, state: &State| !state.went_back),
            Claim::NothingIsKept => {
                Property::always("nothing is kept", |model: &Checked, state: &State| {
                    !Query::ALL.into_iter().any(|query| {
                        let acknowledged = state.acknowledged[query as usize] > 0;
                        acknowledged && believed(model, state, query).is_some()
                    })
                })
            }
            Claim::NothingSurvives => {
                Property::always("nothing survives", |model: &Checked, state: &State| {
                    state.acknowledged[Query::One as usize] == 0
                        || believed(model, state, Query::Two).is_none_or(|entry| !entry.early)
                })
            }
        }
    }
}

fn believed(model: &Checked, state: &State, query: Query) -> Option<Entry> {
    state.believed(&model.world.writers, query)
}

fn is_not_both_quiet_and_stale(model: &Checked, state: &State) -> bool {
    let quiet =
        state.writers.iter().zip(&model.world.writers).all(|(writer, kind)| match writer.stage {
            Stage::Beginning => writer.moves == 0,
            Stage::InFlight => writer.effect.is_none() && kind.program.begin.is_empty(),
            Stage::Ending(_) => false,
            Stage::Over => !writer.may_land,
        });
    let stale = |query: Query| {
        believed(model, state, query)
            .is_some_and(|entry| entry.value < state.database[query as usize])
    };
    !(quiet && Query::ALL.into_iter().any(stale))
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
            if std::env::var_os("TURBODIESEL_MODEL_TRACES").is_some() {
                steps.iter().for_each(|step| println!("    {step:?}"));
            }
        }
    }

    /// The same where there is time: with `TURBODIESEL_LONG_MODEL` set. It has too many states for
    /// every run.
    pub(crate) fn check_long(&self) {
        if std::env::var_os("TURBODIESEL_LONG_MODEL").is_some() {
            self.check();
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
