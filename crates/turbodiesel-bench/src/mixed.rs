//! Suite `mixed`: a shop whose customers look and buy at the same time, with durable commits.
//!
//! Eight tasks read customers and orders by primary key, a customer's orders and a summary of them,
//! and update, insert and delete, one operation after the other (a closed loop). Reads follow Zipf's
//! law. Each contender has its turn in each round, from the shop's first day and with nothing
//! cached; a turn's warming up is not counted.
//!
//! Cases: `90-10` and `99-1` are reads to writes in hundredths, with writes spread evenly. In
//! `90-10-hot` writes prefer the same rows as reads, the worst that can happen to a cache: each
//! write ends up to three answers that are about to be asked for, so that not even an ideal one
//! answers nine reads of ten.
//!
//! Contenders:
//!
//! - `diesel-async`: plain, with its pool.
//! - `turbodiesel`: all defaults. `table-level`: the same without value tags.
//! - `by-hand`: a `moka` cache for each kind of answer, and keys forgotten after each write.
//! - `ideal`: the ceiling, see below.
//!
//! # `hit_rate`, `ideal_hit_rate`
//!
//! The part of the reads that the database was not asked for. An *ideal cache* has room for
//! everything, and forgets an answer only when a write that touched its rows is acknowledged or when
//! its tier's time is over; reads that come while an answer is being read share it. Each turn keeps
//! its account beside the contender, so it sees the very same operations in the same order.
//!
//! # `ceiling`
//!
//! What the tasks would reach with an ideal cache that costs nothing but its hits:
//!
//! ```text
//! tasks / (reads * (rate * hit_time + (1 - rate) * read_time) + writes * write_time)
//! ```
//!
//! `reads` and `writes` are the case's parts of the operations, and `rate` is the ideal hit rate of
//! turbodiesel's turn in the round. The three times are means of the round's turn of `ideal`, which
//! runs the same closed loop: where the ideal cache holds an answer, it takes turbodiesel's hit from
//! a shop that is never written to, and everything else is a plain query of `diesel-async`. So they
//! are measured under the load that an ideal cache leaves to the database. Those of `diesel-async`'s
//! own turn would make the ceiling too low, because there every read competes with all others for
//! the machine.
//!
//! # `write_time`
//!
//! Compared with that of `ideal`: its writes are plain, and the database has as much else to do. The
//! turn of `diesel-async` has far fewer writes at the same time, among far more reads; its figure is
//! shown, but says more of the reads than of the writes.
//!
//! # `wrong_answers`
//!
//! Every answer is checked, see `checker`; and when a turn is over, every key that was asked for is
//! asked for again and compared with the database.
//!
//! Modules, in reading order:
//!
//! - `shop`: tables, queries, server.
//! - `load`: the operations.
//! - `contender`, `by_hand`: the ways to serve them.
//! - `ideal`: the account of an ideal cache.
//! - `checker`: what an answer must contain.
//! - `turn`: a contender under load.

mod by_hand;
mod checker;
mod contender;
mod ideal;
mod load;
mod shop;
mod turn;

use std::time::Duration;

use anyhow::{Result, ensure};
use turbodiesel::Db;
use turbodiesel_testkit::Database;

use crate::{
    Context,
    mixed::{
        by_hand::ByHand,
        contender::{Contender, Ideal, Plain, Turbodiesel, everything_held},
        load::{Mix, READ_SKEW},
        turn::{Pace, TASKS, Turn},
    },
    report::{Report, Target},
    rounds::Samples,
};

const CASES: [(&str, Mix); 3] = [
    ("90-10", Mix { writes: 0.1, write_skew: 0.0 }),
    ("99-1", Mix { writes: 0.01, write_skew: 0.0 }),
    (HOT, Mix { writes: 0.1, write_skew: READ_SKEW }),
];
const HOT: &str = "90-10-hot";

/// Shorter than any time to live, so that what expires is no part of the figures.
const FULL: Pace =
    Pace { warm_up: Duration::from_millis(1_500), measured: Duration::from_millis(3_000) };
const QUICK: Pace =
    Pace { warm_up: Duration::from_millis(800), measured: Duration::from_millis(1_000) };

/// One figure of each kind per round.
#[derive(Default)]
struct Figures {
    throughput: Samples,
    hit_rate: Samples,
    ideal_hit_rate: Samples,
    wrong_answers: Samples,
    held_time: Samples,
    not_held_time: Samples,
    write_time: Samples,
    write_time_p99: Samples,
}

impl Figures {
    fn push(&mut self, turn: &Turn) {
        self.throughput.push(turn.throughput());
        self.hit_rate.push(turn.hit_rate());
        self.ideal_hit_rate.push(turn.ideal_hit_rate());
        self.wrong_answers.push(turn.wrong_answers as f64);
        self.held_time.push(turn.held_time());
        self.not_held_time.push(turn.not_held_time());
        self.write_time.push(turn.write_time());
        self.write_time_p99.push(turn.write_time_p99());
    }
}

