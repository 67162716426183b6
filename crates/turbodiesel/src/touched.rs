//! What an open transaction has written so far, savepoint by savepoint.

use std::{collections::BTreeSet, sync::Arc};

use turbodiesel_cache::Slot;

use crate::shape::Effect;

/// The union of effects.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    slots: BTreeSet<Slot>,
    schema: bool,
}

impl Touched {
    pub(crate) fn add(&mut self, effect: &Effect) {
        self.slots.extend(effect.slots());
        self.schema |= matches!(effect, Effect::Everything { schema: true });
    }

    fn merge(&mut self, inner: Touched) {
        self.slots.extend(inner.slots);
        self.schema |= inner.schema;
    }

    fn effect(&self) -> Effect {
        match self.slots.first() {
            None => Effect::Nothing,
            Some(&Slot::ALL) => Effect::Everything { schema: self.schema },
            Some(_) => Effect::Tables(Arc::from_iter(self.slots.iter().copied())),
        }
    }
}

/// One frame for the transaction and one for each savepoint inside it.
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<Touched>);

impl Frames {
    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn begin(&mut self) {
        self.0.push(Touched::default());
    }

    /// Undoes the innermost frame: what it wrote has never happened.
    pub(crate) fn roll_back(&mut self) {
        self.0.pop();
    }

    /// Ends the innermost frame. A savepoint's writes become its parent's; where there is no parent,
    /// they are handed out.
    pub(crate) fn release(&mut self) -> Option<Effect> {
        let inner = self.0.pop()?;
        match self.0.last_mut() {
            Some(outer) => {
                outer.merge(inner);
                None
            }
            None => Some(inner.effect()),
        }
    }

    /// Forgets frames beyond a depth: those that ended unseen.
    pub(crate) fn truncate(&mut self, depth: usize) {
        self.0.truncate(depth);
    }

    /// Notes a write in the innermost frame.
    pub(crate) fn add(&mut self, effect: &Effect) {
        if let Some(innermost) = self.0.last_mut() {
            innermost.add(effect);
        }
    }

    /// What a commit of the outermost frame would publish.
    pub(crate) fn effect(&self) -> Effect {
        let mut all = Touched::default();
        for frame in &self.0 {
            all.slots.extend(&frame.slots);
            all.schema |= frame.schema;
        }
        all.effect()
    }
}

#[cfg(test)]
mod tests {
    use turbodiesel_cache::{Stamps, StampsOptions};
    use turbodiesel_core::{MonotonicClock, TableName, Tag};

    use super::*;

    fn tables(names: &[&str]) -> Effect {
        let stamps = Stamps::new(Arc::new(MonotonicClock), StampsOptions::default());
        // Slots are handed out in order, so the same order gives the same slots.
        let known: Vec<Slot> = ["a", "b", "c"]
            .map(|name| stamps.slot(&Tag::Table(TableName::unqualified(name))))
            .into();
        Effect::Tables(
            names.iter().map(|name| known[(name.as_bytes()[0] - b'a') as usize]).collect(),
        )
    }

    #[test]
    fn a_savepoint_rolled_back_leaves_no_trace() {
        let mut frames = Frames::default();
        frames.begin();
        frames.add(&tables(&["a"]));
        frames.begin();
        frames.add(&tables(&["b"]));
        frames.roll_back();
        assert_eq!(frames.effect(), tables(&["a"]));
    }

    #[test]
    fn a_released_savepoint_joins_its_parent() {
        let mut frames = Frames::default();
        frames.begin();
        frames.begin();
        frames.add(&tables(&["b"]));
        frames.release();
        frames.add(&tables(&["a"]));
        assert_eq!(frames.effect(), tables(&["a", "b"]));
        frames.roll_back();
        assert!(!frames.is_open());
    }

    #[test]
    fn everything_swallows_the_rest() {
        let mut frames = Frames::default();
        frames.begin();
        frames.add(&tables(&["a"]));
        frames.add(&Effect::Everything { schema: true });
        frames.add(&Effect::Everything { schema: false });
        assert_eq!(frames.effect(), Effect::Everything { schema: true });
    }
}
