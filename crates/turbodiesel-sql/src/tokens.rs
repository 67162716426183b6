//! From text to the tokens of one statement, in a form that the parser reads rightly.
//!
//! The parser is more lenient than the databases and lacks some of their syntax. Where it would
//! *misread* a statement or reject one that is common, the tokens are rewritten to an equivalent
//! that it reads; where its idea of a token may differ from the database's, the text is refused.

use sqlparser::tokenizer::{Token, Tokenizer, Whitespace, Word};

use crate::{
    Dialect,
    operator::{self, Called},
};

/// The tokens of one statement, without white space and comments.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) tokens: Vec<Token>,
    /// Whether an `ON CONFLICT` target was an expression or partial, and has been removed.
    pub(crate) conflict_on_expression: bool,
    /// Whether nothing but white space and semicolons follows the last token in the text.
    pub(crate) can_be_extended: bool,
    /// The operators, as PostgreSQL reads them.
    pub(crate) operators: Vec<Called>,
}

/// Why a text has no tokens to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The tokenizer failed, or may see other tokens than the database does.
    Text,
    /// More than one statement.
    Multiple,
    /// No statement at all.
    Empty,
}

/// The tokens of the only statement in a text.
pub(crate) fn statement(dialect: Dialect, sql: &str) -> Result<Statement, Unreadable> {
    if sql.chars().any(is_read_differently) {
        return Err(Unreadable::Text);
    }
    let mut tokens =
        Tokenizer::new(dialect.parser(), sql).tokenize().map_err(|_| Unreadable::Text)?;
    if tokens.iter().any(swallows_comment) {
        return Err(Unreadable::Text);
    }
    let can_be_extended =
        tokens.iter().rev().find(|token| !may_follow(token)).is_some_and(|last| {
            // A comment; else it is the last token of the statement.
            !matches!(last, Token::Whitespace(_))
        });
    let operators = match dialect {
        Dialect::Postgres => operator::called(sql, &tokens),
        Dialect::Sqlite => Vec::new(),
    };
    tokens.retain(|token| !matches!(token, Token::Whitespace(_) | Token::EOF));
    while tokens.last() == Some(&Token::SemiColon) {
        tokens.pop();
    }
    let leading = tokens.iter().take_while(|token| **token == Token::SemiColon).count();
    tokens.drain(..leading);
    if tokens.is_empty() {
        return Err(Unreadable::Empty);
    }
    if tokens.contains(&Token::SemiColon) {
        return Err(Unreadable::Multiple);
    }
    let tokens = match dialect {
        Dialect::Postgres if has_unicode_identifier(&tokens) => return Err(Unreadable::Text),
        Dialect::Postgres => rewrite_postgres(tokens),
        Dialect::Sqlite => number_binds(rewrite_sqlite(tokens)),
    };
    let (tokens, conflict_on_expression) = remove_conflict_expressions(tokens);
    Ok(Statement { tokens, conflict_on_expression, can_be_extended, operators })
}

impl Statement {
    /// Whether the token at this place is this unquoted word.
    pub(crate) fn is_word(&self, index: usize, word: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| is_word(token, word))
    }

    /// Whether this unquoted word occurs anywhere.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| is_word(token, word))
    }

    /// The statement without its first tokens.
    pub(crate) fn skip(&self, tokens: usize) -> Statement {
        let Statement { conflict_on_expression, can_be_extended, .. } = *self;
        let operators = self.operators.clone();
        let tokens = self.tokens[tokens..].to_vec();
        Statement { tokens, conflict_on_expression, can_be_extended, operators }
    }

    /// Whether an operator of that name is called.
    pub(crate) fn calls_operator(&self, symbol: &str) -> bool {
        self.operators.iter().any(|called| *called.symbol == *symbol)
    }

    /// Whether the parser takes an operator for another one, or for several.
    pub(crate) fn is_misread(&self) -> bool {
        self.operators.iter().any(|called| called.is_misread)
    }

    /// A bound on how deep the parsed statement can be nested: the tokens that can nest.
    pub(crate) fn depth_bound(&self) -> usize {
        let flat = |token: &&Token| {
            matches!(
                token,
                Token::Comma
                    | Token::Period
                    | Token::Number(..)
                    | Token::Placeholder(_)
                    | Token::SingleQuotedString(_)
            )
        };
        self.tokens.len() - self.tokens.iter().filter(flat).count()
    }
}

/// White space without comments, or a semicolon.
fn may_follow(token: &Token) -> bool {
    matches!(
        token,
        Token::SemiColon
            | Token::EOF
            | Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab)
    )
}

/// Whether the token is this unquoted word.
fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(Word { quote_style: None, value, .. })
        if value.eq_ignore_ascii_case(word))
}

fn is_any_word(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| is_word(token, word))
}

/// Characters on which the tokenizer and the databases disagree: it takes every Unicode space for
/// white space where they see a letter of a name, and NUL ends a text for them.
fn is_read_differently(c: char) -> bool {
    c == '\0' || c == '\u{b}' || (!c.is_ascii() && c.is_whitespace())
}

