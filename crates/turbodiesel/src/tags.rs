//! Which tags a statement's answers depend on, and which its writes change.
//!
//! What they are follows from the plan and the catalog and is worked out once per statement. The
//! *values* among them come with each execution: from the binds, and for a write also from the rows
//! that it returns.
//!
//! A read depends, for each place where it reads a table, on `t/k=v` and `t/k=*` where the rows there
//! are confined to `k = v`, and on `t` where they are not. A write changes `t`, and for each key `k`
//! of the table `t/k=v` for every value `v` that a row it touched had before or has after, or `t/k=*`
//! if they are not all known. So whatever a write touches, a read of it finds one of its tags changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use diesel::{
    result::{DatabaseErrorKind, Error as DieselError},
    row::Row,
};
use smallvec::SmallVec;
use turbodiesel_cache::{ColumnSlots, Slot, Stamps};
use turbodiesel_core::{PinRef, PinValue, TableName, Tag};
use turbodiesel_sql::{
    Action, Inserted, Occurrence, Pin, PinSource, Plan, Returned, Returning, Rows, Scalar, Target,
    Writes,
};

use crate::{
    backend::Internals,
    catalog::{Catalog, PinType, ReadClosure, Relation, RelationKind, WrittenTarget},
    shape::Effect,
};

/// The most values of one key that a statement is tagged with, and the most rows that a write learns
/// from. More are the whole column.
const MOST_VALUES: usize = 16;

/// The slots of one execution's tags.
pub(crate) type Slots = SmallVec<[Slot; 4]>;

/// The values of a key that a statement names.
#[derive(Debug)]
struct Values {
    source: PinSource,
    kind: PinType,
}

impl Values {
    /// `None` if a literal has a spelling that only the database understands.
    fn of(pin: &Pin, kind: PinType) -> Option<Self> {
        let source = match &pin.values {
            PinSource::AnyBind(index) => PinSource::AnyBind(*index),
            PinSource::OneOf(scalars) => {
                let canonical = |scalar: &Scalar| match scalar {
                    Scalar::Bind(index) => Some(Scalar::Bind(*index)),
                    Scalar::Literal(literal) => canonical(literal, kind).map(Scalar::Literal),
                };
                PinSource::OneOf(scalars.iter().map(canonical).collect::<Option<_>>()?)
            }
        };
        Some(Self { source, kind })
    }

    /// Appends the slots of the values in each of these columns. Appends nothing and returns false
    /// if a value cannot be told.
    fn append<B: Internals>(
        &self,
        binds: &B::Binds,
        columns: &[ColumnSlots],
        stamps: &Stamps,
        slots: &mut Slots,
    ) -> bool {
        let before = slots.len();
        let mut append = |value: PinRef<'_>| {
            for column in columns {
                slots.push(stamps.value_slot(*column, value));
            }
        };
        let told = match &self.source {
            PinSource::OneOf(scalars) => scalars.iter().all(|scalar| {
                let value = match scalar {
                    Scalar::Bind(index) => B::bind_value(binds, *index, self.kind),
                    Scalar::Literal(literal) => Some(literal.borrowed()),
                };
                value.map(&mut append).is_some()
            }),
            PinSource::AnyBind(index) => {
                B::bind_elements(binds, *index, self.kind, MOST_VALUES, &mut append)
            }
        };
        if !told {
            slots.truncate(before);
        }
        told
    }
}

/// A literal as a value of a key, if it is spelt in a way that has one meaning. Its type is the
/// column's to decide.
fn canonical(literal: &PinValue, kind: PinType) -> Option<PinValue> {
    Some(match (kind, literal) {
        (PinType::Int, PinValue::Int(_))
        | (PinType::Bool, PinValue::Bool(_))
        | (PinType::Uuid, PinValue::Uuid(_))
        | (PinType::Text, PinValue::Text(_)) => literal.clone(),
        (PinType::Int, PinValue::Text(text)) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            PinValue::Int(text.parse().ok().filter(|_| plain)?)
        }
        (PinType::Uuid, PinValue::Text(text)) => PinValue::Uuid(uuid(text)?),
        (PinType::Bool, PinValue::Text(text)) => PinValue::Bool(text.parse().ok()?),
        _ => return None,
    })
}

/// In its usual form, with four hyphens.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    let usual = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    let digits = groups.concat();
    let plain = usual && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(u128::from_str_radix(&digits, 16).ok().filter(|_| plain)?.to_be_bytes())
}

