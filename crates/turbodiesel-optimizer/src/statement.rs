//! What a statement's text says: its shape without values, its tables, and what its binds stand for.
//!
//! This is no parser. Diesel writes regular SQL, and all that is wanted is which columns are compared
//! with which binds; what is not recognised is left out, which hides a finding and invents none.

mod lexer;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use quick_cache::sync::Cache;
use turbodiesel_core::FingerprintKey;

use self::lexer::{Token, tokens};
use crate::ValueHash;

/// A statement without its values.
///
/// ```
/// use turbodiesel_optimizer::Statement;
///
/// let statement = Statement::of(r#"SELECT "id" FROM "posts" WHERE ("posts"."user_id" = 7)"#);
/// assert_eq!(statement.sql(), r#"SELECT "id" FROM "posts" WHERE ("posts"."user_id" = ?)"#);
/// assert_eq!(statement.tables().collect::<Vec<_>>(), ["posts"]);
/// ```
pub struct Statement {
    sql: Box<str>,
    fingerprint: u64,
    pub(crate) kind: Kind,
    tables: Box<[Box<str>]>,
    /// Whether it says how many rows it wants.
    pub(crate) is_limited: bool,
    /// The columns that are compared with a value by `=`.
    pub(crate) keys: Box<[Box<str>]>,
    /// Which binds the first of them are compared with.
    key_binds: Box<[u16]>,
    /// And the literals that the rest are compared with.
    key_literals: Box<[ValueHash]>,
    /// All literals.
    literals: Box<[ValueHash]>,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Returns rows.
    Read,
    /// Returns one row that sums others up.
    Aggregate,
    Write,
    /// Anything else: transactions, sessions, schemas.
    Other,
}

impl Kind {
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Kind::Read | Kind::Aggregate)
    }
}

/// How many texts are remembered.
const REMEMBERED: usize = 4_096;

/// How many bytes of a statement are shown and told apart.
const LONGEST_SQL: usize = 16 << 10;

impl Statement {
    /// The statement of a text. The latest few thousand texts are remembered.
    #[must_use]
    pub fn of(sql: &str) -> Arc<Self> {
        static KNOWN: LazyLock<Cache<Box<str>, Arc<Statement>>> =
            LazyLock::new(|| Cache::new(REMEMBERED));
        if let Some(statement) = KNOWN.get(sql) {
            return statement;
        }
        let statement = Arc::new(Self::read(sql));
        if sql.len() <= LONGEST_SQL {
            KNOWN.insert(sql.into(), Arc::clone(&statement));
        }
        statement
    }

    /// The text, with `?` for literals and lists of values cut short.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The tables that it names, without their schemas, in the order in which it names them.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| &**table)
    }

    /// A hash of [`sql`](Self::sql), the same in every process.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether the two have a table in common.
    pub(crate) fn shares_a_table(&self, other: &Self) -> bool {
        self.tables.iter().any(|table| other.tables.contains(table))
    }

    /// The values of the keys, given all binds.
    #[inline]
    pub(crate) fn key_values<'s>(
        &'s self,
        binds: &'s [ValueHash],
    ) -> impl Iterator<Item = ValueHash> + 's {
        let bind = |&index: &u16| binds.get(usize::from(index)).copied().unwrap_or(ValueHash::NULL);
        self.key_binds.iter().map(bind).chain(self.key_literals.iter().copied())
    }

    /// The hash of all values, given all binds.
    #[inline]
    pub(crate) fn hash_values(&self, binds: &[ValueHash]) -> u64 {
        ValueHash::all(binds.iter().chain(&*self.literals).copied())
    }

    fn read(sql: &str) -> Self {
        let tokens = tokens(sql);
        let text = shape(sql, &tokens);
        let mut keys = Vec::new();
        let mut key_literals = Vec::new();
        let (mut key_binds, mut bind_columns) = (Vec::new(), Vec::new());
        let mut unnumbered = 0;
        let mut in_set = false;
        for (index, token) in tokens.iter().enumerate() {
            match *token {
                Token::Word(word, _) if word.eq_ignore_ascii_case("set") => in_set = true,
                Token::Word(word, _) if word.eq_ignore_ascii_case("where") => in_set = false,
                Token::Bind(number, _) => {
                    let bind = number.unwrap_or(unnumbered);
                    unnumbered += 1;
                    if !in_set && let Some(column) = compared(&tokens[..index]) {
                        key_binds.push(bind);
                        bind_columns.push(column.into());
                    }
                }
                Token::Literal(_, value) => {
                    if !in_set && let Some(column) = compared(&tokens[..index]) {
                        keys.push(column.into());
                        key_literals.push(value);
                    }
                }
                _ => {}
            }
        }
        bind_columns.append(&mut keys);
        let literals = tokens.iter().filter_map(|token| match token {
            Token::Literal(_, value) => Some(*value),
            _ => None,
        });
        Self {
            fingerprint: fingerprint([&text]),
            sql: text.into(),
            kind: kind(&tokens),
            tables: tables(&tokens).into(),
            is_limited: tokens.iter().any(|token| token.is_word("limit") || token.is_word("fetch")),
            keys: bind_columns.into(),
            key_binds: key_binds.into(),
            key_literals: key_literals.into(),
            literals: literals.collect(),
        }
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Statement").field(&self.sql).finish()
    }
}

