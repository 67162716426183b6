//! Every page of a random walk, back and forth through a table that changes on the way, is what sorting
//! all rows and counting them off gives.

use std::cmp::Ordering;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use proptest::prelude::*;
use tokio::sync::Mutex;
use turbodiesel_optimizer::keyset::{Cursor, Error, Page, PaginateDsl as _, asc, desc};

use crate::support::{Sqlite, key, postgres, sqlite};

diesel::table! {
    items { id -> Integer, a -> Nullable<Integer>, b -> Integer, c -> Nullable<Text> }
}

const SCHEMA: &str = "
    CREATE TABLE items (id integer PRIMARY KEY, a integer, b integer NOT NULL, c text);
    CREATE INDEX by_a ON items (a, id);
    CREATE INDEX by_b ON items (b, id);";

/// A row as the database has it. All `c` are of one lower-case letter, whose order is the same in Rust
/// and in every collation.
type Row = (i32, Option<i32>, i32, Option<String>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    Id,
    A,
    B,
    C,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Nulls {
    First,
    Last,
}

/// A key as the oracle knows it.
type Spec = (Column, Ordering, Nulls);

/// Which rows a page is of.
#[derive(Clone, Debug)]
enum Step {
    After(Option<Cursor>),
    Before(Option<Cursor>),
}

/// The orders, each as the oracle's specification and as what is tested.
macro_rules! orders {
    ($($number:literal: $(($column:ident $direction:ident $($nulls:ident)?))+;)*) => {
        const ORDERS: &[&[Spec]] = &[$(&[$((column!($column), direction!($direction), nulls!($($nulls)?))),+]),*];

        async fn load_postgres(
            connection: &mut AsyncPgConnection,
            order: usize,
            step: Step,
            size: usize,
        ) -> Result<Page<Row>, Error> {
            match order {
                $($number => load!(connection, ($(key!($column $direction $($nulls)?),)+), step, size),)*
                _ => unreachable!("there is no such order"),
            }
        }

        async fn load_sqlite(
            connection: &mut Sqlite,
            order: usize,
            step: Step,
            size: usize,
        ) -> Result<Page<Row>, Error> {
            match order {
                $($number => load!(connection, ($(key!($column $direction $($nulls)?),)+), step, size),)*
                _ => unreachable!("there is no such order"),
            }
        }
    };
}

macro_rules! column {
    (id) => {
        Column::Id
    };
    (a) => {
        Column::A
    };
    (b) => {
        Column::B
    };
    (c) => {
        Column::C
    };
}

macro_rules! direction {
    (asc) => {
        Ordering::Less
    };
    (desc) => {
        Ordering::Greater
    };
}

macro_rules! nulls {
    (nulls_first) => {
        Nulls::First
    };
    ($($other:ident)?) => {
        Nulls::Last
    };
}

macro_rules! key {
    ($column:ident $direction:ident) => {
        $direction(items::$column)
    };
    ($column:ident $direction:ident $nulls:ident) => {
        $direction(items::$column).$nulls()
    };
}

macro_rules! load {
    ($connection:ident, $order:expr, $step:ident, $size:ident) => {{
        let pages = items::table.paginate_by($order).signed_with(&key());
        match $step {
            Step::After(cursor) => pages.after(cursor).first($size).load_page($connection).await,
            Step::Before(cursor) => pages.before(cursor).last($size).load_page($connection).await,
        }
    }};
}

orders! {
    0: (id asc);
    1: (id desc);
    2: (b asc) (id asc);
    3: (b desc) (id desc);
    4: (b desc) (id asc);
    5: (b asc) (id desc);
    6: (a asc nulls_first) (id asc);
    7: (a asc nulls_last) (id asc);
    8: (a desc nulls_first) (id desc);
    9: (a desc nulls_last) (id desc);
    10: (a desc nulls_last) (b asc) (id desc);
    11: (b asc) (a asc nulls_first) (c desc nulls_last) (id asc);
    12: (c asc nulls_last) (b desc) (a desc nulls_first) (id desc);
    13: (a asc nulls_last) (b asc) (id asc);
    14: (c desc nulls_first) (a asc nulls_first) (id desc);
}

/// What happens between two pages.
#[derive(Clone, Debug)]
enum Change {
    Insert(Option<i32>, i32, Option<&'static str>),
    /// Deletes the row whose cursor is held.
    DeleteCursorRow,
    /// Deletes some row.
    Delete(usize),
    Nothing,
}

#[derive(Clone, Debug)]
struct Walk {
    order: usize,
    size: usize,
    rows: Vec<(Option<i32>, i32, Option<&'static str>)>,
    /// Where to, and what happens before.
    steps: Vec<(bool, Change)>,
}

fn columns() -> impl Strategy<Value = (Option<i32>, i32, Option<&'static str>)> {
    // Few values, so that ties are the rule.
    let letter = prop::sample::select(&["p", "q"][..]);
    (prop::option::of(0..3), 0..3, prop::option::of(letter))
}

fn walks() -> impl Strategy<Value = Walk> {
    let change = prop_oneof![
        2 => columns().prop_map(|(a, b, c)| Change::Insert(a, b, c)),
        1 => Just(Change::DeleteCursorRow),
        2 => any::<usize>().prop_map(Change::Delete),
        3 => Just(Change::Nothing),
    ];
    // Mostly on, sometimes back.
    let steps = prop::collection::vec((prop::bool::weighted(0.7), change), 1..10);
    let rows = prop::collection::vec(columns(), 0..24);
    (0..ORDERS.len(), 1..6_usize, rows, steps).prop_map(|(order, size, rows, steps)| Walk {
        order,
        size,
        rows,
        steps,
    })
}

fn compare(order: usize, left: &Row, right: &Row) -> Ordering {
    ORDERS[order].iter().fold(Ordering::Equal, |so_far, &(column, direction, nulls)| {
        so_far.then_with(|| match column {
            Column::Id => one(Some(left.0), Some(right.0), direction, nulls),
            Column::A => one(left.1, right.1, direction, nulls),
            Column::B => one(Some(left.2), Some(right.2), direction, nulls),
            Column::C => one(left.3.as_ref(), right.3.as_ref(), direction, nulls),
        })
    })
}

fn one<T: Ord>(left: Option<T>, right: Option<T>, direction: Ordering, nulls: Nulls) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) if nulls == Nulls::First => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) if nulls == Nulls::First => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) if direction == Ordering::Less => left.cmp(&right),
        (Some(left), Some(right)) => right.cmp(&left),
    }
}