/// The tags of a statement's answers.
#[derive(Debug)]
pub(crate) struct ReadTags {
    /// Those that do not depend on the binds, by name and by slot.
    names: Box<[Tag]>,
    fixed: Box<[Slot]>,
    pinned: Box<[PinnedRead]>,
}

/// A place where a table is read by key.
#[derive(Debug)]
struct PinnedRead {
    /// The column, by name.
    name: Tag,
    /// What this place depends on if the values cannot be told.
    table: Slot,
    column: ColumnSlots,
    values: Values,
}

impl ReadTags {
    pub(crate) fn of(
        plan: &Plan,
        closure: &ReadClosure,
        catalog: &Catalog,
        stamps: &Stamps,
        by_value: bool,
    ) -> Self {
        let mut whole: BTreeSet<TableName> = closure.beyond.clone();
        let mut pinned = Vec::new();
        for occurrence in plan.occurrences() {
            let Some((table, relation)) = catalog.resolve(&occurrence.table) else { continue };
            if !matches!(relation.kind, RelationKind::Table) {
                continue;
            }
            match pin(occurrence, relation, catalog).filter(|_| by_value) {
                Some((pin, values)) => pinned.push(PinnedRead {
                    name: any_value(&table, &pin.column),
                    table: stamps.slot(&Tag::Table(table.clone())),
                    column: stamps.column(&table, &pin.column),
                    values,
                }),
                None => drop(whole.insert(table)),
            }
        }
        let names: Box<[Tag]> = whole.into_iter().map(Tag::Table).collect();
        let fixed = names.iter().map(|tag| stamps.slot(tag)).collect();
        Self { names, fixed, pinned: pinned.into() }
    }

    /// The names of all of them, values left out.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + '_ {
        let pinned = self.pinned.iter().map(|pinned| pinned.name.to_string().replace('*', "?"));
        self.names.iter().map(Tag::to_string).chain(pinned)
    }

    /// The tags of one execution.
    #[inline]
    pub(crate) fn slots<B: Internals>(&self, binds: &B::Binds, stamps: &Stamps) -> Slots {
        let mut slots = Slots::from_slice(&self.fixed);
        for PinnedRead { name: _, table, column, values } in &self.pinned {
            let told = values.append::<B>(binds, &[*column], stamps, &mut slots);
            slots.push(if told { column.any() } else { *table });
        }
        slots
    }
}

/// The pin by which a place is tagged. Any would do; one on a unique column is touched least.
fn pin<'p>(
    occurrence: &'p Occurrence,
    relation: &Relation,
    catalog: &Catalog,
) -> Option<(&'p Pin, Values)> {
    let holds = |pin: &&Pin| {
        let Some(column) = relation.columns.get(&pin.column).filter(|column| column.is_pin) else {
            return false;
        };
        // Equality is transitive within one type, not across.
        pin.through.iter().all(|through| {
            let there = catalog.resolve(&through.table);
            there.and_then(|(_, there)| there.columns.get(&through.column)?.kind) == column.kind
        })
    };
    let mut pins: Vec<&Pin> = occurrence.pins.iter().filter(holds).collect();
    pins.sort_by_key(|pin| !relation.is_unique(&pin.column));
    pins.into_iter().find_map(|pin| {
        let kind = relation.columns[&pin.column].kind?;
        Some((pin, Values::of(pin, kind)?))
    })
}

/// The tags that a statement changes.
#[derive(Debug)]
pub(crate) struct WriteTags {
    /// Those that do not depend on the execution, by name and by slot.
    names: Box<[Tag]>,
    fixed: Box<[Slot]>,
    told: Box<[Told]>,
    learning: Option<Arc<Learning>>,
}

/// A key of which the statement names the values it touches.
#[derive(Debug)]
struct Told {
    key: Key,
    values: Values,
}

/// A key of a table, under each name that the same rows have: partitions have them too.
#[derive(Clone, Debug)]
struct Key {
    name: Box<str>,
    family: Box<[TableName]>,
    kind: PinType,
    columns: Box<[ColumnSlots]>,
}

