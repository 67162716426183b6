//! From the text of a statement to its plan.

use sqlparser::{ast, parser::Parser, tokenizer::Token};
use turbodiesel_core::Bypass;

use crate::{
    Dialect, Kind, Operands, Plan, Refusal, Writes, glance,
    operator::Called,
    returning,
    tokens::{self, Unreadable},
    walk::Walk,
};

/// How deep expressions and subqueries may be nested. Diesel puts every `filter` in parentheses, so
/// a boxed query that was built in a loop is deep.
const DEEPEST: usize = 300;

/// The longest statement that is parsed, in tokens that can nest.
const LONGEST: usize = 50_000;

/// Stack for one level of nesting, with room to spare in unoptimised builds.
const STACK_PER_LEVEL: usize = 8 << 10;

/// Stack for a statement without any nesting.
const STACK: usize = 256 << 10;

/// Plans a statement from its text alone.
///
/// It never fails: what is not understood is [`Kind::Unknown`], which is refused and may write
/// everything. This parses the text every time; a [`Planner`](crate::Planner) remembers.
///
/// ```
/// use turbodiesel_sql::{Dialect, Kind};
///
/// let plan = turbodiesel_sql::plan(
///     Dialect::Postgres,
///     "SELECT * FROM orders JOIN users ON users.id = orders.user_id WHERE users.id = $1",
/// );
/// assert_eq!(plan.kind(), Kind::Read);
/// assert_eq!(plan.refusal(), None);
/// let orders = &plan.occurrences()[0];
/// assert_eq!(&*orders.table.name, "orders");
/// assert_eq!(&*orders.pins[0].column, "user_id");
/// ```
#[must_use]
pub fn plan(dialect: Dialect, sql: &str) -> Plan {
    match tokens::statement(dialect, sql) {
        Ok(statement) => plan_statement(dialect, &statement),
        Err(Unreadable::Empty) => {
            simple(Kind::Read, Writes::None, Bypass::NotUnderstood, "no statement")
        }
        Err(Unreadable::Multiple) => unknown(Bypass::MultipleStatements, "several statements"),
        Err(Unreadable::Text) => unknown(Bypass::NotUnderstood, "unreadable text"),
    }
}

/// Tells control statements by their first words, as the databases' grammars do; the parser, which
/// does not know all of them in full, is left with queries and writes.
fn plan_statement(dialect: Dialect, statement: &tokens::Statement) -> Plan {
    let starts =
        |words: &[&str]| words.iter().enumerate().all(|(i, word)| statement.is_word(i, word));
    let starts_any = |words: &[&str]| words.iter().any(|word| statement.is_word(0, word));
    let control = |kind| simple(kind, Writes::None, Bypass::Control, "control statement");

    if starts(&["PREPARE", "TRANSACTION"])
        || starts(&["COMMIT", "PREPARED"])
        || starts(&["ROLLBACK", "PREPARED"])
        || starts_any(&["CALL", "DO", "EXECUTE"])
    {
        return unknown(Bypass::NotUnderstood, "may do anything");
    }
    if starts_any(&[
        "ABORT",
        "BEGIN",
        "COMMIT",
        "END",
        "LOCK",
        "RELEASE",
        "ROLLBACK",
        "SAVEPOINT",
        "START",
    ]) || starts(&["SET", "TRANSACTION"])
        || starts(&["SET", "LOCAL"])
        || starts(&["SET", "CONSTRAINTS"])
    {
        return control(Kind::Transaction);
    }
    if starts_any(&[
        "ATTACH",
        "CLOSE",
        "DEALLOCATE",
        "DETACH",
        "DISCARD",
        "LISTEN",
        "LOAD",
        "PRAGMA",
        "PREPARE",
        "RESET",
        "SET",
        "UNLISTEN",
    ]) {
        let mut plan = control(Kind::Session);
        plan.returns_rows = starts(&["PRAGMA"]);
        return plan;
    }
    if starts_any(&["DECLARE", "FETCH", "MOVE"]) {
        // A cursor runs its query bit by bit, and the functions that it calls.
        let mut plan = simple(Kind::Session, Writes::Everything, Bypass::Control, "cursor");
        plan.returns_rows = starts(&["FETCH"]);
        return plan;
    }
    if starts(&["CREATE"]) && creates_temporary(statement) {
        // `CREATE TEMP TABLE … AS` runs a query.
        let writes = if statement.has_word("AS") { Writes::Everything } else { Writes::None };
        return simple(Kind::Session, writes, Bypass::Control, "temporary object");
    }
    if starts_any(&["NOTIFY"]) {
        return simple(Kind::Write, Writes::None, Bypass::Write, "NOTIFY");
    }
    if starts_any(&["SHOW"]) {
        let mut plan = simple(Kind::Read, Writes::None, Bypass::StableFunction, "SHOW");
        plan.returns_rows = true;
        return plan;
    }
    if starts_any(&[
        "ALTER",
        "ANALYZE",
        "ANALYSE",
        "CHECKPOINT",
        "CLUSTER",
        "COMMENT",
        "CREATE",
        "DROP",
        "GRANT",
        "IMPORT",
        "REASSIGN",
        "REFRESH",
        "REINDEX",
        "REVOKE",
        "SECURITY",
        "VACUUM",
    ]) {
        return simple(Kind::Schema, Writes::Everything, Bypass::Control, "schema statement");
    }
    if starts_any(&["EXPLAIN"]) {
        return explain(dialect, statement);
    }
    plan_query(dialect, statement)
}