/// In `a ->>/* … */ b` the tokenizer takes the start of the comment for a part of the operator.
fn swallows_comment(token: &Token) -> bool {
    matches!(token, Token::CustomBinaryOperator(text) if text.contains("/*") || text.contains("--"))
}

/// `U&"…"` is a name in PostgreSQL, but an operator between two names to the tokenizer.
fn has_unicode_identifier(tokens: &[Token]) -> bool {
    tokens.windows(3).any(|window| match window {
        [u, Token::Ampersand, Token::Word(name)] => {
            is_word(u, "u") && name.quote_style == Some('"')
        }
        _ => false,
    })
}

/// What the parser does not know of PostgreSQL. Nothing here changes what is read or written.
fn rewrite_postgres(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let follows = |words: &[&str]| kept.last().is_some_and(|last| is_any_word(last, words));
        let next = rest.peek();
        let next = |words: &[&str]| next.is_some_and(|next| is_any_word(next, words));
        if kept.is_empty() && is_word(&token, "TABLE") {
            // `TABLE t` is `SELECT * FROM t`.
            kept.extend([word("SELECT"), Token::Mul, word("FROM")]);
        } else if is_word(&token, "ONLY") && !follows(&["ROW", "ROWS"]) {
            // `FROM ONLY t` would be read as table `only` under the alias `t`. The tables that
            // inherit from `t` are then taken to be read too. Not to be mistaken for the end of
            // `FETCH FIRST n ROWS ONLY`.
        } else if is_any_word(&token, &["SYMMETRIC", "ASYMMETRIC"]) && follows(&["BETWEEN"]) {
            // `BETWEEN SYMMETRIC` reads what `BETWEEN` reads.
        } else if is_word(&token, "NO") && follows(&["FOR"]) && next(&["KEY"]) {
            // `FOR NO KEY UPDATE` locks rows as `FOR UPDATE` does …
            rest.next();
        } else if is_word(&token, "KEY") && follows(&["FOR"]) && next(&["SHARE"]) {
            // … and `FOR KEY SHARE` as `FOR SHARE`.
        } else if is_word(&token, "OVERRIDING") && next(&["SYSTEM", "USER"]) {
            // `OVERRIDING SYSTEM VALUE` inserts into the same table.
            rest.nth(1);
        } else {
            kept.push(token);
        }
    }
    kept
}

/// SQLite's `IS` and `IS NOT` compare any two values, as `IS [NOT] DISTINCT FROM` does.
fn rewrite_sqlite(tokens: Vec<Token>) -> Vec<Token> {
    const KNOWN: &[&str] = &["NULL", "TRUE", "FALSE", "DISTINCT"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let is = is_word(&token, "IS");
        kept.push(token);
        if !is {
            continue;
        }
        let negation = rest.next_if(|next| is_word(next, "NOT"));
        if rest.peek().is_some_and(|next| is_any_word(next, KNOWN)) {
            kept.extend(negation);
        } else {
            let opposite = negation.is_none().then(|| word("NOT"));
            kept.extend(opposite.into_iter().chain([word("DISTINCT"), word("FROM")]));
        }
    }
    kept
}

/// Gives SQLite's `?` their numbers, so that a bind is `$n` in both dialects. Where other forms
/// occur, which change the numbering, no bind gets one.
fn number_binds(mut tokens: Vec<Token>) -> Vec<Token> {
    let named = tokens.iter().any(|token| match token {
        Token::Colon | Token::AtSign => true,
        Token::Placeholder(text) => text != "?",
        _ => false,
    });
    let binds = tokens.iter_mut().filter_map(|token| match token {
        Token::Placeholder(text) => Some(text),
        _ => None,
    });
    for (index, text) in binds.enumerate() {
        *text = if named { "?".to_owned() } else { format!("${}", index + 1) };
    }
    tokens
}

/// Removes the target from `ON CONFLICT (target) [WHERE …] DO` unless it is a plain list of
/// columns, which is all the parser knows.
///
/// Nothing is lost: the target only names an index. Its expressions are immutable and are not
/// evaluated for it.
fn remove_conflict_expressions(mut tokens: Vec<Token>) -> (Vec<Token>, bool) {
    let mut removed = false;
    let mut from = 0;
    let starts = |window: &[Token]| {
        is_word(&window[0], "ON") && is_word(&window[1], "CONFLICT") && window[2] == Token::LParen
    };
    while let Some(found) = tokens[from..].windows(3).position(starts) {
        let open = from + found + 2;
        from = open;
        let Some(end) = tokens[open..].iter().position(|token| is_word(token, "DO")) else {
            break;
        };
        let target = &tokens[open..open + end];
        let plain = matches!(target, [Token::LParen, columns @ .., Token::RParen]
        if columns.iter().enumerate().all(|(index, token)| match index % 2 {
            0 => matches!(token, Token::Word(_)),
            _ => *token == Token::Comma,
        }));
        if !plain {
            tokens.drain(open..open + end);
            removed = true;
        }
    }
    (tokens, removed)
}

fn word(text: &str) -> Token {
    Token::make_keyword(text)
}
