//! Which values the rows of a relation are confined to, and why that is safe to rely on.
//!
//! A pin `column = v` on an occurrence promises: *a row of that relation with another value in the
//! column (or NULL) cannot influence the block's result*. A write that touches only such rows then
//! need not invalidate the answer.
//!
//! # Conditions
//!
//! Pins are inferred from *conditions*. The conditions of an occurrence `o` are the AND-ed parts of
//!
//! - the block's `WHERE`,
//! - the `ON` of every inner join that has `o` below it,
//! - the `ON` of every outer join that has `o` below its nullable side (the right of a left join,
//!   the left of a right join, neither of a full join).
//!
//! Of these, the equalities between two columns of the block's base relations, or of one with a bind
//! or literal, are the *edges*; so are those that an equality of rows consists of. If a chain of edges leads from `o.column` to `v`, that is a pin.
//!
//! # Why it holds
//!
//! An equality is *strict*: it is not true if either side is NULL. Take a row `b` of `o` with
//! `b.column ≠ v`. In no combination of rows can all edges of the chain be true at once.
//!
//! - *A combination that contains `b`* fails an edge. At an inner join or `WHERE` it is dropped; at
//!   an outer join with `o` on its nullable side it does not match. So it is never in the result.
//! - *A combination that exists only for want of a match* could be suppressed by `b`: at an outer
//!   join, where the side with `o` is replaced by NULLs because nothing matched. If the chain's
//!   edges up to and including that join are enough to keep `b` out, it suppresses nothing. Else
//!   some edge of the chain lies higher. The first such edge, seen from `o`, starts at a column that
//!   the chain reached through lower edges, hence one below that join: on the replaced side, where
//!   it is NULL now and the edge drops the combination too; or, if the join's own `ON` was used to
//!   cross to the preserved side, on rows that are the same whether or not `b` matched them, so that
//!   the edge treats both alike. And `b` itself fails an edge above, as it passed all below.
//!
//! What follows in the block (grouping, aggregates, `HAVING`, `DISTINCT`, `ORDER BY`, `LIMIT`) sees
//! only what the conditions left over. Volatile functions could break that, and are refused. An
//! error that evaluating `b` might raise is not an answer, so it is never cached.
//!
//! The block's result enters the rest of the statement as a whole, and so the promise holds for the
//! statement as well, whether the block is a subquery, under `NOT EXISTS`, a derived table or a CTE.
//! But no condition from outside a block pins anything within it: a window function, `LIMIT` or
//! aggregate in there may have looked at any row.
//!
//! # What is left out
//!
//! Everything that would need more argument: `OR`, `NOT`, `CASE`, casts, `COLLATE`, `HAVING`,
//! `USING` and `NATURAL`, branches of set operations, blocks with window functions, relations whose
//! columns are renamed, names that cannot be attributed to one relation. The types of the compared
//! values are not visible here; [`Pin::through`] says what the catalog must check.

use std::collections::VecDeque;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use turbodiesel_core::PinValue;

use crate::{
    ColumnRef, Dialect, Pin, PinSource, Scalar,
    scope::{Block, Relation},
};

/// The relations of a block beyond which none is pinned, so that planning stays linear.
const MOST_RELATIONS: usize = 32;

/// The equalities of either sort that are looked at; more are not worth the time.
const MOST_EDGES: usize = 64;

/// The longest `IN` list that pins.
const LONGEST_LIST: usize = 8;

/// Columns that one chain may pass through; more is not worth following.
const LONGEST_CHAIN: usize = 4;

/// The pins of one relation of a block, in the order in which the text gives them.
pub(crate) fn pins(dialect: Dialect, block: &Block<'_>, relation: &Relation<'_>) -> Vec<Pin> {
    if block.has_window || block.relations.len() > MOST_RELATIONS {
        return Vec::new();
    }
    let mut edges = Edges::default();
    for condition in &relation.conditions {
        edges.add(dialect, block, condition);
    }
    edges.pins_of(block, relation)
}

/// A column of a relation of the block.
type Column = (usize, Box<str>);

/// The equalities among the conditions of one relation.
#[derive(Default)]
struct Edges {
    columns: Vec<(Column, Column)>,
    values: Vec<(Column, PinSource)>,
}

