//! What writers and readers do, as data: moves that happen at once, one after the other.

use crate::{
    protocol::{BEGIN, Ending, Part, Step},
    state::{Effect, Query, Slots},
};

/// A part of a move of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Run(Step),
    /// The two halves of a stamp.
    Tick,
    Store(Part),
    Acknowledge,
}

/// What happens at once: nobody sees a state in between.
pub(crate) type Move = Vec<Op>;

/// What a writer does before it sends the statement, and once its outcome is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) begin: Vec<Move>,
    /// The endings that occur.
    pub(crate) endings: Vec<(Ending, Vec<Move>)>,
}

impl Program {
    pub(crate) fn ending(&self, ending: Ending) -> &[Move] {
        let moves = self.endings.iter().find(|(other, _)| *other == ending);
        moves.map_or(&[], |(_, moves)| moves)
    }
}

/// One writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriterKind {
    /// What it is sure to change.
    pub(crate) certain: Slots,
    /// What stands for all that it may change besides.
    pub(crate) expected: Slots,
    /// What it may turn out to do.
    pub(crate) effects: &'static [Effect],
    pub(crate) program: Program,
}

/// The steps of a writer within one process, and the endings that occur.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    begin: &'static [Step],
    endings: Vec<(Ending, &'static [Step])>,
    acknowledges_first: bool,
}

impl Protocol {
    /// What the library does.
    pub(crate) fn library() -> Self {
        use Ending::{Aborted, Committed, CommittedExactly, Unknown};
        let endings = [Committed, CommittedExactly, Aborted, Unknown];
        let endings = endings.map(|ending| (ending, ending.steps())).into();
        Self { begin: BEGIN, endings, acknowledges_first: false }
    }

    /// What the library does where somebody finds out what became of a write.
    pub(crate) fn doubting() -> Self {
        use Ending::{Committed, Doubted, Settled, SettledAborted, Unsettled};
        let endings = [Committed, Doubted, Settled, SettledAborted, Unsettled];
        let endings = endings.map(|ending| (ending, ending.steps())).into();
        Self { endings, ..Self::library() }
    }

    /// The same but for its beginning.
    pub(crate) fn beginning(mut self, steps: &'static [Step]) -> Self {
        self.begin = steps;
        self
    }

    /// The same but for one ending.
    pub(crate) fn ending(mut self, ending: Ending, steps: &'static [Step]) -> Self {
        self.endings.retain(|(other, _)| *other != ending);
        self.endings.push((ending, steps));
        self
    }

    /// The same, but the write is acknowledged before anything else is done.
    pub(crate) fn acknowledging_first(mut self) -> Self {
        self.acknowledges_first = true;
        self
    }

    /// A writer that follows it.
    pub(crate) fn writer(
        &self,
        certain: Slots,
        expected: Slots,
        effects: &'static [Effect],
        grain: Grain,
    ) -> WriterKind {
        let has_part = |part: Part| match part {
            Part::Certain => certain != Slots::NONE,
            Part::Expected | Part::Touched => expected != Slots::NONE,
        };
        let program = |steps: &[Step]| -> Vec<Move> {
            let steps = steps.iter().copied().filter(|step| match *step {
                Step::Announce(part)
                | Step::Mark(part)
                | Step::Stamp(part)
                | Step::Hold(part)
                | Step::Lift(part)
                | Step::Doubt(part)
                | Step::Settle(part)
                | Step::Withdraw(part) => has_part(part),
            });
            steps.flat_map(|step| grain.moves(step)).collect()
        };
        let endings = self
            .endings
            .iter()
            .filter(|(ending, _)| *ending != Ending::CommittedExactly || expected != Slots::NONE);
        let endings = endings.map(|(ending, steps)| {
            let mut moves = program(steps);
            if matches!(ending, Ending::Committed | Ending::CommittedExactly | Ending::Settled) {
                match moves.last_mut() {
                    // Together with the last step: that asks more than a pause in between would.
                    Some(last) if !self.acknowledges_first => last.push(Op::Acknowledge),
                    _ => moves.insert(0, vec![Op::Acknowledge]),
                }
            }
            (*ending, moves)
        });
        let program = Program { begin: program(self.begin), endings: endings.collect() };
        WriterKind { certain, expected, effects, program }
    }
}

/// How much happens at once. The finest grain is what happens on atomics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Fine,
    /// A stamp is stored as soon as its tick is taken, and a snapshot takes no time.
    Coarse,
}

impl Grain {
    fn moves(self, step: Step) -> Vec<Move> {
        match (self, step) {
            (Grain::Fine, Step::Stamp(part)) => vec![vec![Op::Tick], vec![Op::Store(part)]],
            _ => vec![vec![Op::Run(step)]],
        }
    }

    /// How a reader of the library loads.
    pub(crate) fn load(self) -> Vec<Vec<Load>> {
        use Load::{Deadlines, Doubts, Land, Read, Tick, Writers};
        let (snapshot, marks) = (vec![Tick, Writers, Doubts, Deadlines], vec![Doubts, Deadlines]);
        match self {
            Grain::Fine => vec![vec![Tick], vec![Writers], marks, vec![Read], vec![Land]],
            Grain::Coarse => vec![snapshot, vec![Read], vec![Land]],
        }
    }
}

/// A part of a move of a reader who has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Takes the version of the answer.
    Tick,
    /// Looks for writers in flight.
    Writers,
    /// Looks for those whose outcome somebody is finding out.
    Doubts,
    /// Looks for deadlines of those that left without an outcome.
    Deadlines,
    /// Reads the database.
    Read,
    /// Keeps the answer if it may, and returns it.
    Land,
}

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Looks for an entry, then for a load to share, and leads one otherwise.
    Shared,
    /// Never waits for another's load, as on a connection that it holds.
    Alone,
    /// Accepts nothing that was read before it came: neither an entry nor a load under way.
    Impatient,
}

/// One reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderKind {
    pub(crate) mode: Mode,
    pub(crate) queries: &'static [Query],
    pub(crate) reads: u8,
}
