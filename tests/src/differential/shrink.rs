//! Shrinks a failing history: leaves out what the failure does not need.

use super::{
    run::{Failure, History, Tally, run},
    side::Side,
};

/// How often a history is replayed at most.
const REPLAYS: usize = 400;

/// The smallest failing history that was found, and how it fails.
pub(super) async fn shrink<B: Side>(history: History, failure: Failure) -> (History, Failure) {
    let mut best = Best { history, failure, replays: 0 };
    if best.failure.step >= best.history.steps.len() {
        // It failed in the storm, which does not repeat itself.
        return (best.history, best.failure);
    }
    best.history.storm.clear();
    // One query is enough, and nothing that happened later.
    let mut one = best.history.clone();
    one.queries = vec![one.queries[best.failure.query].clone()];
    one.steps.truncate(best.failure.step + 1);
    if !best.attempt::<B>(one).await {
        let mut shorter = best.history.clone();
        shorter.steps.truncate(best.failure.step + 1);
        best.attempt::<B>(shorter).await;
    }
    best.leave_out::<B, _>(|history| &mut history.steps).await;
    best.leave_out::<B, _>(|history| &mut history.queries).await;
    best.leave_out::<B, _>(|history| &mut history.schema).await;
    best.leave_out::<B, _>(|history| &mut history.steps).await;
    (best.history, best.failure)
}

struct Best {
    history: History,
    failure: Failure,
    replays: usize,
}

impl Best {
    /// Keeps a history if it still fails.
    async fn attempt<B: Side>(&mut self, history: History) -> bool {
        self.replays += 1;
        match run::<B>(&history, &mut Tally::default()).await {
            Ok(()) => false,
            Err(failure) => {
                (self.history, self.failure) = (history, failure);
                true
            }
        }
    }

    /// Delta debugging: leaves out ever smaller pieces of a list.
    async fn leave_out<B: Side, T>(&mut self, list: impl Fn(&mut History) -> &mut Vec<T>) {
        let mut size = list(&mut self.history).len().div_ceil(2).max(1);
        loop {
            let mut start = 0;
            while start < list(&mut self.history).len() && self.replays < REPLAYS {
                let mut smaller = self.history.clone();
                let items = list(&mut smaller);
                let end = (start + size).min(items.len());
                items.drain(start..end);
                if !self.attempt::<B>(smaller).await {
                    start = end;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }
}
