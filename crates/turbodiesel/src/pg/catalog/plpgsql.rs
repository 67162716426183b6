//! Reads the body of a trigger function in PL/pgSQL: which SQL it runs, and what it stores in the row
//! being written.
//!
//! Whatever is not known for sure makes the whole body unknown: dynamic SQL, cursors, calls, and
//! every statement and declaration that is not named here. Which branch is taken, how often a loop
//! runs and what a condition says does not matter: all of them count.

mod parts;
mod tokens;

use turbodiesel_sql::Columns;

use self::tokens::{Kind, Token, tokens};
use crate::catalog::no_columns;

/// How deep statements may be nested.
const DEEPEST: usize = 50;

/// What a body contains.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// Every SQL statement that it may run. An expression is the query that computes it.
    pub(super) statements: Vec<String>,
    /// The columns of `NEW` that it may set; all of them where it may return another row than `NEW`.
    pub(super) assigns: Columns,
}

/// Reads a body, or gives up.
pub(super) fn read(source: &str) -> Option<Body> {
    let mut reader = Reader {
        source,
        tokens: tokens(source)?,
        at: 0,
        depth: 0,
        body: Body { statements: Vec::new(), assigns: no_columns() },
    };
    reader.block()?;
    if reader.is_symbol(";") {
        reader.at += 1;
    }
    (reader.at == reader.tokens.len()).then_some(reader.body)
}

struct Reader<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    body: Body,
}