impl Key {
    fn any(&self) -> impl Iterator<Item = Slot> + '_ {
        self.columns.iter().map(|column| column.any())
    }

    fn any_tags(&self) -> impl Iterator<Item = Tag> + '_ {
        self.family.iter().map(|member| any_value(member, &self.name))
    }

    /// The tags of values that each execution tells, without the values.
    fn value_names(&self) -> impl Iterator<Item = String> + '_ {
        self.family.iter().map(|member| format!("{member}/{}=?", self.name))
    }
}

/// How to learn from a write's rows which values it touched.
#[derive(Debug)]
pub(crate) struct Learning {
    /// The statement, which returns what is to be learnt.
    sql: Arc<str>,
    /// The columns that were appended for that, which the caller must not see.
    appended: Box<[Appended]>,
    /// The table that is written.
    table: TableName,
    /// All keys that it had when its catalog was read, and all of them could be read.
    all_keys: BTreeSet<Box<str>>,
    /// Whether their values come as text.
    as_text: bool,
    keys: Box<[(Place, Key)]>,
    /// What bounds the number of rows, where the statement does not list them.
    bound: Option<Bound>,
}

/// A column that a write is asked for besides.
#[derive(Debug)]
struct Appended {
    key: Box<str>,
    /// The place of its first character in the statement, as PostgreSQL counts.
    start: usize,
    /// How PostgreSQL calls it when it does not know it, in every language.
    said: Box<str>,
}

/// What makes one think that a write was refused for what it was asked besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal<'l> {
    /// The server does not know this key, in the very place where we have asked for it.
    Missing(&'l str),
    /// It says something of the table and does not say where. It may be that a right is missing.
    Hidden,
}

/// What a write makes of a key that its rows tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rowwise {
    /// The row has the same value before and after, or there is only one of the two.
    Kept,
    /// It has another one after.
    Replaced,
}

/// Where a column is in a row.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Counted from the first.
    Returned(usize),
    /// Counted from the first that was appended.
    Appended(usize),
}

/// What one execution changes, as far as it is known before.
#[derive(Debug, Default)]
pub(crate) struct Expectation {
    /// What it changes in any case.
    pub(crate) slots: Slots,
    /// What it changes unless it is learnt what it touched.
    pub(crate) unlearnt: Slots,
    /// How to learn that.
    pub(crate) learning: Option<Arc<Learning>>,
}

impl Expectation {
    /// All that a statement may change, whatever its binds.
    pub(crate) fn of(effect: &Effect) -> Self {
        Self { slots: effect.slots().into(), ..Self::default() }
    }

    /// The same if nothing is asked for besides.
    pub(crate) fn without_learning(mut self) -> Self {
        self.slots.append(&mut self.unlearnt);
        Self { slots: self.slots, ..Self::default() }
    }
}

impl WriteTags {
    pub(crate) fn of(
        plan: &Plan,
        sql: &str,
        (targets, beyond): (&[Option<WrittenTarget>], &BTreeSet<TableName>),
        catalog: &Catalog,
        stamps: &Stamps,
    ) -> Self {
        let mut fixed = BTreeSet::new();
        for table in beyond {
            fixed.extend(whole(table, catalog));
        }
        let (mut told, mut learning) = (Vec::new(), None);
        let written = match plan.writes() {
            Writes::Tables(written) => &written[..],
            Writes::None | Writes::Everything => &[],
        };
        for (target, known) in written.iter().zip(targets) {
            let Some(known) = known else { continue };
            let Some(relation) = catalog.relations.get(&known.table) else { continue };
            // In order, so that a statement is always extended alike.
            let keys: BTreeMap<&str, PinType> = relation.pins().collect();
            for member in &known.family {
                fixed.insert(Tag::Table(member.clone()));
                // What is a key of this member alone is not followed.
                let pins = catalog.relations.get(member).into_iter().flat_map(Relation::pins);
                let own = pins.filter(|(name, _)| !keys.contains_key(name));
                fixed.extend(own.map(|(name, _)| any_value(member, name)));
            }
            let mut in_rows = Vec::new();
            for (name, kind) in keys {
                let family: Box<[_]> = known.family.iter().cloned().collect();
                let columns = family.iter().map(|member| stamps.column(member, name)).collect();
                let key = Key { name: name.into(), family, kind, columns };
                match touched(target, known, name, catalog.returns_old) {
                    Touched::Named(pin) if let Some(values) = Values::of(pin, kind) => {
                        told.push(Told { key, values });
                    }
                    Touched::Named(_) | Touched::Returned => in_rows.push((Rowwise::Kept, key)),
                    Touched::Replaced => in_rows.push((Rowwise::Replaced, key)),
                    Touched::Unknown => fixed.extend(key.any_tags()),
                }
            }
            match Learning::of(plan, sql, target, (&known.table, relation), in_rows) {
                Ok(learnt) => learning = learnt.map(Arc::new),
                Err(unlearnt) => fixed.extend(unlearnt.iter().flat_map(|(_, key)| key.any_tags())),
            }
        }
        let slots = fixed.iter().map(|tag| stamps.slot(tag)).collect();
        Self { names: fixed.into_iter().collect(), fixed: slots, told: told.into(), learning }
    }

