//! Operators: which a text calls, and the walk over them: which are the databases' own.

use sqlparser::{
    ast::{BinaryOperator, Expr, UnaryOperator, Value},
    tokenizer::Token,
};

use crate::{ColumnRef, pins::unnest, walk::Walk};

/// An operator that a text calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    /// Its name, as PostgreSQL looks it up.
    pub(crate) symbol: Box<str>,
    /// Whether the parser takes it for another one, or for several.
    pub(crate) is_misread: bool,
}

/// The operators of a text by PostgreSQL's rules, from its tokens with the white space.
///
/// PostgreSQL takes as many characters for one operator as it can. The tokenizer knows a list, and so
/// it takes `=@` for `=` and `@`; and the parser takes `==`, which is always a user's, for `=`.
pub(crate) fn called(sql: &str, tokens: &[Token]) -> Vec<Called> {
    // The tokenizer takes `<|` for `<<|`.
    let confuses = sql.matches("<|").count() != sql.matches("<<|").count();
    let mut called = Vec::new();
    for run in tokens.chunk_by(|one, next| symbol(one).is_some() && symbol(next).is_some()) {
        let Some(symbols) = run.iter().map(symbol).collect::<Option<Vec<String>>>() else {
            continue;
        };
        if let [Token::RArrow] = run {
            continue;
        }
        // `!=` is the same token as `<>`, but may begin a longer operator.
        let as_written = |symbol: &String| match &**symbol {
            "<>" if symbols.len() > 1 => "!=".to_owned(),
            _ => symbol.clone(),
        };
        let other: Vec<String> = symbols.iter().map(as_written).collect();
        let same = symbols == other;
        for symbols in [Some(symbols), (!same).then_some(other)].into_iter().flatten() {
            let text = symbols.concat();
            let split = split(&text);
            let is_misread = split != symbols
                || run.contains(&Token::DoubleEq)
                || confuses && text.contains("<<|");
            let mut call = |symbol: &str| {
                let symbol = if symbol == "!=" { "<>" } else { symbol };
                called.push(Called { symbol: symbol.into(), is_misread });
            };
            for symbol in split {
                call(symbol);
                if confuses && symbol.contains("<<|") {
                    call(&symbol.replace("<<|", "<|"));
                }
            }
        }
    }
    called
}

/// The text of a token that consists of the characters of operators.
fn symbol(token: &Token) -> Option<String> {
    if let Token::Word(_) | Token::Whitespace(_) | Token::Number(..) | Token::EOF = token {
        return None;
    }
    let text = token.to_string();
    let is_symbol = text.bytes().all(|byte| b"+-*/<>=~!@#%^&|`?".contains(&byte));
    (is_symbol && !text.is_empty()).then_some(text)
}

/// The operators of a text without anything between them: only with certain characters in it may one
/// end in a sign.
fn split(mut rest: &str) -> Vec<&str> {
    let mut operators = Vec::new();
    while !rest.is_empty() {
        let operator = match rest.bytes().any(|byte| b"~!@#%^&|`?".contains(&byte)) {
            true => rest,
            false => match rest.trim_end_matches(['+', '-']) {
                "" => &rest[..1],
                operator => operator,
            },
        };
        operators.push(operator);
        rest = &rest[operator.len()..];
    }
    operators
}

/// What is known of the operands of an arithmetic operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// One is a number.
    Number,
    /// One may be a number: each of these columns is an operand.
    Columns(Vec<ColumnRef>),
}

