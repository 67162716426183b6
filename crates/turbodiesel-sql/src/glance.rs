//! A second look at a query that the parser does not know: may it write?
//!
//! To take every such query for a write of everything would be safe, and would empty the cache
//! again and again for a single statement in unusual syntax. Its words alone tell enough: a query
//! writes through a data-modifying statement within it, through `INTO`, or through the functions
//! that it calls.

use sqlparser::tokenizer::{Span, Token};

use crate::{Dialect, FunctionName, Plan, Refusal, facts::Facts, tokens};

/// Words without which no statement writes. `FOR UPDATE` is among them, which is a pity.
const WRITES: [&str; 7] = ["CALL", "DELETE", "EXECUTE", "INSERT", "INTO", "MERGE", "UPDATE"];

/// The plan of a query that writes nothing, unless a function does.
///
/// It is refused for the given reason, and has no occurrences. It lists more functions than are
/// called: every word before a parenthesis.
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
    for (index, token) in statement.tokens.iter().enumerate() {
        match token {
            Token::Word(name) if statement.tokens.get(index + 1) == Some(&Token::LParen) => {
                let name = dialect.fold(&name.clone().into_ident(Span::empty()));
                // The schema does not matter: the name may be a built-in's, and if it is not, then
                // the catalog finds it in any schema.
                facts.calls(FunctionName { schema: None, name }, usize::MAX);
            }
            Token::CustomBinaryOperator(operator) => facts.calls_operator(operator.clone()),
            _ => {}
        }
    }
    Some(facts.into_plan(true))
}
