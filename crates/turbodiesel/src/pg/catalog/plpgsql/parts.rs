//! The parts that statements are made of: names, expressions, words.

use std::ops::Range;

use turbodiesel_sql::Columns;

use super::{
    Reader,
    tokens::{Kind, Token},
};
use crate::catalog::add_columns;

/// Parts of statements.
impl Reader<'_> {
    /// `<<label>>`, any number of them.
    pub(super) fn labels(&mut self) -> Option<()> {
        while self.is_symbol("<<") {
            self.at += 1;
            self.name()?;
            self.expect_symbol(">>")?;
        }
        Some(())
    }

    pub(super) fn label_at_end(&mut self) -> Option<()> {
        if self.at < self.tokens.len() && !self.is_symbol(";") {
            self.name()?;
        }
        Some(())
    }

    /// Whether an assignment begins here. It goes before keywords, most of which may be variables.
    pub(super) fn is_assignment(&self) -> bool {
        let is_name = |token: &Token| matches!(token.kind, Kind::Word | Kind::Quoted);
        self.tokens.get(self.at).is_some_and(is_name)
            && [":=", "=", ".", "["].iter().any(|it| self.symbol(self.at + 1) == Some(it))
    }

    /// Variables that something is stored in.
    pub(super) fn targets(&mut self) -> Option<()> {
        loop {
            let path = self.path()?;
            self.assigns(&path);
            if !self.is_symbol(",") {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// `name.name.…`
    pub(super) fn path(&mut self) -> Option<Vec<String>> {
        let mut path = vec![self.name()?];
        while self.is_symbol(".") {
            self.at += 1;
            path.push(self.name()?);
        }
        Some(path)
    }

    /// Notes that something is stored in a variable, which may be a field of `NEW`. The name of a
    /// block may stand before it.
    pub(super) fn assigns(&mut self, path: &[String]) {
        let new = path.iter().take(2).position(|name| name == "new");
        let Some(new) = new else { return };
        match path.get(new + 1) {
            Some(column) => {
                let column = [Box::from(column.as_str())].into();
                add_columns(&mut self.body.assigns, &Columns::Only(column));
            }
            None => self.body.assigns = Columns::All,
        }
    }

    /// An expression up to a word or symbol.
    pub(super) fn expression(&mut self, end: &str) -> Option<()> {
        let expression = self.until(&[end])?;
        self.compute(expression)
    }

    /// Expressions between commas, up to a word or symbol.
    pub(super) fn expressions(&mut self, ends: &[&str]) -> Option<()> {
        loop {
            let expression = self.until(&[ends, &[","]].concat())?;
            self.compute(expression)?;
            if !self.is_symbol(",") {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// Notes an expression, as PL/pgSQL computes it: by a query.
    pub(super) fn compute(&mut self, expression: Range<usize>) -> Option<()> {
        let sql = format!("SELECT {}", self.text(expression)?);
        self.body.statements.push(sql);
        Some(())
    }
}

/// Tokens.
impl Reader<'_> {
    /// Goes to the first of these words and symbols outside of parentheses, and tells what it passed.
    pub(super) fn until(&mut self, ends: &[&str]) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            if depth == 0 && ends.iter().any(|end| self.is(end) || self.is_symbol(end)) {
                return Some(start..self.at);
            }
            match self.symbol(self.at) {
                Some("(" | "[") => depth += 1,
                Some(")" | "]") => depth = depth.checked_sub(1)?,
                // Nothing goes on beyond a statement.
                Some(";") => return None,
                _ => {}
            }
            self.tokens.get(self.at)?;
            self.at += 1;
        }
    }

    /// The text of some tokens, `None` without any.
    pub(super) fn text(&self, tokens: Range<usize>) -> Option<&str> {
        let tokens = self.tokens.get(tokens)?;
        let (first, last) = (tokens.first()?, tokens.last()?);
        Some(&self.source[first.place.start..last.place.end])
    }

    /// The word at a place, in capitals.
    pub(super) fn word(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Word)?;
        Some(self.source[token.place.clone()].to_ascii_uppercase())
    }

    pub(super) fn symbol(&self, at: usize) -> Option<&str> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Symbol)?;
        Some(&self.source[token.place.clone()])
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.word(self.at).as_deref() == Some(word)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.symbol(self.at) == Some(symbol)
    }

    pub(super) fn eat(&mut self, word: &str) -> bool {
        let is = self.is(word);
        self.at += usize::from(is);
        is
    }

    pub(super) fn expect(&mut self, word: &str) -> Option<()> {
        self.eat(word).then_some(())
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Option<()> {
        let is = self.is_symbol(symbol);
        self.at += usize::from(is);
        is.then_some(())
    }

    /// A name as the catalog spells it.
    pub(super) fn name(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        let text = &self.source[token.place.clone()];
        let name = match token.kind {
            Kind::Word => text.to_ascii_lowercase(),
            Kind::Quoted => text[1..text.len() - 1].replace("\"\"", "\""),
            Kind::Text | Kind::Number | Kind::Symbol => return None,
        };
        self.at += 1;
        Some(name)
    }
}
