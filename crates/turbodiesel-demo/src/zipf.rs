//! Skewed choice: few keys are asked for often, most hardly ever.

/// Numbers from zero up, each chosen in proportion to `1 / (number + 1)^skew`.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// The chance of each number or a smaller one. Ends in one.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// # Panics
    ///
    /// If there are no numbers to choose from.
    pub(crate) fn new(numbers: usize, skew: f64) -> Self {
        assert!(numbers > 0, "no numbers to choose from");
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=numbers)
            .map(|rank| {
                #[expect(clippy::cast_precision_loss, reason = "a rank has far less than 52 bits")]
                let rank = rank as f64;
                sum += rank.powf(-skew);
                sum
            })
            .collect();
        for chance in &mut cumulative {
            *chance /= sum;
        }
        Self { cumulative }
    }

    /// Chooses a number.
    pub(crate) fn sample(&self, random: &mut fastrand::Rng) -> usize {
        let point = random.f64();
        // The last chance is one up to rounding.
        self.cumulative.partition_point(|chance| *chance <= point).min(self.cumulative.len() - 1)
    }

    /// Chooses a key, counted from one.
    pub(crate) fn id(&self, random: &mut fastrand::Rng) -> i32 {
        crate::data::id(self.sample(random) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(numbers: usize, skew: f64) -> Vec<u32> {
        let zipf = Zipf::new(numbers, skew);
        let mut random = fastrand::Rng::with_seed(1);
        let mut counts = vec![0; numbers];
        for _ in 0..100_000 {
            counts[zipf.sample(&mut random)] += 1;
        }
        counts
    }

    #[test]
    fn the_first_is_chosen_as_often_as_the_law_says() {
        // Of four numbers with skew 1 the first has 1 / (1 + 1/2 + 1/3 + 1/4) = 48 %.
        let counts = counts(4, 1.0);
        assert!((47_000..49_000).contains(&counts[0]), "{counts:?}");
        assert!((23_000..25_000).contains(&counts[1]), "{counts:?}");
        assert!(counts[2] > counts[3] && counts[3] > 0, "{counts:?}");
    }

    #[test]
    fn no_skew_is_no_preference() {
        assert!(counts(10, 0.0).iter().all(|count| (9_500..10_500).contains(count)));
    }

    #[test]
    fn one_number_is_always_chosen() {
        assert_eq!(counts(1, 1.0), [100_000]);
    }
}