impl Edges {
    fn add(&mut self, dialect: Dialect, block: &Block<'_>, condition: &Expr) {
        match condition {
            Expr::Nested(inner) => self.add(dialect, block, inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.add(dialect, block, left);
                self.add(dialect, block, right);
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                self.add_equality(dialect, block, left, right);
            }
            Expr::InList { expr, list, negated: false } if list.len() <= LONGEST_LIST => {
                self.add_list(dialect, block, expr, list);
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, is_some: _ } => {
                match unnest(right) {
                    Expr::Array(array) if array.elem.len() <= LONGEST_LIST => {
                        self.add_list(dialect, block, left, &array.elem);
                    }
                    right => {
                        if let Some(column) = block.resolve(dialect, unnest(left)) {
                            self.add_values(column, bind(right).map(PinSource::AnyBind));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Two rows are equal if their columns are, pair by pair. (Rows within rows are not: their NULLs
    /// are equal to each other.)
    fn add_equality(&mut self, dialect: Dialect, block: &Block<'_>, left: &Expr, right: &Expr) {
        match (unnest(left), unnest(right)) {
            (Expr::Tuple(left), Expr::Tuple(right)) if left.len() == right.len() => {
                for (left, right) in left.iter().zip(right) {
                    self.add_pair(dialect, block, left, right);
                }
            }
            (left, right) => self.add_pair(dialect, block, left, right),
        }
    }

    fn add_pair(&mut self, dialect: Dialect, block: &Block<'_>, left: &Expr, right: &Expr) {
        let side = |side| block.resolve(dialect, unnest(side));
        match (side(left), side(right)) {
            (Some(one), Some(other)) => self.add_columns(one, other),
            (Some(column), None) => self.add_values(column, scalar(right).map(one_of)),
            (None, Some(column)) => self.add_values(column, scalar(left).map(one_of)),
            (None, None) => {}
        }
    }

    fn add_list(&mut self, dialect: Dialect, block: &Block<'_>, expr: &Expr, list: &[Expr]) {
        if let Some(column) = block.resolve(dialect, unnest(expr)) {
            let values: Option<Vec<_>> = list.iter().map(scalar).collect();
            let values = values.filter(|values| !values.is_empty());
            self.add_values(column, values.map(PinSource::OneOf));
        }
    }

    fn add_columns(&mut self, one: Column, other: Column) {
        if self.columns.len() < MOST_EDGES {
            self.columns.push((one, other));
        }
    }

    fn add_values(&mut self, column: Column, values: Option<PinSource>) {
        if let Some(values) = values
            && self.values.len() < MOST_EDGES
        {
            self.values.push((column, values));
        }
    }

    /// Walks from every value to the columns that equal it, nearest first.
    fn pins_of(&self, block: &Block<'_>, relation: &Relation<'_>) -> Vec<Pin> {
        let mut pins: Vec<Pin> = Vec::new();
        for (start, values) in &self.values {
            let mut reached: Vec<&Column> = vec![start];
            let mut next = VecDeque::from([(start, Vec::<&Column>::new())]);
            while let Some((column, path)) = next.pop_front() {
                if std::ptr::eq(&block.relations[column.0], relation) {
                    let through = path.iter().filter_map(|column| column_ref(block, column));
                    let pin = Pin {
                        column: column.1.clone(),
                        values: values.clone(),
                        through: through.collect(),
                    };
                    keep_best(&mut pins, pin);
                }
                if path.len() == LONGEST_CHAIN {
                    continue;
                }
                for (one, other) in &self.columns {
                    let neighbour = match () {
                        () if one == column => other,
                        () if other == column => one,
                        () => continue,
                    };
                    if !reached.contains(&neighbour) {
                        reached.push(neighbour);
                        next.push_back((neighbour, [path.as_slice(), &[column]].concat()));
                    }
                }
            }
        }
        pins
    }
}

/// Keeps one pin per column. Any is sound; the most useful is direct, and has the fewest values.
fn keep_best(pins: &mut Vec<Pin>, pin: Pin) {
    let cost = |pin: &Pin| {
        let values = match &pin.values {
            PinSource::OneOf(values) => values.len(),
            PinSource::AnyBind(_) => usize::MAX,
        };
        (pin.through.len(), values)
    };
    match pins.iter_mut().find(|known| known.column == pin.column) {
        Some(known) if cost(&pin) < cost(known) => *known = pin,
        Some(_) => {}
        None => pins.push(pin),
    }
}

fn column_ref(block: &Block<'_>, (relation, column): &Column) -> Option<ColumnRef> {
    let table = block.relations[*relation].table()?.clone();
    Some(ColumnRef { table, column: column.clone() })
}

fn one_of(value: Scalar) -> PinSource {
    PinSource::OneOf(vec![value])
}

/// The expression within its parentheses.
pub(crate) fn unnest(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// A bind or a literal that can be a pin's value.
pub(crate) fn scalar(expr: &Expr) -> Option<Scalar> {
    let expr = unnest(expr);
    match bind(expr) {
        Some(index) => Some(Scalar::Bind(index)),
        None => literal(expr).map(Scalar::Literal),
    }
}

fn bind(expr: &Expr) -> Option<usize> {
    let Expr::Value(value) = expr else { return None };
    let Value::Placeholder(text) = &value.value else { return None };
    text.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// A literal whose value is plain to see: an integer, a boolean, a string without escapes.
fn literal(expr: &Expr) -> Option<PinValue> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) if digits.bytes().all(|c| c.is_ascii_digit()) => {
                digits.parse().ok().map(PinValue::Int)
            }
            Value::SingleQuotedString(text) if !text.contains('\\') => {
                Some(PinValue::Text(text.as_str().into()))
            }
            Value::Boolean(value) => Some(PinValue::Bool(*value)),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            PinValue::Int(value) => value.checked_neg().map(PinValue::Int),
            _ => None,
        },
        _ => None,
    }
}
