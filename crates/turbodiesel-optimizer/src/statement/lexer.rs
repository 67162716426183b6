//! SQL as tokens, as far as values have to be told from names.

use crate::ValueHash;

/// A token, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'s> {
    /// A keyword or a name without quotes.
    Word(&'s str, (usize, usize)),
    /// A name in quotes, without them.
    Name(&'s str, (usize, usize)),
    /// A placeholder, with its index where it says one.
    Bind(Option<u16>, (usize, usize)),
    /// A value in the text.
    Literal((usize, usize), ValueHash),
    Symbol(&'s str, (usize, usize)),
}

impl Token<'_> {
    fn place(&self) -> (usize, usize) {
        match *self {
            Token::Word(_, place)
            | Token::Name(_, place)
            | Token::Bind(_, place)
            | Token::Literal(place, _)
            | Token::Symbol(_, place) => place,
        }
    }

    pub(super) fn start(&self) -> usize {
        self.place().0
    }

    pub(super) fn end(&self) -> usize {
        self.place().1
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(own, _) if own.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Token::Symbol(own, _) if *own == symbol)
    }
}

/// The tokens of a text, without its comments.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < sql.len() {
        let (end, token) = next(sql, at);
        tokens.extend(token);
        // OK because every token has a byte at least, but a loop that stands still would be worse
        // than a wrong token.
        at = end.max(at + 1);
    }
    tokens
}

/// Where the token at a place ends, and what it is, unless it is blank or a comment.
fn next(sql: &str, at: usize) -> (usize, Option<Token<'_>>) {
    let rest = &sql[at..];
    let bytes = rest.as_bytes();
    let word = at + length(rest, is_word);
    match bytes[0] {
        byte if byte.is_ascii_whitespace() => (at + 1, None),
        b'-' if rest.starts_with("--") => (at + rest.find('\n').unwrap_or(rest.len()), None),
        b'/' if rest.starts_with("/*") => {
            (at + rest.find("*/").map_or(rest.len(), |it| it + 2), None)
        }
        b'\'' => literal(sql, at, at + end_of_quoted(bytes, b'\'', false)),
        b'"' | b'`' => {
            let end = at + end_of_quoted(bytes, bytes[0], false);
            let inner = sql[at + 1..end].strip_suffix(char::from(bytes[0]));
            (end, Some(Token::Name(inner.unwrap_or(&sql[at + 1..end]), (at, end))))
        }
        b'$' if bytes.get(1).is_some_and(u8::is_ascii_digit) => {
            let end = at + 1 + length(&rest[1..], |byte| byte.is_ascii_digit());
            let number =
                sql[at + 1..end].parse::<u16>().ok().and_then(|number| number.checked_sub(1));
            (end, Some(Token::Bind(number, (at, end))))
        }
        b'$' => match dollar_quoted(rest) {
            Some(length) => literal(sql, at, at + length),
            None => (at + 1, Some(Token::Symbol(&sql[at..=at], (at, at + 1)))),
        },
        b'?' => {
            let end = at + 1 + length(&rest[1..], |byte| byte.is_ascii_digit());
            (end, Some(Token::Bind(None, (at, end))))
        }
        byte if byte.is_ascii_digit() => {
            let end = at + length(rest, |byte| is_word(byte) || byte == b'.');
            literal(sql, at, end)
        }
        byte if is_word(byte) => {
            // `E'…'`, `B'…'`, `X'…'`: in the first, a backslash escapes.
            let prefixed = word == at + 1 && sql.as_bytes().get(word) == Some(&b'\'');
            if prefixed && byte.is_ascii_alphabetic() {
                let escapes = byte.eq_ignore_ascii_case(&b'e');
                return literal(
                    sql,
                    at,
                    word + end_of_quoted(&sql.as_bytes()[word..], b'\'', escapes),
                );
            }
            (word, Some(Token::Word(&sql[at..word], (at, word))))
        }
        byte if is_operator(byte) => {
            let end = at + length(rest, is_operator);
            (end, Some(Token::Symbol(&sql[at..end], (at, end))))
        }
        _ => (at + 1, Some(Token::Symbol(&sql[at..=at], (at, at + 1)))),
    }
}

fn literal(sql: &str, at: usize, end: usize) -> (usize, Option<Token<'_>>) {
    let text = &sql[at..end];
    let value = match text.parse::<i64>() {
        Ok(integer) => ValueHash::integer(integer),
        Err(_) => ValueHash::bytes(text.trim_matches('\'').as_bytes()),
    };
    (end, Some(Token::Literal((at, end), value)))
}

/// How many bytes at the beginning are such.
fn length(text: &str, is_such: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !is_such(byte)).unwrap_or(text.len())
}

/// Bytes beyond ASCII belong to words, so a token never ends inside a character.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn is_operator(byte: u8) -> bool {
    b"<>=!".contains(&byte)
}

/// Where a quoted text ends, a doubled quote being one of its characters.
fn end_of_quoted(bytes: &[u8], quote: u8, escapes: bool) -> usize {
    let mut index = 1;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        if escapes && byte == b'\\' {
            index += 1;
        } else if byte == quote {
            if bytes.get(index) != Some(&quote) {
                return index;
            }
            index += 1;
        }
    }
    bytes.len()
}

/// How long a text in dollar quotes is, if one begins here.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = 2 + length(&text[1..], is_word);
    let open = text.get(..tag).filter(|open| open.ends_with('$'))?;
    Some(text[tag..].find(open).map_or(text.len(), |end| tag + end + open.len()))
}