/// The figures of a case.
#[derive(Default)]
struct Case {
    plain: Figures,
    turbodiesel: Figures,
    table_level: Figures,
    by_hand: Figures,
    ideal: Figures,
    ceiling: Samples,
}

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let server = shop::durable_server(context).await?;
    let server_url = server.as_ref().map_or_else(|| context.server_url.clone(), |it| it.url());
    let database = shop::database(&server_url)?;
    let unwritten = shop::database(&server_url)?;
    shop::refill(&unwritten).await?;
    let held = everything_held(&unwritten).await?;
    let pace = if context.quick { QUICK } else { FULL };
    let shop = Shop { database: &database, held, pace };

    let mut cases: [Case; CASES.len()] = Default::default();
    for _ in 0..context.rounds(5) {
        for (case, (_, mix)) in cases.iter_mut().zip(CASES) {
            shop.round(case, mix).await?;
        }
    }

    let mut report = Report::new("mixed");
    for (case, (name, _)) in cases.iter().zip(CASES) {
        case.report(name, &mut report);
    }
    Ok(report)
}

/// Where the turns take place.
struct Shop<'a> {
    database: &'a Database,
    held: Db,
    pace: Pace,
}

impl Shop<'_> {
    /// Every contender's turn.
    async fn round(&self, case: &mut Case, mix: Mix) -> Result<()> {
        let database = self.database;
        let db = || Db::builder().url(database.url());

        shop::refill(database).await?;
        let plain = self.turn(Plain::new(database).await?, mix).await?;
        ensure!(plain.wrong_answers == 0, "the check calls the database's own answers wrong");
        case.plain.push(&plain);
        shop::refill(database).await?;
        let turbodiesel = self.turn(Turbodiesel(db().build().await?), mix).await?;
        case.turbodiesel.push(&turbodiesel);
        shop::refill(database).await?;
        let ideal = self.turn(Ideal::new(database, self.held.clone()).await?, mix).await?;
        case.ideal.push(&ideal);
        shop::refill(database).await?;
        let table_level = Turbodiesel(db().value_tags(false).build().await?);
        case.table_level.push(&self.turn(table_level, mix).await?);
        shop::refill(database).await?;
        case.by_hand.push(&self.turn(ByHand::new(database).await?, mix).await?);

        case.ceiling.push(ceiling(mix, turbodiesel.ideal_hit_rate(), &ideal));
        Ok(())
    }

    async fn turn<C: Contender>(&self, contender: C, mix: Mix) -> Result<Turn> {
        turn::run(contender, self.database, mix, self.pace).await
    }
}

/// Operations per second with an ideal cache.
fn ceiling(Mix { writes, .. }: Mix, rate: f64, ideal: &Turn) -> f64 {
    let read_time = rate * ideal.held_time() + (1.0 - rate) * ideal.not_held_time();
    let nanoseconds = (1.0 - writes) * read_time + writes * ideal.write_time();
    TASKS as f64 * 1e9 / nanoseconds
}

impl Case {
    fn report(&self, case: &'static str, report: &mut Report) {
        let Self { plain, turbodiesel, table_level, by_hand, ideal, ceiling } = self;
        let times = |one: &Samples, other: &Samples| one.zip(other, |one, other| one / other);

        report.add((case, "ideal"), ("ceiling", "ops/s"), ceiling.summary());
        report.add((case, "ideal"), ("hit_time", "ns"), ideal.held_time.summary());
        report.add((case, "ideal"), ("read_time", "ns"), ideal.not_held_time.summary());
        for (contender, figures) in [
            ("ideal", ideal),
            ("turbodiesel", turbodiesel),
            ("table-level", table_level),
            ("by-hand", by_hand),
            ("diesel-async", plain),
        ] {
            let is_judged = contender == "turbodiesel";
            report.add((case, contender), ("throughput", "ops/s"), figures.throughput.summary());
            if is_judged {
                let of_ceiling = times(&figures.throughput, ceiling);
                report.judge(of_ceiling.median(), Target::AtLeast(0.85, "the ceiling"));
                let faster = times(&figures.throughput, &plain.throughput);
                if case == "99-1" {
                    report.judge(faster.median(), Target::TimesFaster(10.0, "diesel-async"));
                }
                let part = ("part_of_ceiling", "ratio");
                report.add((case, contender), part, of_ceiling.summary());
                report.add((case, contender), ("times_plain", "ratio"), faster.summary());
            }
            if !matches!(contender, "ideal" | "diesel-async") {
                report.add((case, contender), ("hit_rate", "ratio"), figures.hit_rate.summary());
                if is_judged && case != HOT {
                    report.judge(figures.hit_rate.median(), Target::AtLeast(0.9, "the reads"));
                }
                let ideal = figures.ideal_hit_rate.summary();
                report.add((case, contender), ("ideal_hit_rate", "ratio"), ideal);
                let wrong = figures.wrong_answers.summary();
                report.add((case, contender), ("wrong_answers", "answers"), wrong);
                if contender != "by-hand" {
                    report.judge(wrong.max, Target::Exactly(0.0));
                }
            }
            report.add((case, contender), ("write_time", "ns"), figures.write_time.summary());
            if is_judged {
                let slower = times(&figures.write_time, &ideal.write_time);
                report.judge(slower.median(), Target::TimesAsMuch(1.15, "the same load, plain"));
            }
            let p99 = figures.write_time_p99.summary();
            report.add((case, contender), ("write_time_p99", "ns"), p99);
        }
    }
}