    /// The names of all of them, values left out.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + '_ {
        let learnt = self.learning.iter().flat_map(|learning| learning.keys.iter());
        let keys = self.told.iter().map(|told| &told.key).chain(learnt.map(|(_, key)| key));
        self.names.iter().map(Tag::to_string).chain(keys.flat_map(Key::value_names))
    }

    /// What an execution with these binds changes.
    pub(crate) fn expect<B: Internals>(&self, binds: &B::Binds, stamps: &Stamps) -> Expectation {
        let mut expectation = Expectation::default();
        let Expectation { slots, unlearnt, learning } = &mut expectation;
        slots.extend_from_slice(&self.fixed);
        for Told { key, values } in &self.told {
            if !values.append::<B>(binds, &key.columns, stamps, slots) {
                slots.extend(key.any());
            }
        }
        if let Some(learnt) = &self.learning {
            let any = learnt.keys.iter().flat_map(|(_, key)| key.any());
            if learnt.bound.as_ref().is_none_or(|bound| bound.is_low::<B>(binds)) {
                unlearnt.extend(any);
                *learning = Some(Arc::clone(learnt));
            } else {
                slots.extend(any);
            }
        }
        expectation
    }
}

/// All tags of a table: the table's own, and of any value in each of its keys.
pub(crate) fn whole<'a>(
    table: &'a TableName,
    catalog: &'a Catalog,
) -> impl Iterator<Item = Tag> + 'a {
    let keys = catalog.relations.get(table).into_iter().flat_map(Relation::pins);
    let any = keys.map(|(name, _)| any_value(table, name));
    any.chain([Tag::Table(table.clone())])
}

fn any_value(table: &TableName, column: &str) -> Tag {
    Tag::Column { table: table.clone(), column: column.into() }
}

/// How it is known which values of a key a write touches.
enum Touched<'t> {
    /// The statement names them.
    Named(&'t Pin),
    /// The rows that it returns tell them.
    Returned,
    /// The rows that it returns tell them, if they are asked for what they were before as well.
    Replaced,
    /// Not at all.
    Unknown,
}

/// Rows have values before a write and after it, and both count.
fn touched<'t>(
    target: &'t Target,
    known: &WrittenTarget,
    key: &str,
    returns_old: bool,
) -> Touched<'t> {
    let named =
        || match target.pins.iter().find(|pin| &*pin.column == key && pin.through.is_empty()) {
            Some(pin) => Touched::Named(pin),
            None => Touched::Returned,
        };
    // A value that is assigned replaces one that nobody tells.
    let stays = !target.set_columns.contains(key) && !known.assigned.contains(key);
    match known.action {
        Action::Update if known.moves && !matches!(named(), Touched::Named(_)) => Touched::Unknown,
        // A new row has no value before.
        Action::Insert => Touched::Returned,
        Action::Upsert if stays => Touched::Returned,
        Action::Update if stays => named(),
        // The row is as it was found.
        Action::Delete => named(),
        Action::Upsert | Action::Update if returns_old => Touched::Replaced,
        Action::Upsert | Action::Update => Touched::Unknown,
        Action::Replace | Action::Truncate | Action::Merge | Action::Copy => Touched::Unknown,
    }
}