/// The rows of a page and what lies around it, by the oracle.
fn expected(
    table: &[Row],
    order: usize,
    place: Option<&Row>,
    forward: bool,
    size: usize,
) -> (Vec<Row>, bool, bool) {
    let mut sorted = table.to_vec();
    sorted.sort_by(|left, right| compare(order, left, right));
    let beyond = |row: &&Row| {
        place.is_none_or(|place| match compare(order, row, place) {
            Ordering::Equal => false,
            side => (side == Ordering::Greater) == forward,
        })
    };
    let candidates: Vec<Row> = sorted.iter().filter(beyond).cloned().collect();
    let behind = place.is_some() && candidates.len() < sorted.len();
    let more = candidates.len() > size;
    if forward {
        (candidates.into_iter().take(size).collect(), behind, more)
    } else {
        let skipped = candidates.len().saturating_sub(size);
        (candidates.into_iter().skip(skipped).collect(), more, behind)
    }
}

/// A macro, because the two connections have no statements in common that are generic.
macro_rules! check {
    ($connection:expr, $sort:ty, $load:ident, $walk:expr) => {{
        let (connection, walk): (&mut $sort, Walk) = ($connection, $walk);
        connection.batch_execute("DELETE FROM items").await.unwrap();
        let mut table: Vec<Row> = Vec::new();
        // Ids in an order of their own.
        let id = |count: usize| i32::try_from(count * 37 % 101).unwrap();
        let mut inserted = 0;
        let mut insert = async |connection: &mut $sort, table: &mut Vec<Row>, (a, b, c)| {
            let c: Option<&str> = c;
            let row: Row = (id(inserted), a, b, c.map(str::to_owned));
            inserted += 1;
            let values = (
                items::id.eq(row.0),
                items::a.eq(row.1),
                items::b.eq(row.2),
                items::c.eq(row.3.clone()),
            );
            diesel::insert_into(items::table).values(values).execute(connection).await.unwrap();
            table.push(row);
        };
        for columns in walk.rows.clone() {
            insert(connection, &mut table, columns).await;
        }

        let mut forward = true;
        let mut held: Option<(Cursor, Row)> = None;
        for (on, change) in walk.steps.clone() {
            let gone = match change {
                Change::Insert(a, b, c) => {
                    insert(connection, &mut table, (a, b, c)).await;
                    None
                }
                Change::DeleteCursorRow => held.as_ref().map(|(_, row)| row.0),
                Change::Delete(index) => table.get(index % table.len().max(1)).map(|row| row.0),
                Change::Nothing => None,
            };
            if let Some(gone) = gone {
                let gone_row = items::table.find(gone);
                diesel::delete(gone_row).execute(connection).await.unwrap();
                table.retain(|row| row.0 != gone);
            }
            forward = if on { forward } else { !forward };
            let (cursor, place) = held.clone().unzip();
            let step = if forward { Step::After(cursor) } else { Step::Before(cursor) };
            let page = $load(connection, walk.order, step, walk.size).await.unwrap();
            let (rows, previous, next) =
                expected(&table, walk.order, place.as_ref(), forward, walk.size);
            assert_eq!(page.rows(), rows, "order {}, after {place:?}", walk.order);
            assert_eq!(page.has_previous_page(), previous, "previous of {rows:?}");
            assert_eq!(page.has_next_page(), next, "next of {rows:?}");
            // The end at which the walk goes on; without rows, it stays where it is.
            let last = if forward { rows.len().checked_sub(1) } else { Some(0) };
            if let Some((index, row)) = last.and_then(|last| Some((last, rows.get(last)?))) {
                held = Some((page.cursor(index).unwrap(), row.clone()));
            }
        }
    }};
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn pages_on_postgres() {
    let runtime = runtime();
    let (connection, _database) = runtime.block_on(postgres(SCHEMA));
    let connection = Mutex::new(connection);
    proptest!(config(), |(walk in walks())| {
        runtime.block_on(async {
            check!(&mut *connection.lock().await, AsyncPgConnection, load_postgres, walk);
        });
    });
}

#[test]
fn pages_on_sqlite() {
    let runtime = runtime();
    let connection = Mutex::new(runtime.block_on(sqlite(SCHEMA)));
    proptest!(config(), |(walk in walks())| {
        runtime.block_on(async {
            check!(&mut *connection.lock().await, Sqlite, load_sqlite, walk);
        });
    });
}
