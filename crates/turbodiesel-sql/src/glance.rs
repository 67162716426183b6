//! A second look at a query that the parser does not know: may it write?
//!
//! To take every such query for a write of everything would be safe, and would empty the cache
//! again and again for a single statement in unusual syntax. Its words alone tell enough: a query
//! writes through a data-modifying statement within it, through `INTO`, or through the functions
//! that it calls, by name or by way of a view, of an operator or in the place of a column.

use std::collections::BTreeSet;

use sqlparser::tokenizer::{Span, Token, Word};
use turbodiesel_core::TableName;

use crate::{Columns, Dialect, FunctionName, Plan, Refusal, facts::Facts, tokens};

/// Words without which no statement writes. `FOR UPDATE` is among them, which is a pity.
const WRITES: [&str; 7] = ["CALL", "DELETE", "EXECUTE", "INSERT", "INTO", "MERGE", "UPDATE"];

/// Words that PostgreSQL's grammar never takes for a function's name unless they are quoted or
/// behind a point: reserved ones, and types with a syntax of their own. Not all of them, but those
/// that come before parentheses in queries, and only such as all supported versions reserve.
const NO_FUNCTIONS: [&str; 41] = [
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "BIT",
    "CASE",
    "CAST",
    "CHAR",
    "CHARACTER",
    "DEC",
    "DECIMAL",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "FLOAT",
    "FROM",
    "HAVING",
    "IN",
    "INTERSECT",
    "INTERVAL",
    "LATERAL",
    "LIMIT",
    "NOT",
    "NUMERIC",
    "OFFSET",
    "ON",
    "OR",
    "ROW",
    "SELECT",
    "SOME",
    "THEN",
    "TIME",
    "TIMESTAMP",
    "UNION",
    "USING",
    "VALUES",
    "VARCHAR",
    "WHEN",
    "WHERE",
];

/// The most words that are looked at one by one.
const MOST_WORDS: usize = 256;

/// The plan of a query that writes nothing, unless something that it calls does.
///
/// It is refused for the given reason. It claims more than is true, so that the catalog finds
/// whatever may write: every word before a parenthesis is listed as a function, and every word as a
/// relation that is read, one of which has every word for a column.
pub(crate) fn plan(
    dialect: Dialect,
    statement: &tokens::Statement,
    refusal: Refusal,
) -> Option<Plan> {
    let begins = ["SELECT", "VALUES", "WITH"].iter().any(|word| statement.is_word(0, word))
        || statement.tokens.first() == Some(&Token::LParen);
    if !begins || WRITES.iter().any(|word| statement.has_word(word)) {
        return None;
    }
    let mut facts = Facts::new(dialect);
    facts.refuse(refusal.reason, refusal.detail);
    let fold = |word: &Word| dialect.fold(&word.clone().into_ident(Span::empty()));
    let mut relations = BTreeSet::new();
    for (index, token) in statement.tokens.iter().enumerate() {
        let before = |back| index.checked_sub(back).map(|index| &statement.tokens[index]);
        let is_qualified = before(1) == Some(&Token::Period);
        match token {
            Token::Word(word) => {
                let name = fold(word);
                let is_call = statement.tokens.get(index + 1) == Some(&Token::LParen);
                let is_function = is_qualified
                    || dialect == Dialect::Sqlite
                    || !NO_FUNCTIONS.iter().any(|known| statement.is_word(index, known));
                if is_call && is_function {
                    // The schema does not matter: the name may be a built-in's, and if it is not,
                    // then the catalog finds it in any schema.
                    facts.calls(FunctionName { schema: None, name: name.clone() }, usize::MAX);
                }
                relations.insert(match before(2) {
                    Some(Token::Word(schema)) if is_qualified => {
                        TableName::qualified(fold(schema), name)
                    }
                    _ => TableName::unqualified(name),
                });
            }
            Token::CustomBinaryOperator(_) | Token::Spaceship => {
                let symbol = token.to_string();
                if dialect == Dialect::Sqlite || statement.calls_operator(&symbol) {
                    facts.calls_operator(symbol);
                }
            }
            _ => {}
        }
    }
    for called in statement.operators.iter().filter(|called| called.is_misread) {
        facts.calls_operator(called.symbol.to_string());
    }
    if relations.len() > MOST_WORDS {
        return None;
    }
    let mut columns = Columns::Only(relations.iter().map(|word| word.name.clone()).collect());
    for relation in relations {
        let occurrence = facts.reads(relation);
        facts.occurrences[occurrence].columns = std::mem::replace(&mut columns, Columns::NONE);
    }
    Some(facts.into_plan(true))
}
