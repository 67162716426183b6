//! Reads the definitions of SQLite's triggers.
//!
//! Their bodies are statements of SQL, and what they may do to the row being written is to write it
//! once more: nothing is assigned.

use turbodiesel_sql::Dialect;

use crate::catalog::{Catalog, Events, Trigger, TriggerBody, no_columns};

/// Reads a definition; what is not understood may do anything.
pub(super) fn read(definition: &str, catalog: &Catalog) -> Trigger {
    let opaque = Trigger { on: Events::ALL, body: TriggerBody::Opaque };
    let Some(Definition { on, statements }) = Definition::of(definition) else { return opaque };
    let statements = statements.iter().map(String::as_str);
    match catalog.writes_of(Dialect::Sqlite, statements) {
        Some(writes) => Trigger { on, body: TriggerBody::Known { assigns: no_columns(), writes } },
        None => Trigger { on, ..opaque },
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Definition {
    on: Events,
    /// Those of its body, and its condition as a query.
    statements: Vec<String>,
}

impl Definition {
    /// `CREATE TRIGGER name [BEFORE | AFTER | INSTEAD OF] event ON table [FOR EACH ROW] [WHEN condition] BEGIN
    /// statement; … END`
    fn of(sql: &str) -> Option<Self> {
        let tokens = tokens(sql)?;
        // None of these is a name unless it is in quotes; `BEGIN` may be one, behind a point.
        let event = tokens.iter().position(|it| {
            ["INSERT", "UPDATE", "DELETE"].iter().any(|event| it.is_word(sql, event))
        })?;
        let begin = (event..tokens.len())
            .find(|at| tokens[*at].is_word(sql, "BEGIN") && tokens[at - 1].text(sql) != ".")?;
        let head = &tokens[..begin];
        let end = tokens.len().checked_sub(1).filter(|end| tokens[*end].is_word(sql, "END"))?;
        let is_event = |word| head[event].is_word(sql, word);
        let on = Events {
            insert: is_event("INSERT"),
            update: is_event("UPDATE"),
            delete: is_event("DELETE"),
            truncate: false,
        };

        let mut statements = Vec::new();
        if let Some(when) = head.iter().position(|token| token.is_word(sql, "WHEN")) {
            statements.push(format!("SELECT {}", between(sql, &head[when + 1..])?));
        }
        let body = &tokens[begin + 1..end];
        let (last, _) = body.split_last()?;
        if last.text(sql) != ";" {
            return None;
        }
        for statement in body.split(|token| token.text(sql) == ";").filter(|it| !it.is_empty()) {
            statements.push(between(sql, statement)?.to_owned());
        }
        Some(Self { on, statements })
    }
}

/// The text from the first of some tokens to the last.
fn between<'s>(sql: &'s str, tokens: &[Token]) -> Option<&'s str> {
    Some(&sql[tokens.first()?.start..tokens.last()?.end])
}

/// A word, something in quotes, or one other character.
#[derive(Debug)]
struct Token {
    start: usize,
    end: usize,
}

impl Token {
    fn text<'s>(&self, sql: &'s str) -> &'s str {
        &sql[self.start..self.end]
    }

    fn is_word(&self, sql: &str, word: &str) -> bool {
        self.text(sql).eq_ignore_ascii_case(word)
    }
}

/// The tokens of a text without its comments, or `None` where something is left open.
fn tokens(sql: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = sql[start..].chars().next() {
        let rest = &sql[start..];
        if first.is_ascii_whitespace() {
            start += 1;
            continue;
        }
        if rest.starts_with("--") {
            start += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with("/*") {
            start += rest.find("*/")? + 2;
            continue;
        }
        let length = match first {
            '\'' | '"' | '`' => quoted(rest, first)?,
            '[' => rest.find(']')? + 1,
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        tokens.push(Token { start, end: start + length });
        start += length;
    }
    Some(tokens)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// Up to the closing quote, which doubled stands for itself.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, on: &str, statements: &[&str]) {
        let definition = Definition::of(sql).unwrap();
        assert_eq!(definition.statements, statements);
        let Events { insert, update, delete, truncate } = definition.on;
        let events =
            [(insert, "insert"), (update, "update"), (delete, "delete"), (truncate, "all")];
        let events: Vec<_> = events.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        assert_eq!(events, [on]);
        for end in (0..sql.len()).filter(|end| sql.is_char_boundary(*end)) {
            assert_eq!(Definition::of(&sql[..end]), None, "{}", &sql[..end]);
        }
    }

    #[test]
    fn definitions() {
        check(
            "CREATE TRIGGER IF NOT EXISTS main.\"delete\" AFTER INSERT ON t FOR EACH ROW
             WHEN NEW.begin > 1 BEGIN INSERT INTO log VALUES (NEW.id, 'a;b'); -- end;
             DELETE FROM t WHERE x = CASE WHEN 1 THEN 2 END /* ; */; SELECT 'it''s'; END",
            "insert",
            &[
                "SELECT NEW.begin > 1",
                "INSERT INTO log VALUES (NEW.id, 'a;b')",
                "DELETE FROM t WHERE x = CASE WHEN 1 THEN 2 END",
                "SELECT 'it''s'",
            ],
        );
        check(
            "create trigger [a] update of x, y on t begin select 1; end",
            "update",
            &["select 1"],
        );
        check("CREATE TRIGGER é BEFORE DELETE ON `t` BEGIN SELECT 1; END", "delete", &["SELECT 1"]);
    }

    #[test]
    fn what_is_no_definition() {
        for sql in [
            "",
            "CREATE TABLE t (x)",
            "CREATE TRIGGER t AFTER INSERT ON v BEGIN SELECT 1; END; x",
            "CREATE TRIGGER t AFTER INSERT ON v BEGIN END",
            "CREATE TRIGGER t AFTER INSERT ON v BEGIN SELECT '1; END",
        ] {
            assert_eq!(Definition::of(sql), None, "{sql}");
        }
    }
}
