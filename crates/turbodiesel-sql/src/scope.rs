//! Which relation a name means: the relations of the query blocks around it.

use sqlparser::ast::{Expr, Ident};
use turbodiesel_core::TableName;

use crate::{Columns, Dialect, facts::Facts};

/// One query block while it is walked: its relations in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Block<'a> {
    pub(crate) relations: Vec<Relation<'a>>,
    /// Whether a window function or a window clause belongs to the block.
    pub(crate) has_window: bool,
}

/// One item of a `FROM` clause, or the target of a write.
#[derive(Debug)]
pub(crate) struct Relation<'a> {
    /// The name by which columns are qualified; none where it hides behind a join's alias.
    pub(crate) exposed: Option<Box<str>>,
    /// What it is.
    pub(crate) source: Source,
    /// Whether the columns go by other names than the relation's own.
    pub(crate) renamed: bool,
    /// The conditions that a row of this relation must meet to influence the block; see
    /// [`pins`](crate::pins).
    pub(crate) conditions: Vec<&'a Expr>,
}

/// What an item of a `FROM` clause is.
#[derive(Debug)]
pub(crate) enum Source {
    /// A base relation that is read, by its index in [`Facts::occurrences`].
    Base { occurrence: usize, table: TableName },
    /// The target of a write, by its index in [`Facts::targets`].
    Target { target: usize, table: TableName },
    /// A derived table, a CTE, a function or `excluded`: what it reads is noted elsewhere.
    Opaque,
}

impl Relation<'_> {
    pub(crate) fn new(exposed: Option<Box<str>>, source: Source) -> Self {
        Self { exposed, source, renamed: false, conditions: Vec::new() }
    }

    /// The base relation or target behind it.
    pub(crate) fn table(&self) -> Option<&TableName> {
        match &self.source {
            Source::Base { table, .. } | Source::Target { table, .. } => Some(table),
            Source::Opaque => None,
        }
    }

    fn is_exposed_as(&self, name: &str) -> bool {
        self.exposed.as_deref() == Some(name)
    }

    fn use_column(&self, facts: &mut Facts, column: &str) {
        if self.renamed {
            self.use_all(facts);
        } else if let Source::Base { occurrence, .. } = self.source {
            facts.occurrences[occurrence].columns.insert(column.into());
        }
    }

    pub(crate) fn use_all(&self, facts: &mut Facts) {
        if let Source::Base { occurrence, .. } = self.source {
            facts.occurrences[occurrence].columns = Columns::All;
        }
    }
}

impl Block<'_> {
    /// The relation and column that a column reference means for certain, if it means one of this
    /// block. Where it may mean another, there is no answer:
    ///
    /// - an unqualified name could belong to any relation of the block, so it is attributed only
    ///   where there is but one. (It could also belong to an enclosing block; then the relation has
    ///   no such column, which the catalog sees.)
    /// - a qualifier that two relations share says nothing.
    pub(crate) fn resolve(&self, dialect: Dialect, reference: &Expr) -> Option<(usize, Box<str>)> {
        let (index, column) = match reference {
            Expr::Identifier(column) => match self.relations.as_slice() {
                [_] => (0, column),
                _ => return None,
            },
            Expr::CompoundIdentifier(parts) => {
                let (schema, qualifier, column) = match parts.as_slice() {
                    [qualifier, column] => (None, qualifier, column),
                    [schema, qualifier, column] => (Some(schema), qualifier, column),
                    _ => return None,
                };
                let name = dialect.fold(qualifier);
                let mut named = self
                    .relations
                    .iter()
                    .enumerate()
                    .filter(|(_, relation)| relation.is_exposed_as(&name));
                let ((index, relation), None) = (named.next()?, named.next()) else { return None };
                if let Some(schema) = schema {
                    // A schema can only qualify a table under its own name.
                    let table = relation.table()?;
                    let schema = dialect.fold(schema);
                    if *table.name != *name || table.schema.as_deref() != Some(&*schema) {
                        return None;
                    }
                }
                (index, column)
            }
            _ => return None,
        };
        let relation = &self.relations[index];
        if relation.renamed || relation.table().is_none() {
            return None;
        }
        Some((index, dialect.fold(column)))
    }
}

/// Notes the use of a column by a name that may be qualified, over all blocks in scope.
///
/// It counts for every relation that it could mean: which columns a statement does *not* use is
/// what must be certain.
pub(crate) fn use_column(
    dialect: Dialect,
    blocks: &[Block<'_>],
    facts: &mut Facts,
    parts: &[Ident],
) {
    let relations = || blocks.iter().flat_map(|block| &block.relations);
    match parts {
        [] => {}
        [column] => {
            let column = dialect.fold(column);
            for relation in relations() {
                // A relation's name alone means its whole row.
                match relation.is_exposed_as(&column) {
                    true => relation.use_all(facts),
                    false => relation.use_column(facts, &column),
                }
            }
        }
        [.., qualifier, column] => {
            let (qualifier, column) = (dialect.fold(qualifier), dialect.fold(column));
            let mut found = false;
            for relation in relations().filter(|relation| relation.is_exposed_as(&qualifier)) {
                found = true;
                relation.use_column(facts, &column);
            }
            if !found {
                relations().for_each(|relation| relation.use_all(facts));
            }
        }
    }
}