/// `EXPLAIN` tells what the planner thinks, which depends on statistics. With `ANALYZE` it runs the
/// statement.
fn explain(dialect: Dialect, statement: &tokens::Statement) -> Plan {
    let mut plan = simple(Kind::Read, Writes::None, Bypass::SystemCatalog, "EXPLAIN");
    plan.returns_rows = true;
    if dialect == Dialect::Sqlite
        || !(statement.has_word("ANALYZE") || statement.has_word("ANALYSE"))
    {
        return plan;
    }
    let start = match statement.tokens.get(1) {
        Some(Token::LParen) => {
            let end = statement.tokens.iter().position(|token| *token == Token::RParen);
            end.map_or(usize::MAX, |end| end + 1)
        }
        _ => {
            let option = |index: &usize| {
                let words = ["ANALYZE", "ANALYSE", "VERBOSE"];
                words.iter().any(|word| statement.is_word(*index, word))
            };
            1 + (1..).take_while(option).count()
        }
    };
    if start >= statement.tokens.len() {
        return unknown(Bypass::NotUnderstood, "EXPLAIN ANALYZE");
    }
    let inner = plan_query(dialect, &statement.skip(start));
    match inner.kind {
        Kind::Read if inner.writes == Writes::None => Plan { refusal: plan.refusal, ..inner },
        _ => unknown(Bypass::NotUnderstood, "EXPLAIN ANALYZE of a write"),
    }
}

/// Whether a `CREATE` makes an object of the session.
fn creates_temporary(statement: &tokens::Statement) -> bool {
    let mut index = 1;
    if statement.is_word(index, "OR") {
        index += 2;
    }
    if statement.is_word(index, "LOCAL") || statement.is_word(index, "GLOBAL") {
        index += 1;
    }
    statement.is_word(index, "TEMP") || statement.is_word(index, "TEMPORARY")
}

