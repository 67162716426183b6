//! Why a query is answered as it is: for people, on demand.

use std::fmt;

use diesel::{
    QueryResult,
    query_builder::{QueryFragment, QueryId},
};
use serde::Serialize;
use turbodiesel_cache::Kept;
use turbodiesel_core::{Bypass, Tier};

use crate::{
    backend::Backend,
    db::Db,
    options::ReadOptions,
    read,
    shape::{Effect, Resolution},
    tags::WriteTags,
};

/// How a query would be answered now, and why; or what a write would end.
///
/// `Display` writes it as text. It names tables and columns, and contains no bind values; the SQL is
/// shown as the application sends it, literals included.
///
/// ```no_run
/// use diesel::prelude::*;
/// use turbodiesel::Db;
/// # diesel::table! { orders { id -> Integer, customer -> Integer } }
///
/// # fn example(db: &Db) -> QueryResult<()> {
/// println!("{}", db.explain(&orders::table.filter(orders::customer.eq(7)))?);
/// // SELECT "orders"."id", "orders"."customer" FROM "orders" WHERE ("orders"."customer" = $1)
/// //   read, returns rows
/// //   reads orders[customer, id] where customer = $1
/// // cached in L1
/// // depends on public.orders/customer=?
/// // kept: 2.1 s old, expires in 7.3 s, 412 bytes
/// // last ended by UPDATE "orders" SET "customer" = $1 WHERE ("orders"."id" = $2)
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The statement.
    pub sql: Box<str>,
    /// What its text says that it reads, writes and calls, and the values that it confines rows to.
    pub plan: String,
    /// Whether it is cached.
    pub verdict: Verdict,
    /// The tags that end its answers: tables, and columns at one value (`t/k=?`).
    pub depends_on: Vec<String>,
    /// The tags that it ends, if it writes: tables, columns at the values that it touches (`t/k=?`)
    /// or at any (`t/k=*`), and `*` for everything.
    pub ends: Vec<String>,
    /// The answer that is kept and would be served.
    pub kept: Option<Kept>,
    /// What changed one of its tags last: a statement, a change of the catalog, or the application.
    pub last_ended_by: Option<Box<str>>,
}

/// Whether a statement is cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It is.
    Cached {
        /// Where its answers are kept.
        tier: Tier,
    },
    /// It is not.
    Bypassed {
        /// The reason, as [`Db::stats`] counts it.
        reason: Bypass,
        /// What in the statement gives the reason; may be empty.
        detail: String,
    },
}

impl Explanation {
    pub(crate) fn of<B: Backend, Q>(
        db: &Db<B>,
        options: &ReadOptions,
        query: &Q,
    ) -> QueryResult<Self>
    where
        Q: QueryFragment<B> + QueryId,
    {
        let captured = db.0.shapes.capture(query, options)?;
        let resolution = db.0.resolution(&captured.shape);
        let mut explanation = Self {
            sql: (*captured.shape.sql).into(),
            plan: captured.shape.plan.to_string(),
            verdict: verdict(db, options, &resolution),
            depends_on: Vec::new(),
            ends: ends(&resolution),
            kept: None,
            last_ended_by: None,
        };
        if let Ok(readable) = &resolution.read {
            let (kept, slots) = read::inspect(db, options, readable, &captured);
            explanation.depends_on = readable.tags.names().collect();
            let cause = db.0.causes.last(&db.0.stamps, &slots);
            explanation.last_ended_by = cause.map(|statement| (*statement).into());
            let is_cached = matches!(explanation.verdict, Verdict::Cached { .. });
            explanation.kept = kept.filter(|_| is_cached);
        }
        Ok(explanation)
    }
}

fn verdict<B: Backend>(db: &Db<B>, options: &ReadOptions, resolution: &Resolution) -> Verdict {
    match (read::access(db, options, resolution), &resolution.read) {
        (Ok(readable), _) => Verdict::Cached { tier: options.tier.unwrap_or(readable.tier) },
        (Err(reason), Err((_, detail))) => Verdict::Bypassed { reason, detail: detail.clone() },
        (Err(reason), Ok(_)) => Verdict::Bypassed { reason, detail: String::new() },
    }
}

fn ends(resolution: &Resolution) -> Vec<String> {
    match (&resolution.effect, &resolution.writes) {
        (Effect::Nothing, _) => Vec::new(),
        (Effect::Slots(_), Some(tags)) => WriteTags::names(tags).collect(),
        (Effect::Slots(_), None) => vec!["the tables that it writes".to_owned()],
        (Effect::Everything { .. }, _) => vec!["*".to_owned()],
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sql, plan, verdict, depends_on, ends, kept, last_ended_by } = self;
        writeln!(f, "{sql}")?;
        for line in plan.lines() {
            writeln!(f, "  {line}")?;
        }
        match verdict {
            Verdict::Cached { tier } => write!(f, "cached in {tier}")?,
            Verdict::Bypassed { reason, detail } if detail.is_empty() => {
                write!(f, "not cached: {reason}")?;
            }
            Verdict::Bypassed { reason, detail } => write!(f, "not cached: {reason} ({detail})")?,
        }
        if !depends_on.is_empty() {
            write!(f, "\ndepends on {}", depends_on.join(", "))?;
        }
        if !ends.is_empty() {
            write!(f, "\nends {}", ends.join(", "))?;
        }
        if let Some(kept) = kept {
            let (age, left) = (kept.age.as_secs_f64(), kept.expires_in.as_secs_f64());
            write!(f, "\nkept: {age:.1} s old, expires in {left:.1} s, {} bytes", kept.bytes)?;
        }
        if let Some(statement) = last_ended_by {
            write!(f, "\nlast ended by {statement}")?;
        }
        Ok(())
    }
}
