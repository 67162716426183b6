//! How much survives of what a write did not touch.

use std::{collections::BTreeMap, fmt};

use super::statement::Class;

/// The part of the untouched answers that must survive.
const FLOOR: f64 = 0.95;

/// Fewer than this are no measure: answers of one schema fare alike, and this takes some thirty.
const FEWEST: usize = 2_000;

/// Answers that depend on the rows with one value of a key, none of which a write has touched: those
/// that were still served after it, and all.
#[derive(Clone, Debug, Default)]
pub(super) struct Precision(BTreeMap<Class, (usize, usize)>);

impl Precision {
    pub(super) fn count(&mut self, class: Class, survived: bool) {
        if class == Class::Other {
            return;
        }
        let (kept, all) = self.0.entry(class).or_default();
        *kept += usize::from(survived);
        *all += 1;
    }

    /// Whether enough survived.
    pub(super) fn is_enough(&self) -> bool {
        let all: usize = self.0.values().map(|(_, all)| all).sum();
        all < FEWEST || self.rate() >= FLOOR
    }

    /// The part that survived; 1 if there was none.
    fn rate(&self) -> f64 {
        let (kept, all) = self.0.values().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        rate(kept, all)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn rate(kept: usize, all: usize) -> f64 {
    if all == 0 { 1.0 } else { kept as f64 / all as f64 }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("what survives is not measured");
        }
        write!(f, "{:.1} % of what was not touched survived", self.rate() * 100.0)?;
        for (class, (kept, all)) in &self.0 {
            write!(f, "; {class:?}: {kept} of {all}, {:.1} %", rate(*kept, *all) * 100.0)?;
        }
        Ok(())
    }
}