/// A hash of texts that is the same in every process and version.
pub(crate) fn fingerprint<'t>(
    texts: impl IntoIterator<Item = &'t (impl AsRef<str> + ?Sized + 't)>,
) -> u64 {
    let mut identity = turbodiesel_core::IdentityBuilder::default();
    texts.into_iter().for_each(|text| identity.push_bytes(text.as_ref().as_bytes()));
    let fingerprint = FingerprintKey::from_words([0, 0]).fingerprint(identity.as_bytes());
    u64::try_from(fingerprint.0 >> 64).expect("half of the bits fit")
}

/// The column that the value behind these tokens is compared with by `=`.
fn compared<'s>(before: &[Token<'s>]) -> Option<&'s str> {
    match before {
        [.., Token::Word(column, _) | Token::Name(column, _), Token::Symbol("=", _)] => {
            Some(column)
        }
        _ => None,
    }
}

fn kind(tokens: &[Token<'_>]) -> Kind {
    let mut words = tokens.iter().skip_while(|token| token.is_symbol("("));
    let Some(Token::Word(first, _)) = words.next() else { return Kind::Other };
    match first.to_ascii_lowercase().as_str() {
        "select" | "values" | "table" => {
            let is_distinct =
                |token: &&Token<'_>| token.is_word("distinct") || token.is_word("all");
            let mut list = words.skip_while(is_distinct);
            let sums_up = ["count", "sum", "min", "max", "avg"];
            let first = list.next();
            let is_call = list.next().is_some_and(|token| token.is_symbol("("));
            let is_aggregate = is_call
                && first.is_some_and(|first| sums_up.iter().any(|name| first.is_word(name)))
                && !tokens.iter().any(|token| token.is_word("group") || token.is_word("over"));
            if is_aggregate { Kind::Aggregate } else { Kind::Read }
        }
        "with" => {
            let writes = ["insert", "update", "delete", "merge"];
            let is_write = tokens.windows(2).any(|pair| {
                writes.iter().any(|word| pair[1].is_word(word)) && pair[0].is_symbol("(")
                    || writes.iter().any(|word| pair[1].is_word(word)) && pair[0].is_symbol(")")
            });
            if is_write { Kind::Write } else { Kind::Read }
        }
        "insert" | "update" | "delete" | "merge" | "replace" => Kind::Write,
        _ => Kind::Other,
    }
}

/// The tables behind `FROM`, `JOIN`, `INTO` and `UPDATE`, without the names of common table
/// expressions.
fn tables(tokens: &[Token<'_>]) -> Vec<Box<str>> {
    let is_with = tokens.first().is_some_and(|token| token.is_word("with"));
    let mut own = Vec::new();
    let mut tables: Vec<Box<str>> = Vec::new();
    let mut expected = false;
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1;
        let before = index.checked_sub(2).and_then(|before| tokens.get(before));
        match token {
            Token::Word(word, _) if is_introducing(word) => {
                // `FOR UPDATE` locks, and `DO UPDATE` has named its table before.
                let is_other = before.is_some_and(|it| it.is_word("for") || it.is_word("do"));
                expected = !is_other;
            }
            Token::Word(word, _) if is_with && word.eq_ignore_ascii_case("as") => {
                let is_expression = tokens.get(index).is_some_and(|next| next.is_symbol("("));
                if let (true, Some(Token::Word(name, _) | Token::Name(name, _))) =
                    (is_expression, before)
                {
                    own.push(*name);
                }
            }
            Token::Symbol("(", _) if expected => {}
            Token::Word(word, _) if expected && is_between(word) => {}
            Token::Word(name, _) | Token::Name(name, _) if expected => {
                let mut name = *name;
                while let [Token::Symbol(".", _), Token::Word(next, _) | Token::Name(next, _), ..] =
                    &tokens[index..]
                {
                    name = next;
                    index += 2;
                }
                let is_call = tokens.get(index).is_some_and(|next| next.is_symbol("("));
                let is_new = !own.contains(&name) && !tables.iter().any(|table| **table == *name);
                let is_query = name.eq_ignore_ascii_case("select");
                if is_new && !is_query && (!is_call || before.is_some_and(|it| it.is_word("into")))
                {
                    tables.push(name.into());
                }
                // A list goes on, with or without an alias.
                let alias = usize::from(matches!(tokens.get(index), Some(Token::Name(..))));
                expected = tokens.get(index + alias).is_some_and(|next| next.is_symbol(","))
                    && !before.is_some_and(|it| it.is_word("into"));
                if expected {
                    index += alias + 1;
                }
            }
            _ => expected = false,
        }
    }
    tables
}

fn is_introducing(word: &str) -> bool {
    ["from", "join", "into", "update"].iter().any(|it| word.eq_ignore_ascii_case(it))
}

fn is_between(word: &str) -> bool {
    ["only", "lateral", "or", "ignore"].iter().any(|it| word.eq_ignore_ascii_case(it))
}

/// The text without its values: literals are `?`, and a list of values is cut after its first, and a
/// list of such lists likewise, so that a statement is the same for any number of them.
fn shape(sql: &str, tokens: &[Token<'_>]) -> String {
    let mut shape = String::with_capacity(sql.len().min(LONGEST_SQL));
    let mut at = 0;
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        shape.push_str(&sql[at..token.start()]);
        let is_in = token.is_symbol("(")
            && index.checked_sub(1).is_some_and(|before| tokens[before].is_word("in"));
        let end = match end_of_list(tokens, index) {
            Some(end) if is_in => {
                shape.push_str("(…)");
                end
            }
            Some(end) => {
                shape.push_str(if end == index + 3 { "(?)" } else { "(?, …)" });
                let mut last = end;
                while tokens.get(last).is_some_and(|token| token.is_symbol(","))
                    && let Some(next) = end_of_list(tokens, last + 1)
                {
                    last = next;
                }
                if last > end {
                    shape.push_str(", …");
                }
                last
            }
            None => {
                match token {
                    Token::Literal(..) => shape.push('?'),
                    _ => shape.push_str(&sql[token.start()..token.end()]),
                }
                index + 1
            }
        };
        at = tokens[end - 1].end();
        index = end;
    }
    shape.truncate(shape.floor_char_boundary(LONGEST_SQL));
    shape.truncate(shape.trim_end().len());
    shape
}

/// Where the parenthesised list of values ends that begins here.
fn end_of_list(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    tokens.get(start).filter(|token| token.is_symbol("("))?;
    let mut index = start + 1;
    loop {
        let value = tokens.get(index)?;
        let is_value =
            matches!(value, Token::Literal(..) | Token::Bind(..)) || value.is_word("default");
        if !is_value {
            return None;
        }
        match tokens.get(index + 1)? {
            Token::Symbol(")", _) => return Some(index + 2),
            Token::Symbol(",", _) => index += 2,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_left_out_of_the_text() {
        for (sql, expected) in [
            ("SELECT 1", "SELECT ?"),
            ("SELECT a FROM t WHERE b = 'it''s' -- $9", "SELECT a FROM t WHERE b = ?"),
            ("SELECT a FROM t WHERE b IN (?, ?, ?)", "SELECT a FROM t WHERE b IN (…)"),
            ("SELECT a FROM t WHERE b IN (7)", "SELECT a FROM t WHERE b IN (…)"),
            ("INSERT INTO t (a, b) VALUES ($1, $2)", "INSERT INTO t (a, b) VALUES (?, …)"),
            (
                "INSERT INTO t (a, b) VALUES ($1, DEFAULT), ($2, $3)",
                "INSERT INTO t (a, b) VALUES (?, …), …",
            ),
            ("SELECT t1.x2 FROM t1 WHERE f(1.5e3)", "SELECT t1.x2 FROM t1 WHERE f(?)"),
            (r#"SELECT "a?1" FROM t"#, r#"SELECT "a?1" FROM t"#),
            ("SELECT $$secret$$, E'\\'secret', x'ff'", "SELECT ?, ?, ?"),
        ] {
            assert_eq!(Statement::of(sql).sql(), expected, "{sql}");
        }
    }

    #[test]
    fn tables_are_found_where_diesel_writes_them() {
        for (sql, expected) in [
            (r#"SELECT "a" FROM "users" WHERE "users"."id" = $1"#, &["users"][..]),
            (
                r#"SELECT 1 FROM ("users" INNER JOIN "shop"."posts" ON "posts"."user_id" = "users"."id")"#,
                &["users", "posts"],
            ),
            (
                r#"INSERT INTO "posts" ("a") VALUES ($1) ON CONFLICT DO UPDATE SET "a" = $2"#,
                &["posts"],
            ),
            (r#"UPDATE "posts" SET "a" = $1 WHERE "id" = $2"#, &["posts"]),
            (r#"DELETE FROM "posts" WHERE "id" = $2"#, &["posts"]),
            ("SELECT * FROM a, b WHERE a.x IS DISTINCT FROM $1 FOR UPDATE", &["a", "b"]),
            ("WITH recent AS (SELECT * FROM posts) SELECT * FROM recent", &["posts"]),
            ("SELECT * FROM generate_series(1, 3)", &[]),
            ("SELECT * FROM (SELECT * FROM posts) p", &["posts"]),
        ] {
            assert_eq!(Statement::of(sql).tables().collect::<Vec<_>>(), expected, "{sql}");
        }
    }

    #[test]
    fn only_what_is_compared_by_equality_is_a_key() {
        for (sql, expected) in [
            (
                r#"SELECT 1 FROM "p" WHERE ("p"."user_id" = $1) LIMIT $2 OFFSET $3"#,
                &["user_id"][..],
            ),
            ("SELECT 1 FROM p WHERE at >= $1 AND at < $2", &[]),
            ("SELECT 1 FROM p WHERE id = ANY($1)", &[]),
            ("SELECT 1 FROM p WHERE id IN (?, ?)", &[]),
            ("UPDATE p SET a = $1 WHERE id = $2", &["id"]),
            ("SELECT 1 FROM p WHERE a = 7 AND b = $1", &["b", "a"]),
        ] {
            let statement = Statement::of(sql);
            let keys: Vec<&str> = statement.keys.iter().map(|key| &**key).collect();
            assert_eq!(keys, expected, "{sql}");
        }
    }

    #[test]
    fn keys_have_the_values_of_their_binds() {
        let binds = [1, 2, 3].map(ValueHash::integer);
        let values = |sql: &str| Statement::of(sql).key_values(&binds).collect::<Vec<_>>();
        assert_eq!(values("SELECT 1 FROM p WHERE b = $3 AND a = $1"), [binds[2], binds[0]]);
        assert_eq!(values("SELECT 1 FROM p WHERE a IN (?, ?) AND b = ?"), [binds[2]]);
        assert_eq!(values("SELECT 1 FROM p WHERE a = 2"), [binds[1]]);
    }

    #[test]
    fn statements_are_told_apart_by_what_they_do() {
        for (sql, expected) in [
            ("SELECT a FROM t", Kind::Read),
            ("(SELECT a FROM t) UNION (SELECT b FROM t)", Kind::Read),
            ("SELECT COUNT(*) FROM t", Kind::Aggregate),
            ("SELECT DISTINCT sum(a) FROM t", Kind::Aggregate),
            ("SELECT count(*), a FROM t GROUP BY a", Kind::Read),
            ("SELECT count FROM t", Kind::Read),
            ("WITH x AS (SELECT 1) SELECT * FROM x FOR UPDATE", Kind::Read),
            ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", Kind::Write),
            ("INSERT INTO t DEFAULT VALUES", Kind::Write),
            ("BEGIN", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(Statement::of(sql).kind, expected, "{sql}");
        }
    }
}