impl Walk<'_> {
    /// Notes what stands beside an arithmetic operator, so that it is not taken for one of text.
    pub(crate) fn operands(&mut self, op: &BinaryOperator, operands: [&Expr; 2]) {
        let is_arithmetic = matches!(
            op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo
        );
        if !is_arithmetic {
            return;
        }
        let beside = match operands.iter().any(|operand| is_number(operand)) {
            true => Beside::Number,
            false => {
                let column = |operand: &&Expr| {
                    let block = self.blocks.last()?;
                    let (relation, column) = block.resolve(self.dialect, unnest(operand))?;
                    let table = block.relations[relation].table()?.clone();
                    Some(ColumnRef { table, column })
                };
                Beside::Columns(operands.iter().filter_map(column).collect())
            }
        };
        self.facts.operands.entry(op.to_string().into()).or_default().push(beside);
    }

    pub(crate) fn binary_operator(&mut self, op: &BinaryOperator) {
        match op {
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::StringConcat
            | BinaryOperator::Gt
            | BinaryOperator::Lt
            | BinaryOperator::GtEq
            | BinaryOperator::LtEq
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::BitwiseOr
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseXor
            | BinaryOperator::PGBitwiseXor
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight
            | BinaryOperator::PGExp
            | BinaryOperator::PGOverlap
            | BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
            | BinaryOperator::PGLikeMatch
            | BinaryOperator::PGILikeMatch
            | BinaryOperator::PGNotLikeMatch
            | BinaryOperator::PGNotILikeMatch
            | BinaryOperator::PGStartsWith
            | BinaryOperator::Arrow
            | BinaryOperator::LongArrow
            | BinaryOperator::HashArrow
            | BinaryOperator::HashLongArrow
            | BinaryOperator::AtAt
            | BinaryOperator::AtArrow
            | BinaryOperator::ArrowAt
            | BinaryOperator::HashMinus
            | BinaryOperator::AtQuestion
            | BinaryOperator::Question
            | BinaryOperator::QuestionAnd
            | BinaryOperator::QuestionPipe
            | BinaryOperator::Overlaps
            | BinaryOperator::DoubleHash
            | BinaryOperator::LtDashGt
            | BinaryOperator::AndLt
            | BinaryOperator::AndGt
            | BinaryOperator::LtLtPipe
            | BinaryOperator::PipeGtGt
            | BinaryOperator::AndLtPipe
            | BinaryOperator::PipeAndGt
            | BinaryOperator::LtCaret
            | BinaryOperator::GtCaret
            | BinaryOperator::QuestionHash
            | BinaryOperator::QuestionDash
            | BinaryOperator::QuestionDashPipe
            | BinaryOperator::QuestionDoublePipe
            | BinaryOperator::At
            | BinaryOperator::TildeEq => {}
            BinaryOperator::Glob => self.facts.calls_builtin("glob"),
            // SQLite calls a function that the application or an extension provides.
            BinaryOperator::Match => self.facts.calls_operator("match".to_owned()),
            BinaryOperator::Regexp => self.facts.calls_operator("regexp".to_owned()),
            // `<=>` is not only MySQL's: it is pgvector's cosine distance.
            BinaryOperator::Custom(_) | BinaryOperator::Spaceship => {
                self.facts.calls_operator(op.to_string());
            }
            BinaryOperator::PGCustomBinaryOperator(parts) => {
                let fold = |part: &String| match part.starts_with('"') {
                    true => part.clone(),
                    false => part.to_ascii_lowercase(),
                };
                let parts: Vec<String> = parts.iter().map(fold).collect();
                self.facts.calls_operator(format!("OPERATOR({})", parts.join(".")));
            }
            BinaryOperator::Xor
            | BinaryOperator::DuckIntegerDivide
            | BinaryOperator::MyIntegerDivide
            | BinaryOperator::Assignment => {
                self.facts.not_understood("operator of another dialect");
            }
        }
    }

    pub(crate) fn unary_operator(&mut self, op: UnaryOperator) {
        match op {
            UnaryOperator::Plus
            | UnaryOperator::Minus
            | UnaryOperator::Not
            | UnaryOperator::BitwiseNot
            | UnaryOperator::PGAbs
            | UnaryOperator::PGCubeRoot
            | UnaryOperator::PGSquareRoot
            | UnaryOperator::AtDashAt
            | UnaryOperator::DoubleAt
            | UnaryOperator::Hash
            | UnaryOperator::QuestionDash
            | UnaryOperator::QuestionPipe => {}
            UnaryOperator::BangNot
            | UnaryOperator::PGPostfixFactorial
            | UnaryOperator::PGPrefixFactorial => {
                self.facts.not_understood("operator of another dialect");
            }
        }
    }
}

/// Whether an operand is a number that is written out.
fn is_number(operand: &Expr) -> bool {
    match unnest(operand) {
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_number(expr),
        _ => false,
    }
}
