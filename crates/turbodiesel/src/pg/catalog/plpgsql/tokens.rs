//! Splits PL/pgSQL, and the SQL in it, into tokens as PostgreSQL does, each with its place in the
//! text.

use std::ops::Range;

/// A token and its place, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) place: Range<usize>,
}

/// What sort of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string, in whatever quotes.
    Text,
    /// A number, or a parameter such as `$1`.
    Number,
    /// Anything else: punctuation, an operator.
    Symbol,
}

/// The tokens of a text without its comments, or `None` where something is left open.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text.as_bytes().get(at) {
        if first.is_ascii_whitespace() || *first == b'\x0b' {
            at += 1;
        } else if let Some(length) = comment(&text[at..])? {
            at += length;
        } else {
            let (kind, length) = token(&text[at..])?;
            tokens.push(Token { kind, place: at..at + length });
            at += length;
        }
    }
    Some(tokens)
}

/// The length of the comment at the start; the outer `None` is one that never ends.
fn comment(text: &str) -> Option<Option<usize>> {
    if text.starts_with("--") {
        return Some(Some(text.find(['\n', '\r']).unwrap_or(text.len())));
    }
    if !text.starts_with("/*") {
        return Some(None);
    }
    // Comments nest.
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = text.as_bytes().get(at..).filter(|rest| !rest.is_empty())?;
        match rest {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(Some(at));
        }
    }
}

/// The token at the start, and its length.
fn token(text: &str) -> Option<(Kind, usize)> {
    let bytes = text.as_bytes();
    let next = bytes.get(1).copied().unwrap_or_default();
    Some(match bytes.first()? {
        b'\'' => (Kind::Text, quoted(bytes, b'\'', false)?),
        b'"' => (Kind::Quoted, quoted(bytes, b'"', false)?),
        b'e' | b'E' if next == b'\'' => (Kind::Text, 1 + quoted(&bytes[1..], b'\'', true)?),
        b'b' | b'B' | b'n' | b'N' | b'x' | b'X' if next == b'\'' => {
            (Kind::Text, 1 + quoted(&bytes[1..], b'\'', false)?)
        }
        b'u' | b'U' if next == b'&' && matches!(bytes.get(2), Some(b'\'' | b'"')) => {
            // Escapes in names would have to be read, and nobody writes them.
            return None;
        }
        b'$' if next.is_ascii_digit() => (Kind::Number, 1 + digits(&bytes[1..])),
        b'$' => (Kind::Text, dollar_quoted(text)?),
        b'.' if next.is_ascii_digit() => (Kind::Number, number(bytes)),
        b'0'..=b'9' => (Kind::Number, number(bytes)),
        first if is_word_start(*first) => {
            let is_word =
                |byte: &u8| is_word_start(*byte) || byte.is_ascii_digit() || *byte == b'$';
            (Kind::Word, bytes.iter().take_while(|byte| is_word(byte)).count())
        }
        b':' if matches!(next, b':' | b'=') => (Kind::Symbol, 2),
        b'.' if next == b'.' => (Kind::Symbol, 2),
        first if is_operator(*first) => (Kind::Symbol, operator(bytes)),
        _ => (Kind::Symbol, 1),
    })
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn is_operator(byte: u8) -> bool {
    b"+-*/<>=~!@#%^&|`?".contains(&byte)
}

/// Up to the closing quote, which doubled stands for itself.
fn quoted(bytes: &[u8], quote: u8, escapes: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' if escapes => at += 2,
            byte if *byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if *byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// `$$ … $$` or `$tag$ … $tag$`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = &text[..=1 + text[1..].find('$')?];
    let is_tag = |byte: u8| is_word_start(byte) || byte.is_ascii_digit();
    if !tag[1..tag.len() - 1].bytes().all(is_tag) {
        return None;
    }
    Some(tag.len() + text[tag.len()..].find(tag)? + tag.len())
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Digits, perhaps with a point, which two points in a row are not. Exponents and radixes come out
/// as words of their own, which does no harm.
fn number(bytes: &[u8]) -> usize {
    let whole = digits(bytes);
    match &bytes[whole..] {
        [b'.', b'.', ..] => whole,
        [b'.', fraction @ ..] => whole + 1 + digits(fraction),
        _ => whole,
    }
}

/// The longest operator, as far as no comment begins in it. Only with certain characters in it may
/// it end in a sign.
fn operator(bytes: &[u8]) -> usize {
    let mut length = bytes.iter().take_while(|byte| is_operator(**byte)).count();
    let comment =
        (1..length).find(|at| matches!(&bytes[*at..], [b'-', b'-', ..] | [b'/', b'*', ..]));
    length = comment.unwrap_or(length);
    let may_end_in_sign = bytes[..length].iter().any(|byte| b"~!@#%^&|`?".contains(byte));
    while length > 1 && !may_end_in_sign && matches!(bytes[length - 1], b'+' | b'-') {
        length -= 1;
    }
    length
}
