//! What writers do: begin, commit, end in one of several ways, and perhaps leave a late commit.

use crate::{
    program::{Op, WriterKind},
    protocol::{Ending, Step},
    state::{Effect, Query, Stage, State, Writer},
    world::{Action, Checked, World},
};

impl Checked {
    pub(crate) fn actions_of_writer(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let World { shared, crashes, deadlines_are_short, .. } = &self.world;
        let WriterKind { effects, program, .. } = &self.world.writers[index];
        let writer = &state.writers[index];
        match writer.stage {
            Stage::Beginning | Stage::Ending(_) => actions.push(Action::Write(index)),
            Stage::InFlight => {
                if writer.effect.is_none() {
                    actions.extend(effects.iter().map(|effect| Action::Commit(index, *effect)));
                }
            }
            Stage::Doubted | Stage::Over => {}
        }
        let endings = program.endings.iter().map(|(ending, _)| *ending);
        let endings = endings.filter(|ending| writer.may_end(*ending));
        actions.extend(endings.map(|ending| Action::End(index, ending)));
        if writer.may_land {
            actions.extend(effects.iter().map(|effect| Action::CommitLate(index, *effect)));
        }
        let begun = !matches!((writer.stage, writer.moves), (Stage::Beginning, 0));
        if *crashes && begun && writer.stage != Stage::Over {
            actions.push(Action::Crash(index));
        }
        let marks_expire = *shared && *deadlines_are_short && writer.has_marked();
        if writer.holds() || marks_expire {
            actions.push(Action::Expire(index));
        }
    }

    /// Makes the next move.
    pub(crate) fn write(&self, state: &mut State, index: usize) {
        let program = &self.world.writers[index].program;
        let writer = &state.writers[index];
        let moves = match writer.stage {
            Stage::Beginning => &program.begin,
            Stage::Ending(ending) => program.ending(ending),
            Stage::InFlight | Stage::Doubted | Stage::Over => &[],
        };
        let mut left = moves.iter().skip(usize::from(writer.moves));
        for op in left.next().into_iter().flatten() {
            self.run(state, index, *op);
        }
        let writer = &mut state.writers[index];
        writer.moves += 1;
        if left.len() == 0 {
            writer.stage = match writer.stage {
                Stage::Beginning => Stage::InFlight,
                Stage::Ending(Ending::Doubted) => Stage::Doubted,
                _ => Stage::Over,
            };
            writer.moves = 0;
        }
    }

    fn run(&self, state: &mut State, index: usize, op: Op) {
        let kind = &self.world.writers[index];
        let writer = &mut state.writers[index];
        match op {
            Op::Run(Step::Announce(part)) => writer.announced.set(part, true),
            Op::Run(Step::Withdraw(part)) => writer.announced.set(part, false),
            Op::Run(Step::Mark(part)) => writer.marked.set(part, true),
            Op::Run(Step::Lift(part)) => writer.marked.set(part, false),
            Op::Run(Step::Hold(part)) => writer.held.set(part, true),
            Op::Run(Step::Doubt(part)) => writer.doubted.set(part, true),
            Op::Run(Step::Settle(part)) => writer.doubted.set(part, false),
            Op::Run(Step::Stamp(part)) => {
                self.run(state, index, Op::Tick);
                self.run(state, index, Op::Store(part));
            }
            Op::Tick => state.writers[index].tick = state.tick(),
            Op::Store(part) => {
                let tick = std::mem::take(&mut writer.tick);
                for slot in writer.slots(kind, part).indices() {
                    let stamp = &mut state.stamps[slot];
                    *stamp = tick.max(*stamp);
                }
            }
            Op::Acknowledge => {
                for (acknowledged, landed) in state.acknowledged.iter_mut().zip(writer.landed) {
                    *acknowledged = landed.max(*acknowledged);
                }
            }
        }
    }
}

impl Writer {
    fn may_end(&self, ending: Ending) -> bool {
        let (sent, doubted) = (self.stage == Stage::InFlight, self.stage == Stage::Doubted);
        match ending {
            Ending::Committed | Ending::CommittedExactly => sent && self.effect.is_some(),
            Ending::Aborted => sent && self.effect.is_none(),
            Ending::Unknown | Ending::Doubted => sent,
            Ending::Settled | Ending::Unsettled => doubted,
            Ending::SettledAborted => doubted && self.effect.is_none(),
        }
    }

    /// The outcome is told, or lost.
    pub(crate) fn end(&mut self, ending: Ending) {
        (self.stage, self.moves) = (Stage::Ending(ending), 0);
        match ending {
            Ending::Unknown | Ending::Doubted => self.may_land = self.effect.is_none(),
            Ending::Unsettled => {}
            // Whoever knows has made sure.
            _ => self.may_land = false,
        }
    }
}

pub(crate) fn commit(state: &mut State, index: usize, effect: Effect) {
    let writer = &mut state.writers[index];
    writer.effect = Some(effect);
    for query in Query::ALL.into_iter().filter(|query| effect.changes(*query)) {
        let value = &mut state.database[query as usize];
        *value += 1;
        writer.landed[query as usize] = *value;
    }
}