/// A query or a write.
pub(crate) fn plan_query(dialect: Dialect, statement: &tokens::Statement) -> Plan {
    const VERBS: [&str; 10] = [
        "COPY", "DELETE", "INSERT", "MERGE", "REPLACE", "SELECT", "TRUNCATE", "UPDATE", "VALUES",
        "WITH",
    ];
    let is_known = VERBS.iter().any(|verb| statement.is_word(0, verb))
        || statement.tokens.first() == Some(&Token::LParen);
    if !is_known {
        return unknown(Bypass::NotUnderstood, "unknown statement");
    }
    let depth = statement.depth_bound();
    if depth > LONGEST {
        return unknown(Bypass::NotUnderstood, "too long");
    }
    if statement.is_misread() {
        return or_glance(dialect, statement, unknown(Bypass::NotUnderstood, "operator"));
    }
    // A chain such as `a OR b OR …` makes a tree as deep as it is long, which is parsed in a loop
    // but walked and dropped by recursion.
    let stack = STACK + depth * STACK_PER_LEVEL;
    let plan = stacker::maybe_grow(stack, stack, || {
        let parsed = Parser::new(dialect.parser())
            .with_recursion_limit(DEEPEST)
            .with_tokens(statement.tokens.clone())
            .parse_statements();
        match parsed.as_deref() {
            Ok([parsed]) => walk(dialect, statement, parsed),
            _ => unknown(Bypass::NotUnderstood, "not parsed"),
        }
    });
    or_glance(dialect, statement, plan)
}

/// A plan, or what a glance tells where it is not understood.
fn or_glance(dialect: Dialect, statement: &tokens::Statement, plan: Plan) -> Plan {
    let mut plan = match &plan.refusal {
        Some(refusal) if plan.kind == Kind::Unknown => {
            glance::plan(dialect, statement, refusal.clone()).unwrap_or(plan)
        }
        _ => plan,
    };
    // What the walk has not met may stand beside anything.
    for Called { symbol, is_misread: _ } in &statement.operators {
        plan.operators.entry(symbol.clone()).or_insert_with(Operands::anything);
    }
    plan
}

fn walk(dialect: Dialect, statement: &tokens::Statement, parsed: &ast::Statement) -> Plan {
    let mut walk = Walk::new(dialect, statement.conflict_on_expression);
    let returns_rows = match parsed {
        ast::Statement::Query(query) => walk.query(query),
        ast::Statement::Insert(insert) => walk.insert(insert),
        ast::Statement::Update(update) => walk.update(update),
        ast::Statement::Delete(delete) => walk.delete(delete),
        ast::Statement::Merge(merge) => walk.merge(merge),
        ast::Statement::Truncate(truncate) => {
            walk.truncate(truncate);
            false
        }
        ast::Statement::Copy { source, to, target, options: _, legacy_options: _, values: _ } => {
            walk.copy(source, *to, target);
            false
        }
        _ => return unknown(Bypass::NotUnderstood, "statement of another dialect"),
    };
    let operands = std::mem::take(&mut walk.facts.operands);
    let mut plan = walk.facts.into_plan(returns_rows);
    let uses = |symbol: &str| statement.operators.iter().filter(|it| *it.symbol == *symbol).count();
    plan.operators = operands
        .into_iter()
        .filter(|(symbol, beside)| beside.len() == uses(symbol))
        .map(|(symbol, beside)| (symbol, Operands::of(beside)))
        .collect();
    if let Writes::Tables(targets) = &plan.writes
        && let [_] = targets.as_slice()
        && statement.can_be_extended
    {
        plan.returning = returning::returning(dialect, parsed);
    }
    plan
}

pub(crate) fn unknown(reason: Bypass, detail: &str) -> Plan {
    // Rows are possible, for all that is known.
    let plan = simple(Kind::Unknown, Writes::Everything, reason, detail);
    Plan { returns_rows: true, ..plan }
}

fn simple(kind: Kind, writes: Writes, reason: Bypass, detail: &str) -> Plan {
    Plan {
        kind,
        returns_rows: false,
        is_aggregate: false,
        occurrences: Vec::new(),
        writes,
        functions: Default::default(),
        builtins: Default::default(),
        operators: Default::default(),
        returning: None,
        refusal: Some(Refusal { reason, detail: detail.to_owned() }),
    }
}
