//! Timing, and what is left of many rounds: the median and its spread.

/// The median of some rounds, the smallest and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// One figure per round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// # Panics
    ///
    /// If there was no round.
    pub(crate) fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Summary { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }

    pub(crate) fn median(&self) -> f64 {
        self.summary().median
    }

    /// Round by round, what became of two figures of the same round.
    pub(crate) fn zip(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, two)| combine(*one, *two)).collect())
    }
}

/// Nanoseconds per operation over `$count` operations, one after the other.
///
/// A macro, because the future of an async closure that borrows is not known to be `Send`.
macro_rules! mean_time {
    ($count:expr, |$index:ident| $operation:expr) => {{
        let count: i32 = $count;
        let start = std::time::Instant::now();
        for $index in 0..count {
            $operation;
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    }};
}

pub(crate) use mean_time;

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(samples: &[f64]) -> Samples {
        Samples(samples.to_vec())
    }

    #[test]
    fn the_median_lies_in_the_middle() {
        let odd = samples(&[3.0, 1.0, 100.0]).summary();
        assert_eq!(odd, Summary { median: 3.0, min: 1.0, max: 100.0 });
        assert_eq!(samples(&[4.0, 1.0, 2.0, 9.0]).median(), 3.0);
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let ratios = samples(&[2.0, 9.0]).zip(&samples(&[1.0, 3.0]), |one, two| one / two);
        assert_eq!(ratios.0, [2.0, 3.0]);
    }
}
