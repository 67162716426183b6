//! Tables that share rows: partitions and inheritance.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use turbodiesel_core::TableName;

use super::relation::{Column, Relation, RelationKind};

/// The table itself and all that may hold the same rows, however distant.
pub(super) fn family(
    relations: &HashMap<TableName, Relation>,
    name: &TableName,
) -> BTreeSet<TableName> {
    let mut family = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        if family.insert(name.clone())
            && let Some(relation) = relations.get(name)
        {
            open.extend(&relation.relatives);
        }
    }
    family
}

/// Makes the members of each family agree on their pins, so that whoever writes through one knows
/// which tags of the others to change: a column is a pin of all or of none.
pub(crate) fn settle_families(relations: &mut HashMap<TableName, Relation>) {
    let mut unsettled: BTreeSet<TableName> = relations
        .iter()
        .filter(|(_, relation)| !relation.relatives.is_empty())
        .map(|(name, _)| name.clone())
        .collect();
    while let Some(first) = unsettled.pop_first() {
        let family = family(relations, &first);
        let pins = common_pins(relations, &family);
        let is_foreign = |name| matches!(relations[name].kind, RelationKind::Foreign);
        let shares_with_foreign = family.iter().any(is_foreign);
        for member in &family {
            unsettled.remove(member);
            if let Some(relation) = relations.get_mut(member) {
                for (name, column) in &mut relation.columns {
                    column.is_pin = pins.contains(name);
                }
                relation.may_learn &= !shares_with_foreign;
            }
        }
    }
}

/// The columns that are indexed in some member of a family and of one type in all.
fn common_pins(
    relations: &HashMap<TableName, Relation>,
    family: &BTreeSet<TableName>,
) -> BTreeSet<Box<str>> {
    let mut columns: BTreeMap<&str, Vec<&Column>> = BTreeMap::new();
    for (name, column) in family.iter().flat_map(|member| &relations[member].columns) {
        columns.entry(name).or_default().push(column);
    }
    columns.retain(|_, columns| {
        columns.len() == family.len()
            && columns.iter().any(|column| column.is_pin)
            && columns.iter().all(|column| column.kind.is_some() && column.kind == columns[0].kind)
    });
    columns.into_keys().map(Into::into).collect()
}