impl Reader<'_> {
    /// `[DECLARE …] BEGIN … [EXCEPTION …] END`
    fn block(&mut self) -> Option<()> {
        self.labels()?;
        if self.eat("DECLARE") {
            while !self.eat("BEGIN") {
                if !self.eat("DECLARE") {
                    self.declaration()?;
                }
            }
        } else {
            self.expect("BEGIN")?;
        }
        self.statements()?;
        if self.eat("EXCEPTION") {
            while self.eat("WHEN") {
                // Names of errors.
                self.until(&["THEN"])?;
                self.expect("THEN")?;
                self.statements()?;
            }
        }
        self.expect("END")?;
        self.label_at_end()
    }

    /// `name [CONSTANT] type [NOT NULL] [{ DEFAULT | := | = } expression];`
    fn declaration(&mut self) -> Option<()> {
        self.name()?;
        if ["ALIAS", "CURSOR", "NO", "SCROLL"].iter().any(|word| self.is(word)) {
            return None;
        }
        self.until(&[";", "DEFAULT", ":=", "="])?;
        if !self.is_symbol(";") {
            self.at += 1;
            self.expression(";")?;
        }
        self.expect_symbol(";")
    }

    /// Statements up to a word that ends them.
    fn statements(&mut self) -> Option<()> {
        const ENDS: [&str; 6] = ["END", "ELSIF", "ELSEIF", "ELSE", "EXCEPTION", "WHEN"];
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        while self.is_assignment() || !ENDS.iter().any(|word| self.is(word)) {
            self.statement()?;
            self.expect_symbol(";")?;
        }
        self.depth -= 1;
        Some(())
    }

    /// A statement without its semicolon.
    fn statement(&mut self) -> Option<()> {
        self.labels()?;
        if self.is_assignment() {
            return self.assignment();
        }
        if self.is("BEGIN") || self.is("DECLARE") {
            return self.block();
        }
        let start = self.at;
        let word = self.word(start)?;
        self.at += 1;
        match &*word {
            "NULL" => Some(()),
            "IF" => self.branches(),
            "CASE" => self.case(),
            "LOOP" => self.body_of_loop(),
            "WHILE" => {
                self.expression("LOOP")?;
                self.expect("LOOP")?;
                self.body_of_loop()
            }
            "FOR" => self.for_loop(),
            "FOREACH" => self.foreach_loop(),
            "EXIT" | "CONTINUE" => self.leave_loop(),
            "RETURN" => self.return_row(),
            "RAISE" => self.raise(),
            "ASSERT" => self.expressions(&[";"]),
            "PERFORM" => self.expression(";"),
            "GET" => self.diagnostics(),
            "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" | "VALUES" | "MERGE"
            | "TRUNCATE" | "NOTIFY" => {
                self.at = start;
                self.sql(";")
            }
            _ => None,
        }
    }

    /// `target { := | = } expression`, where the target may be a field or an element.
    fn assignment(&mut self) -> Option<()> {
        let path = self.path()?;
        self.assigns(&path);
        loop {
            if self.is_symbol("[") {
                self.at += 1;
                self.expression("]")?;
                self.expect_symbol("]")?;
            } else if self.is_symbol(".") {
                self.at += 1;
                self.name()?;
            } else {
                break;
            }
        }
        if !self.is_symbol(":=") && !self.is_symbol("=") {
            return None;
        }
        self.at += 1;
        self.expression(";")
    }

    /// After `IF`.
    fn branches(&mut self) -> Option<()> {
        loop {
            self.expression("THEN")?;
            self.expect("THEN")?;
            self.statements()?;
            if !self.eat("ELSIF") && !self.eat("ELSEIF") {
                break;
            }
        }
        if self.eat("ELSE") {
            self.statements()?;
        }
        self.expect("END")?;
        self.expect("IF")
    }

    /// After `CASE`.
    fn case(&mut self) -> Option<()> {
        if !self.is("WHEN") {
            self.expression("WHEN")?;
        }
        while self.eat("WHEN") {
            self.expressions(&["THEN"])?;
            self.expect("THEN")?;
            self.statements()?;
        }
        if self.eat("ELSE") {
            self.statements()?;
        }
        self.expect("END")?;
        self.expect("CASE")
    }

    /// After `LOOP`.
    fn body_of_loop(&mut self) -> Option<()> {
        self.statements()?;
        self.expect("END")?;
        self.expect("LOOP")?;
        self.label_at_end()
    }

    /// After `FOR`: over numbers or the rows of a query. Over a cursor it is not understood.
    fn for_loop(&mut self) -> Option<()> {
        self.targets()?;
        self.expect("IN")?;
        let start = self.at;
        let range = self.until(&["..", "LOOP"])?;
        if self.is_symbol("..") {
            let lower =
                if self.word(start).as_deref() == Some("REVERSE") { start + 1 } else { start };
            self.compute(lower..range.end)?;
            self.at += 1;
            let upper = self.until(&["BY", "LOOP"])?;
            self.compute(upper)?;
            if self.eat("BY") {
                self.expression("LOOP")?;
            }
        } else {
            const QUERIES: [&str; 7] =
                ["SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE"];
            self.at = start;
            if !QUERIES.iter().any(|word| self.is(word)) {
                return None;
            }
            self.sql("LOOP")?;
        }
        self.expect("LOOP")?;
        self.body_of_loop()
    }

    /// After `FOREACH`.
    fn foreach_loop(&mut self) -> Option<()> {
        self.targets()?;
        if self.eat("SLICE") {
            self.at += 1;
        }
        self.expect("IN")?;
        self.expect("ARRAY")?;
        self.expression("LOOP")?;
        self.expect("LOOP")?;
        self.body_of_loop()
    }

    /// After `EXIT` or `CONTINUE`.
    fn leave_loop(&mut self) -> Option<()> {
        if !self.is("WHEN") && !self.is_symbol(";") {
            self.name()?;
        }
        if self.eat("WHEN") {
            self.expression(";")?;
        }
        Some(())
    }

    /// After `RETURN`. `NULL` gives up the row: nothing is written.
    fn return_row(&mut self) -> Option<()> {
        let returned = self.until(&[";"])?;
        let word = if returned.len() == 1 { self.word(returned.start) } else { None };
        match word.as_deref() {
            Some("NEW" | "NULL") => return Some(()),
            Some("OLD") => {}
            _ => {
                if ["NEXT", "QUERY"]
                    .iter()
                    .any(|it| self.word(returned.start).as_deref() == Some(it))
                {
                    return None;
                }
                self.compute(returned)?;
            }
        }
        self.body.assigns = Columns::All;
        Some(())
    }

    /// After `RAISE`.
    fn raise(&mut self) -> Option<()> {
        const LEVELS: [&str; 6] = ["DEBUG", "LOG", "INFO", "NOTICE", "WARNING", "EXCEPTION"];
        if LEVELS.iter().any(|level| self.is(level)) {
            self.at += 1;
        }
        let is_format = self.tokens.get(self.at)?.kind == Kind::Text;
        if is_format {
            self.at += 1;
            if self.is_symbol(",") {
                self.at += 1;
                self.expressions(&["USING", ";"])?;
            }
        } else {
            // The name of an error, or `SQLSTATE` and a code.
            self.until(&["USING", ";"])?;
        }
        if self.eat("USING") {
            loop {
                self.name()?;
                if !self.is_symbol("=") && !self.is_symbol(":=") {
                    return None;
                }
                self.at += 1;
                let value = self.until(&[",", ";"])?;
                self.compute(value)?;
                if self.is_symbol(";") {
                    break;
                }
                self.at += 1;
            }
        }
        Some(())
    }

    /// After `GET`: `[CURRENT | STACKED] DIAGNOSTICS target { := | = } item, …`
    fn diagnostics(&mut self) -> Option<()> {
        if self.is("CURRENT") || self.is("STACKED") {
            self.at += 1;
        }
        self.expect("DIAGNOSTICS")?;
        loop {
            let path = self.path()?;
            self.assigns(&path);
            if !self.is_symbol("=") && !self.is_symbol(":=") {
                return None;
            }
            self.at += 1;
            self.name()?;
            if !self.is_symbol(",") {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// A statement of SQL up to a word or symbol. Its `INTO` names variables and is no SQL, unless it
    /// belongs to `INSERT` or `MERGE`.
    fn sql(&mut self, end: &str) -> Option<()> {
        let statement = self.until(&[end])?;
        let after = self.at;
        let names_table = |reader: &Self, at: usize| {
            let before = at.checked_sub(1).and_then(|before| reader.word(before));
            matches!(before.as_deref(), Some("INSERT" | "MERGE"))
        };
        let into = statement
            .clone()
            .find(|at| self.word(*at).as_deref() == Some("INTO") && !names_table(self, *at));
        let sql = match into {
            None => self.text(statement)?.to_owned(),
            Some(into) => {
                self.at = into + 1;
                self.eat("STRICT");
                self.targets()?;
                let before = self.text(statement.start..into)?;
                let rest = self.text(self.at..statement.end).unwrap_or_default();
                format!("{before} {rest}")
            }
        };
        self.body.statements.push(sql);
        self.at = after;
        Some(())
    }
}

#[cfg(test)]
mod tests;
