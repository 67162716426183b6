//! Binds and cells as the canonical values of keys.
//!
//! Only where the type says that equality of values is what the database's `=` means: an `int4`
//! compared with an `int8` column is, a `float8` or a `bpchar` is not.

use turbodiesel_core::PinRef;

use crate::catalog::PinType;

const BOOL: u32 = 16;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const UUID: u32 = 2950;

/// A value of the type `oid` as one of a key, `None` where that type compares otherwise.
pub(super) fn scalar(oid: u32, bytes: &[u8], kind: PinType) -> Option<PinRef<'_>> {
    Some(match (kind, oid) {
        (PinType::Int, INT2) => PinRef::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        (PinType::Int, INT4) => PinRef::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        (PinType::Int, INT8) => PinRef::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        (PinType::Bool, BOOL) => PinRef::Bool(*bytes == [1]),
        (PinType::Uuid, UUID) => PinRef::Uuid(bytes.try_into().ok()?),
        (PinType::Text, TEXT | VARCHAR) => PinRef::Text(std::str::from_utf8(bytes).ok()?),
        _ => return None,
    })
}

/// The array types, with those of their elements.
const ARRAYS: [(u32, u32); 7] = [
    (1000, BOOL),
    (1005, INT2),
    (1007, INT4),
    (1009, TEXT),
    (1015, VARCHAR),
    (1016, INT8),
    (2951, UUID),
];

/// Hands out the elements of an array. False if there are more than `most`, or one is NULL or
/// compares otherwise; some may have been handed out by then.
pub(super) fn elements<'b>(
    oid: u32,
    bytes: &'b [u8],
    kind: PinType,
    most: usize,
    each: &mut dyn FnMut(PinRef<'b>),
) -> bool {
    walk_elements(oid, bytes, kind, most, each).is_some()
}

fn walk_elements<'b>(
    oid: u32,
    mut bytes: &'b [u8],
    kind: PinType,
    most: usize,
    each: &mut dyn FnMut(PinRef<'b>),
) -> Option<()> {
    let &(_, element) = ARRAYS.iter().find(|(array, _)| *array == oid)?;
    // On the wire: dimensions, whether there are NULLs, the type; for each dimension its length and
    // lower bound; for each element its length and bytes.
    let dimensions = word(&mut bytes)?;
    let _has_nulls = word(&mut bytes)?;
    if word(&mut bytes)? != element {
        return None;
    }
    if dimensions == 0 {
        return Some(());
    }
    let length = word(&mut bytes)? as usize;
    let _lower_bound = word(&mut bytes)?;
    if dimensions != 1 || length > most {
        return None;
    }
    for _ in 0..length {
        // A NULL has a negative length, which is more than is left.
        let (value, rest) = usize::try_from(word(&mut bytes)?)
            .ok()
            .and_then(|length| bytes.split_at_checked(length))?;
        each(scalar(element, value, kind)?);
        bytes = rest;
    }
    Some(())
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use turbodiesel_core::PinValue;

    use super::*;

    #[test]
    fn integers_of_any_width_are_one() {
        for (oid, bytes) in [
            (INT2, &[0xff, 0xfe][..]),
            (INT4, &[0xff, 0xff, 0xff, 0xfe]),
            (INT8, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
        ] {
            assert_eq!(scalar(oid, bytes, PinType::Int), Some(PinRef::Int(-2)));
        }
    }

    #[test]
    fn what_compares_otherwise_is_not_a_value() {
        const FLOAT8: u32 = 701;
        const BPCHAR: u32 = 1042;
        assert_eq!(scalar(FLOAT8, &1f64.to_be_bytes(), PinType::Int), None);
        assert_eq!(scalar(BPCHAR, b"a ", PinType::Text), None);
        assert_eq!(scalar(TEXT, b"7", PinType::Int), None);
        assert_eq!(scalar(INT4, &[0, 0, 0], PinType::Int), None, "cut off");
    }

    fn array(element: u32, elements: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes: Vec<u8> = [1, 0, element, elements.len() as u32, 1]
            .iter()
            .flat_map(|word: &u32| word.to_be_bytes())
            .collect();
        for element in elements {
            let length = element.map_or(u32::MAX, |element| element.len() as u32);
            bytes.extend(length.to_be_bytes());
            bytes.extend(element.unwrap_or_default());
        }
        bytes
    }

    fn collect(oid: u32, bytes: &[u8], kind: PinType) -> Option<Vec<PinValue>> {
        let mut values = Vec::new();
        let told = elements(oid, bytes, kind, 2, &mut |value| {
            values.push(value.into_owned());
        });
        told.then_some(values)
    }

    #[test]
    fn arrays() {
        let (one, two) = (1i32.to_be_bytes(), 2i32.to_be_bytes());
        let ints = array(INT4, &[Some(&one), Some(&two)]);
        let expected = vec![PinValue::Int(1), PinValue::Int(2)];
        assert_eq!(collect(1007, &ints, PinType::Int), Some(expected));
        assert_eq!(collect(1016, &ints, PinType::Int), None, "another array type");
        assert_eq!(collect(1007, &ints, PinType::Text), None);
        assert_eq!(collect(1007, &ints[..ints.len() - 1], PinType::Int), None, "cut off");
        let null = array(INT4, &[Some(&one), None]);
        assert_eq!(collect(1007, &null, PinType::Int), None);
        let many = array(INT4, &[Some(&one), Some(&one), Some(&one)]);
        assert_eq!(collect(1007, &many, PinType::Int), None);
        let text = array(TEXT, &[Some(b"a"), Some(b"")]);
        let expected = vec![PinValue::Text("a".into()), PinValue::Text("".into())];
        assert_eq!(collect(1009, &text, PinType::Text), Some(expected));
        let empty: Vec<u8> = [0u32, 0, INT4].iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(collect(1007, &empty, PinType::Int), Some(Vec::new()));
    }
}