impl Learning {
    /// How to learn the values of `keys`, if there are any; hands them back where it cannot or should
    /// not be done.
    fn of(
        plan: &Plan,
        sql: &str,
        target: &Target,
        (table, relation): (&TableName, &Relation),
        keys: Vec<(Rowwise, Key)>,
    ) -> Result<Option<Self>, Vec<(Rowwise, Key)>> {
        if keys.is_empty() {
            return Ok(None);
        }
        let Some(returning) = plan.returning().filter(|_| relation.may_learn) else {
            return Err(keys);
        };
        let bound = match &target.inserted {
            Some(Inserted { rows: Rows::Values(_) | Rows::Defaults, .. }) => None,
            Some(Inserted { rows: Rows::Other, .. }) => return Err(keys),
            // Bulk writes are not slowed down.
            None => match Bound::of(target, relation) {
                Some(bound) => Some(bound),
                None => return Err(keys),
            },
        };
        let returned = |key: &str| {
            let items = returning.items()?;
            let plain =
                |item: &Returned| matches!(item, Returned::Column(_) | Returned::Expression);
            let place = items
                .iter()
                .position(|item| matches!(item, Returned::Column(column) if **column == *key))?;
            items[..place].iter().all(plain).then_some(Place::Returned(place))
        };
        let now: Vec<_> = keys.iter().map(|(_, key)| returned(&key.name)).collect();
        let unreturned = keys.iter().zip(&now).filter(|(_, place)| place.is_none());
        let appended: Vec<&str> = unreturned.map(|((_, key), _)| &*key.name).collect();
        let replaced = keys.iter().filter(|(rowwise, _)| *rowwise == Rowwise::Replaced);
        let replaced: Vec<Key> = replaced.map(|(_, key)| key.clone()).collect();
        let old: Vec<&str> = replaced.iter().map(|key| &*key.name).collect();
        let extended = match old.is_empty() {
            true => Some(returning.extend(sql, &appended)),
            false => returning.extend_with_old(sql, &appended, &old),
        };
        let Some(extended) = extended else { return Err(keys) };
        let asked = asked(returning, sql, &appended, &old);
        let appended = asked.len();
        let mut next = (0..appended).map(Place::Appended);
        let places: Vec<Place> =
            now.into_iter().filter_map(|place| place.or_else(|| next.next())).collect();
        let keys = places.into_iter().zip(keys.into_iter().map(|(_, key)| key));
        let keys = keys.chain(next.zip(replaced)).collect();
        let as_text = returning.appends_text();
        Ok(Some(Self {
            sql: extended.into(),
            appended: asked,
            table: table.clone(),
            all_keys: relation.pins().map(|(name, _)| name.into()).collect(),
            as_text,
            keys,
            bound,
        }))
    }

    /// The statement to execute instead.
    pub(crate) fn sql(&self) -> &Arc<str> {
        &self.sql
    }

    /// How many columns at the end of a row the caller must not see.
    pub(crate) fn appended(&self) -> usize {
        self.appended.len()
    }

    /// Whether a statement may have been refused for what was appended to it, as far as the error
    /// tells. It tells no code. And the place may be one in the text of a trigger, so the place alone
    /// proves nothing.
    pub(crate) fn refusal(&self, error: &DieselError) -> Option<Refusal<'_>> {
        let DieselError::DatabaseError(DatabaseErrorKind::Unknown, error) = error else {
            return None;
        };
        let message = error.message();
        if let Some(position) = error.statement_position() {
            let start = usize::try_from(position).ok()?;
            let there = self.appended.iter().find(|appended| appended.start == start)?;
            return message.contains(&*there.said).then_some(Refusal::Missing(&there.key));
        }
        // What was done on the way and failed has more to say.
        let is_plain = error.details().is_none() && error.hint().is_none();
        // In SQLite no error has a place.
        let names_it = message.contains(&*self.table.name)
            || self.appended.iter().any(|appended| message.contains(&*appended.said));
        (is_plain && names_it).then_some(Refusal::Hidden)
    }

    /// Whether the catalog, compared after a refusal, shows it to be ours. Then nothing has been
    /// executed: the server looks for columns and rights before it begins.
    ///
    /// A key that has been added, or a catalog that could not be had, shows nothing.
    pub(crate) fn is_to_blame(&self, refusal: Refusal<'_>, now: &Catalog) -> bool {
        let Some(relation) = now.relations.get(&self.table) else { return false };
        if let Refusal::Missing(key) = refusal {
            return !relation.columns.contains_key(key);
        }
        let is_foreign = |member: &TableName| {
            now.relations.get(member).is_some_and(|it| matches!(it.kind, RelationKind::Foreign))
        };
        // Why else it might not be asked for its keys.
        let has_other_reasons = !matches!(relation.kind, RelationKind::Table)
            || relation.row_security
            || relation.opaque_writes
            || now.family(&self.table).iter().any(is_foreign);
        let keys: BTreeSet<Box<str>> = relation.pins().map(|(name, _)| name.into()).collect();
        !relation.may_learn && !has_other_reasons && keys == self.all_keys
    }

    /// The values that the rows tell. `None` if there are too many, or one cannot be told.
    pub(crate) fn learn<B: Internals>(&self, rows: &[B::Row], stamps: &Stamps) -> Option<Slots> {
        if rows.len() > MOST_VALUES {
            return None;
        }
        let mut slots = Slots::new();
        for row in rows {
            let visible = row.field_count().checked_sub(self.appended())?;
            for (place, Key { kind, columns, .. }) in &self.keys {
                let value = match *place {
                    Place::Appended(index) if self.as_text => {
                        let text = B::cell_value(row, visible + index, PinType::Text)?;
                        text.map_or(Some(None), |text| canonical(&text, *kind).map(Some))?
                    }
                    Place::Appended(index) => B::cell_value(row, visible + index, *kind)?,
                    Place::Returned(index) => B::cell_value(row, index, *kind)?,
                };
                // No read is confined to NULL.
                let Some(value) = &value else { continue };
                let value = value.borrowed();
                slots.extend(columns.iter().map(|column| stamps.value_slot(*column, value)));
            }
        }
        Some(slots)
    }
}

