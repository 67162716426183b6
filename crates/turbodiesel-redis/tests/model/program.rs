//! What writers and readers do, as data: moves that happen at once, one after the other.

use crate::{
    protocol::{BEGIN, Ending, Part, Step},
    state::{Effect, Query, TABLES, Tags},
};

/// A part of a move of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A step, on the record of a table.
    Run(Step, usize),
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

    pub(crate) fn marks(&self) -> bool {
        self.begin.iter().flatten().any(|op| matches!(op, Op::Run(Step::Mark, _)))
    }
}

/// One writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriterKind {
    /// What it is sure to change.
    pub(crate) certain: Tags,
    /// What stands for all that it may change besides.
    pub(crate) expected: Tags,
    /// What it may turn out to do.
    pub(crate) effects: &'static [Effect],
    pub(crate) program: Program,
}

/// The steps of a writer, and the endings that occur.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) begin: &'static [Step],
    pub(crate) endings: Vec<(Ending, &'static [Step])>,
    pub(crate) acknowledges_first: bool,
    /// Each step is a move of its own.
    pub(crate) in_single_steps: bool,
    /// Which node it turns to first.
    pub(crate) order: [usize; TABLES],
}

impl Protocol {
    /// What is written down in `protocol`.
    pub(crate) fn shared() -> Self {
        use Ending::{Aborted, Committed, CommittedExactly, Untold};
        let endings = [Committed, CommittedExactly, Aborted, Untold];
        let endings = endings.map(|ending| (ending, ending.steps())).into();
        Self {
            begin: BEGIN,
            endings,
            acknowledges_first: false,
            in_single_steps: false,
            order: [0, 1],
        }
    }

    /// A writer that begins so, commits, ends so, and is never told anything else.
    pub(crate) fn plain(begin: &'static [Step], committed: &'static [Step]) -> Self {
        Self { begin, endings: vec![(Ending::Committed, committed)], ..Self::shared() }
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

    /// A writer that follows it.
    pub(crate) fn writer(
        &self,
        certain: Tags,
        expected: Tags,
        effects: &'static [Effect],
    ) -> WriterKind {
        let learns = expected != Tags::NONE;
        let needed = |step: &Step| match step {
            Step::Stamp(Part::Expected | Part::Touched) => learns,
            _ => true,
        };
        let moves = |steps: &'static [Step]| -> Vec<Move> {
            let tables = self.order.into_iter();
            let tables = tables.filter(|table| certain.and(expected).of(*table) != Tags::NONE);
            let at_once = if self.in_single_steps { 1 } else { steps.len().max(1) };
            tables
                .flat_map(|table| steps.chunks(at_once).map(move |steps| (steps, table)))
                .map(|(steps, table)| {
                    let steps = steps.iter().copied().filter(needed);
                    steps.map(|step| Op::Run(step, table)).collect()
                })
                .filter(|ops: &Move| !ops.is_empty())
                .collect()
        };
        let occurs = |ending: Ending| ending != Ending::CommittedExactly || learns;
        let endings = self.endings.iter().filter(|(ending, _)| occurs(*ending));
        let endings = endings.map(|(ending, steps)| {
            let mut moves = moves(steps);
            if *ending != Ending::Aborted {
                match moves.last_mut() {
                    // Together with the last step: that asks more than a pause in between would.
                    Some(last) if !self.acknowledges_first => last.push(Op::Acknowledge),
                    _ => moves.insert(0, vec![Op::Acknowledge]),
                }
            }
            (*ending, moves)
        });
        let program = Program { begin: moves(self.begin), endings: endings.collect() };
        WriterKind { certain, expected, effects, program }
    }
}

/// A part of a move of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Looks at the stamps in the record of a table.
    Stamps(usize),
    /// Looks at its marks.
    Marks(usize),
    /// Gets the entry.
    Entry,
    /// Concludes from all that.
    Judge,
    /// Reads the database.
    Read,
    /// Keeps the answer if it may, and returns it.
    Land,
}

/// One reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderKind {
    pub(crate) queries: &'static [Query],
    pub(crate) reads: u8,
}
