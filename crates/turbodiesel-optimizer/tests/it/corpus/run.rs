//! Running programs and comparing what is found with their labels.

use std::{collections::BTreeSet, sync::Arc};

use diesel::QueryResult;
use futures_util::future::BoxFuture;
use turbodiesel_optimizer::{Class, Findings, Thresholds};

/// A program and what is wrong with it.
pub(super) struct Program<S> {
    pub(super) name: &'static str,
    pub(super) expected: &'static [Class],
    pub(super) thresholds: Thresholds,
    pub(super) run: fn(Arc<S>) -> BoxFuture<'static, QueryResult<()>>,
}

/// A list of programs: a name, its label, and what it does with a shop and a connection to it.
macro_rules! programs {
    ($list:ident: $($name:ident: [$($class:ident),*] $(by $thresholds:expr)? => |$shop:ident, $connection:ident| $body:block)+) => {
        fn $list() -> Vec<Program<Shop>> {
            vec![$(Program {
                name: stringify!($name),
                expected: &[$(turbodiesel_optimizer::Class::$class),*],
                thresholds: programs!(@thresholds $($thresholds)?),
                run: |$shop| Box::pin(async move {
                    let $connection = &mut $shop.connection().await;
                    $body
                    Ok(())
                }),
            }),+]
        }
    };
    (@thresholds) => { turbodiesel_optimizer::Thresholds::tests() };
    (@thresholds $thresholds:expr) => { $thresholds };
}

/// Runs all programs, prints precision and recall, and asserts that both are 1.
macro_rules! judge {
    ($shop:ident, $programs:expr) => {{
        let mut verdict = super::run::Verdict::default();
        for program in $programs {
            $shop.reset().await;
            let run = (program.run)(std::sync::Arc::clone(&$shop));
            let (result, recorded) = turbodiesel_optimizer::scope(run).await;
            result.unwrap_or_else(|error| panic!("{}: {error}", program.name));
            let findings = recorded.findings(&program.thresholds);
            verdict.add(program.name, program.expected, &findings);
        }
        verdict.conclude();
    }};
}
pub(super) use judge;

#[derive(Default)]
pub(super) struct Verdict {
    programs: usize,
    found: usize,
    invented: usize,
    missed: usize,
    mistakes: String,
}

impl Verdict {
    pub(super) fn add(&mut self, name: &str, expected: &[Class], findings: &Findings) {
        self.programs += 1;
        let expected: BTreeSet<Class> = expected.iter().copied().collect();
        let found: BTreeSet<Class> = findings.iter().map(|finding| finding.class).collect();
        self.found += found.intersection(&expected).count();
        self.invented += found.difference(&expected).count();
        self.missed += expected.difference(&found).count();
        if found != expected {
            self.mistakes +=
                &format!("\n{name}: expected {expected:?}, found {found:?}\n{findings}\n");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    pub(super) fn conclude(self) {
        let Self { programs, found, invented, missed, mistakes } = self;
        let precision = found as f64 / (found + invented) as f64;
        let recall = found as f64 / (found + missed) as f64;
        println!(
            "{programs} programs, {} labels: precision {precision:.3}, recall {recall:.3}",
            found + missed
        );
        assert!(programs >= 60, "{programs} programs are too few");
        assert!(mistakes.is_empty(), "{mistakes}");
        assert_eq!((precision, recall), (1.0, 1.0));
    }
}