/// Where in a statement each column is that is appended to it, in order: these, then those of the rows as
/// they were before.
fn asked(returning: &Returning, sql: &str, appended: &[&str], old: &[&str]) -> Box<[Appended]> {
    let (mut asked, mut before) = (Vec::new(), sql.to_owned());
    for count in 1..=appended.len() + old.len() {
        let now = appended.len().min(count);
        let (now, old) = (&appended[..now], &old[..count - now]);
        let (of, key, extended) = match old {
            [] => (returning.relation(), now[count - 1], Some(returning.extend(sql, now))),
            [.., key] => ("old", *key, returning.extend_with_old(sql, now, old)),
        };
        let extended = extended.unwrap_or_default();
        // It begins with the first quote after what both texts have in common.
        let same = before.chars().zip(extended.chars()).take_while(|(one, other)| one == other);
        let same = same.count();
        let glue = extended.chars().skip(same).take_while(|it| *it != '"').count();
        let said = format!("{of}.{key}").into();
        asked.push(Appended { key: key.into(), start: same + glue + 1, said });
        before = extended;
    }
    asked.into()
}

/// The values that a statement names for each column of a unique key: it touches at most one row for
/// each combination of them.
///
/// This keeps a bulk write from returning its rows, and no more. What is learnt is right however many
/// rows there are, so a column counts whatever its type takes for equal, and a key that has just been
/// dropped does no harm.
#[derive(Debug)]
struct Bound(Box<[(PinSource, Option<PinType>)]>);

impl Bound {
    /// The bound of a statement that confines all columns of some unique key.
    fn of(target: &Target, relation: &Relation) -> Option<Self> {
        relation.unique_keys.iter().find_map(|key| {
            let named = key.iter().map(|column| {
                let pin = target.pins.iter().find(|pin| pin.column == *column)?;
                Some((pin.values.clone(), relation.columns.get(column)?.kind))
            });
            named.collect::<Option<_>>().map(Self)
        })
    }

    /// Whether an execution touches a few rows at most.
    fn is_low<B: Internals>(&self, binds: &B::Binds) -> bool {
        let count = |(source, kind): &(PinSource, Option<PinType>)| match source {
            PinSource::OneOf(scalars) => Some(scalars.len()),
            PinSource::AnyBind(index) => {
                let mut count = 0;
                B::bind_elements(binds, *index, (*kind)?, MOST_VALUES, &mut |_| count += 1)
                    .then_some(count)
            }
        };
        let counts: Option<Vec<usize>> = self.0.iter().map(count).collect();
        let product = counts.map(|counts| counts.into_iter().fold(1, usize::saturating_mul));
        product.is_some_and(|product| product <= MOST_VALUES)
    }
}

#[cfg(test)]
mod tests {
    use turbodiesel_cache::StampsOptions;
    use turbodiesel_core::MonotonicClock;
    use turbodiesel_sql::{Dialect, plan};

