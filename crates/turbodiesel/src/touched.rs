//! What an open transaction has written so far, savepoint by savepoint.

use std::collections::{BTreeMap, BTreeSet};

use turbodiesel_cache::Slot;

use crate::{causes::Cause, shape::Effect, tags::Slots};

/// The union of effects.
#[derive(Debug, Default)]
struct Touched {
    slots: BTreeSet<Slot>,
    /// What the last statement changes unless it is learnt what it touched.
    unlearnt: Slots,
    /// Whether the effects include everything, and if so whether the schema.
    everything: Option<bool>,
}

impl Touched {
    fn add(&mut self, effect: &Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Slots(slots) => self.slots.extend(slots.iter()),
            Effect::Everything { schema } => {
                self.everything = Some(*schema || self.everything == Some(true));
            }
        }
    }

    fn expect(&mut self, slots: Slots, unlearnt: Slots) {
        // Nobody was told more of the statement before.
        self.slots.extend(std::mem::replace(&mut self.unlearnt, unlearnt));
        self.slots.extend(slots);
    }

    fn learn(&mut self, touched: Slots) {
        self.unlearnt.clear();
        self.slots.extend(touched);
    }

    fn effect(&self) -> Effect {
        match self.everything {
            Some(schema) => Effect::Everything { schema },
            None if self.slots.is_empty() => Effect::Nothing,
            None => Effect::Slots(self.slots.iter().chain(&self.unlearnt).copied().collect()),
        }
    }
}

/// One frame for the transaction and one for each savepoint inside it.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    open: Vec<Touched>,
    /// Which statement of the transaction wrote a slot last, rolled back or not.
    causes: BTreeMap<Slot, Cause>,
}

impl Frames {
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(crate) fn begin(&mut self) {
        if self.open.is_empty() {
            self.causes.clear();
        }
        self.open.push(Touched::default());
    }

    /// Undoes the innermost frame: what it wrote has never happened.
    pub(crate) fn roll_back(&mut self) {
        self.open.pop();
    }

    /// Notes which statement is about to write these slots.
    pub(crate) fn attribute(&mut self, cause: Cause, slots: &[Slot]) {
        if self.is_open() {
            self.causes.extend(slots.iter().map(|slot| (*slot, cause)));
        }
    }

    /// Which statement wrote each of these slots, as far as one did.
    pub(crate) fn causes(&self, slots: &[Slot]) -> Vec<(Slot, Cause)> {
        let cause = |slot: &Slot| Some((*slot, *self.causes.get(slot)?));
        slots.iter().filter_map(cause).collect()
    }

    /// Notes a write in the innermost frame.
    pub(crate) fn add(&mut self, effect: &Effect) {
        if let Some(innermost) = self.open.last_mut() {
            innermost.add(effect);
        }
    }

    /// Notes a write in the innermost frame, before it is sent: what it changes in any case, and what
    /// it changes unless it is [learnt](Self::learn) what it touched.
    pub(crate) fn expect(&mut self, slots: Slots, unlearnt: Slots) {
        if let Some(innermost) = self.open.last_mut() {
            innermost.expect(slots, unlearnt);
        }
    }

    /// What the write that was expected last has touched.
    pub(crate) fn learn(&mut self, touched: Slots) {
        if let Some(innermost) = self.open.last_mut() {
            innermost.learn(touched);
        }
    }

    /// Brings the frames in line with the depth at which the transaction really is, however it got
    /// there. Frames that have ended pass what they wrote on to the one outside; the effect of those
    /// that have none is handed out. A frame that nobody announced may hold anything.
    pub(crate) fn settle(&mut self, depth: usize) -> Effect {
        let mut ended = Touched::default();
        while self.open.len() > depth
            && let Some(inner) = self.open.pop()
        {
            self.open.last_mut().unwrap_or(&mut ended).add(&inner.effect());
        }
        while self.open.len() < depth {
            let mut unannounced = Touched::default();
            unannounced.add(&Effect::Everything { schema: true });
            self.open.push(unannounced);
        }
        ended.effect()
    }

    /// What a commit of the outermost frame has to publish. Whoever takes it sees to that: the frames
    /// stay open, and are empty.
    pub(crate) fn take(&mut self) -> Effect {
        let effect = self.effect();
        self.open.iter_mut().for_each(|frame| *frame = Touched::default());
        effect
    }

    /// What a commit of the outermost frame would publish.
    fn effect(&self) -> Effect {
        let mut all = Touched::default();
        for frame in &self.open {
            all.add(&frame.effect());
        }
        all.effect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use turbodiesel_cache::{Stamps, StampsOptions};
    use turbodiesel_core::{MonotonicClock, TableName, Tag};

    use super::*;

    const ALL: Effect = Effect::Everything { schema: true };

    fn tables(names: &[&str]) -> Effect {
        let stamps = Stamps::new(Arc::new(MonotonicClock), StampsOptions::default());
        // Slots are handed out in order, so the same order gives the same slots.
        let known =
            ["a", "b", "c"].map(|name| stamps.slot(&Tag::Table(TableName::unqualified(name))));
        Effect::Slots(
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
    fn what_ended_joins_what_is_open() {
        let mut frames = Frames::default();
        frames.begin();
        frames.begin();
        frames.add(&tables(&["b"]));
        assert_eq!(frames.settle(1), Effect::Nothing);
        frames.add(&tables(&["a"]));
        assert_eq!(frames.effect(), tables(&["a", "b"]));
        assert_eq!(frames.settle(0), tables(&["a", "b"]));
        assert!(!frames.is_open());
    }

    #[test]
    fn what_was_begun_unseen_may_hold_anything() {
        let mut frames = Frames::default();
        assert_eq!(frames.settle(1), Effect::Nothing);
        assert_eq!(frames.settle(0), ALL);
    }

    #[test]
    fn what_is_not_learnt_stays() {
        let slots = |names: &[&str]| Slots::from(tables(names).slots());
        let mut frames = Frames::default();
        frames.begin();
        frames.expect(slots(&["a"]), slots(&["b"]));
        assert_eq!(frames.effect(), tables(&["a", "b"]), "it was sent, and may have ended");
        frames.learn(slots(&["c"]));
        assert_eq!(frames.effect(), tables(&["a", "c"]));
        frames.expect(slots(&["a"]), slots(&["b"]));
        frames.expect(slots(&["a"]), Slots::new());
        assert_eq!(frames.effect(), tables(&["a", "b", "c"]), "the first was dropped on the way");
    }

    #[test]
    fn everything_swallows_the_rest() {
        let mut frames = Frames::default();
        frames.begin();
        frames.add(&tables(&["a"]));
        frames.add(&ALL);
        frames.add(&Effect::Everything { schema: false });
        assert_eq!(frames.effect(), ALL);
    }
}