    use super::*;
    use crate::catalog::{Column, WriteClosure};

    #[test]
    fn literals_of_one_meaning() {
        let text = |text: &str| PinValue::Text(text.into());
        let int = |literal| canonical(&literal, PinType::Int);
        assert_eq!(int(text("007")), Some(PinValue::Int(7)));
        assert_eq!(int(text("-7")), Some(PinValue::Int(-7)));
        for unclear in ["+7", " 7", "0x7", "7.0", "", "-", "9223372036854775808"] {
            assert_eq!(int(text(unclear)), None, "{unclear:?}");
        }
        assert_eq!(canonical(&PinValue::Int(7), PinType::Text), None);
        let expected = PinValue::Uuid(*b"\x0a\xee\xbc\x99\x9c\x0bN\xf8\xbbm\x6b\xb9\xbd8\x0a\x11");
        let uuid = |it: &str| canonical(&text(it), PinType::Uuid);
        assert_eq!(uuid("0AEEBC99-9c0b-4ef8-bb6d-6bb9bd380a11"), Some(expected));
        assert_eq!(uuid("0aeebc999c0b4ef8bb6d6bb9bd380a11"), None);
        assert_eq!(uuid("+aeebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), None);
    }

    #[test]
    fn rows_are_asked_for_what_they_were_where_they_can_tell() {
        let int = || Column { kind: Some(PinType::Int), is_pin: true, is_generated: false };
        let orders = TableName::qualified("public", "orders");
        let relation = Relation {
            columns: [("id".into(), int()), ("customer".into(), int())].into(),
            unique_keys: vec![["id".into()].into()],
            may_learn: true,
            ..Relation::table()
        };
        let mut catalog = Catalog {
            search_path: vec!["public".into()],
            relations: [(orders, relation)].into(),
            ..Catalog::default()
        };
        let stamps = Stamps::new(Arc::new(MonotonicClock), StampsOptions::default());
        let sql = "UPDATE orders SET customer = $1 WHERE id = $2";
        let plan = plan(Dialect::Postgres, sql);
        let mut asked = |returns_old| {
            catalog.returns_old = returns_old;
            let WriteClosure::Tables { targets, beyond } = catalog.write_closure(&plan) else {
                panic!("everything")
            };
            let tags = WriteTags::of(&plan, sql, (&targets, &beyond), &catalog, &stamps);
            let names: Vec<String> = tags.names().collect();
            (names, tags.learning.map(|learning| (learning.sql.to_string(), learning.keys.len())))
        };
        let any = ["public.orders", "public.orders/customer=*", "public.orders/id=?"];
        assert_eq!(asked(false), (any.map(str::to_owned).into(), None));
        let (names, learning) = asked(true);
        assert!(!names.contains(&"public.orders/customer=*".to_owned()), "{names:?}");
        let returning = r#" RETURNING "orders"."customer"::text, "old"."customer"::text"#;
        assert_eq!(learning, Some((format!("{sql}{returning}"), 2)));
    }

    #[test]
    fn the_place_of_what_is_asked_besides_is_known() {
        for sql in [
            "UPDATE orders SET note = 'x' WHERE id = 1",
            "UPDATE orders SET note = 'é' WHERE id = 1 \n; ",
            "UPDATE orders SET note = 'é\"' WHERE id = 1 RETURNING note;",
            "UPDATE orders AS \"Größe\" SET note = 'x' WHERE id = 1",
        ] {
            let plan = plan(Dialect::Postgres, sql);
            let returning = plan.returning().unwrap();
            let (now, old) = (["id", "custo\"mer"], ["code"]);
            let text = returning.extend_with_old(sql, &now, &old).unwrap();
            let asked = asked(returning, sql, &now, &old);
            let of = returning.relation();
            let expected = [
                (format!("{of}.id"), format!(r#""{of}"."id"::text, "#)),
                (format!("{of}.custo\"mer"), format!(r#""{of}"."custo""mer"::text, "#)),
                ("old.code".to_owned(), r#""old"."code"::text"#.to_owned()),
            ];
            assert_eq!(asked.len(), expected.len());
            for (appended, (said, written)) in asked.iter().zip(expected) {
                let there: String = text.chars().skip(appended.start - 1).collect();
                assert!(there.starts_with(&written), "{sql}: {there}");
                assert_eq!(*appended.said, *said);
            }
        }
    }
}
