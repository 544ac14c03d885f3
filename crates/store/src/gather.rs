//! Rows of several arrays of one column into one array.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, Int32Array, PrimitiveArray, StringArray,
    new_null_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_schema::DataType;

use crate::texts::{Interner, dictionary};

/// A row of a source: which source, which row.
pub(crate) type Place = (u32, u32);

/// The rows at `places`, in that order. A source without the column counts as all null.
/// Text sources may be dictionaries or plain strings; the result is a dictionary.
pub(crate) fn gather(
    data_type: &DataType,
    sources: &[Option<ArrayRef>],
    places: &[Place],
) -> ArrayRef {
    if sources.iter().all(Option::is_none) {
        return new_null_array(data_type, places.len());
    }
    match data_type {
        DataType::Int32 => primitive::<Int32Type>(sources, places),
        DataType::UInt32 => primitive::<UInt32Type>(sources, places),
        DataType::Int64 => primitive::<Int64Type>(sources, places),
        DataType::Float64 => primitive::<Float64Type>(sources, places),
        DataType::Boolean => boolean(sources, places),
        DataType::FixedSizeBinary(size) => fixed(*size as usize, sources, places),
        DataType::Binary => binary(sources, places),
        _ => text(sources, places),
    }
}

/// Validity of the gathered rows; `None` when all are valid.
fn nulls(sources: &[Option<ArrayRef>], places: &[Place]) -> Option<NullBuffer> {
    let nullable: Vec<Option<&NullBuffer>> =
        sources.iter().map(|source| source.as_ref().and_then(|array| array.nulls())).collect();
    let missing = sources.iter().any(Option::is_none);
    if !missing && nullable.iter().all(Option::is_none) {
        return None;
    }
    let valid = BooleanBuffer::collect_bool(places.len(), |at| {
        let (source, row) = places[at];
        sources[source as usize].is_some()
            && nullable[source as usize].is_none_or(|nulls| nulls.is_valid(row as usize))
    });
    Some(NullBuffer::new(valid))
}

fn primitive<T: ArrowPrimitiveType>(sources: &[Option<ArrayRef>], places: &[Place]) -> ArrayRef {
    let values: Vec<&[T::Native]> = sources
        .iter()
        .map(|source| source.as_ref().map_or(&[][..], |array| array.as_primitive::<T>().values()))
        .collect();
    let nulls = nulls(sources, places);
    let mut out = vec![T::Native::default(); places.len()];
    for_valid(nulls.as_ref(), places.len(), |at| {
        let (source, row) = places[at];
        out[at] = values[source as usize][row as usize];
    });
    Arc::new(PrimitiveArray::<T>::new(out.into(), nulls))
}

/// Calls `visit` with the valid rows: most columns of a wide table are null nearly everywhere.
fn for_valid(nulls: Option<&NullBuffer>, rows: usize, visit: impl FnMut(usize)) {
    match nulls {
        Some(nulls) => nulls.valid_indices().for_each(visit),
        None => (0..rows).for_each(visit),
    }
}

fn boolean(sources: &[Option<ArrayRef>], places: &[Place]) -> ArrayRef {
    let arrays: Vec<Option<&BooleanArray>> =
        sources.iter().map(|source| source.as_ref().map(|array| array.as_boolean())).collect();
    let out = BooleanBuffer::collect_bool(places.len(), |at| {
        let (source, row) = places[at];
        arrays[source as usize].is_some_and(|array| array.value(row as usize))
    });
    Arc::new(BooleanArray::new(out, nulls(sources, places)))
}

fn fixed(size: usize, sources: &[Option<ArrayRef>], places: &[Place]) -> ArrayRef {
    let arrays: Vec<Option<&FixedSizeBinaryArray>> = sources
        .iter()
        .map(|source| source.as_ref().map(|array| array.as_fixed_size_binary()))
        .collect();
    let mut out = Vec::with_capacity(places.len() * size);
    for &(source, row) in places {
        match arrays[source as usize] {
            Some(array) => out.extend_from_slice(array.value(row as usize)),
            None => out.resize(out.len() + size, 0),
        }
    }
    let nulls = nulls(sources, places);
    Arc::new(FixedSizeBinaryArray::new(size as i32, Buffer::from(out), nulls))
}

fn binary(sources: &[Option<ArrayRef>], places: &[Place]) -> ArrayRef {
    let mut out = BinaryBuilder::new();
    for &(source, row) in places {
        let array = sources[source as usize].as_ref().map(|array| array.as_binary::<i32>());
        out.append_option(
            array
                .filter(|array| array.is_valid(row as usize))
                .map(|array| array.value(row as usize)),
        );
    }
    Arc::new(out.finish())
}

const UNSET: i32 = -1;

/// A source's codes and texts, and what its codes are in the result.
struct TextSource<'a> {
    keys: Option<&'a Int32Array>,
    texts: &'a StringArray,
    /// Index of the translation table; sources with one dictionary share it.
    table: usize,
}

fn text(sources: &[Option<ArrayRef>], places: &[Place]) -> ArrayRef {
    let mut tables: Vec<Vec<i32>> = Vec::new();
    let mut owners: Vec<*const u8> = Vec::new();
    let views: Vec<Option<TextSource<'_>>> = sources
        .iter()
        .map(|source| {
            let array = source.as_ref()?;
            let (keys, texts) = match array.as_dictionary_opt::<Int32Type>() {
                Some(dictionary) => {
                    (Some(dictionary.keys()), dictionary.values().as_string::<i32>())
                }
                None => (None, array.as_string::<i32>()),
            };
            let owner = texts.value_offsets().as_ptr().cast::<u8>();
            let table = match owners.iter().position(|&known| known == owner) {
                Some(table) if keys.is_some() => table,
                _ => {
                    owners.push(owner);
                    tables.push(if keys.is_some() { vec![UNSET; texts.len()] } else { Vec::new() });
                    tables.len() - 1
                }
            };
            Some(TextSource { keys, texts, table })
        })
        .collect();

    let nulls = nulls(sources, places);
    let mut distinct = Interner::default();
    let mut codes = vec![0; places.len()];
    for_valid(nulls.as_ref(), places.len(), |at| {
        let (source, row) = places[at];
        let row = row as usize;
        // A source without the column has no valid row.
        let Some(view) = &views[source as usize] else { return };
        codes[at] = match view.keys {
            Some(keys) => {
                let key = keys.value(row) as usize;
                let known = &mut tables[view.table][key];
                if *known == UNSET {
                    *known = distinct.intern(view.texts.value(key).as_bytes());
                }
                *known
            }
            None => distinct.intern(view.texts.value(row).as_bytes()),
        };
    });
    dictionary(Int32Array::new(codes.into(), nulls), distinct.values())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(values: &[Option<&str>]) -> ArrayRef {
        let mut texts = Interner::default();
        let codes: Int32Array =
            values.iter().map(|value| value.map(|value| texts.intern(value.as_bytes()))).collect();
        dictionary(codes, texts.values())
    }

    fn read(array: &ArrayRef) -> Vec<Option<String>> {
        let array = array.as_dictionary::<Int32Type>();
        let texts = array.values().as_string::<i32>();
        array.keys().iter().map(|key| key.map(|key| texts.value(key as usize).to_owned())).collect()
    }

    #[test]
    fn joins_dictionaries_strings_and_absent_columns() {
        let sources = [
            Some(words(&[Some("a"), None, Some("b")])),
            None,
            Some(Arc::new(StringArray::from(vec![Some("b"), Some("c"), None])) as ArrayRef),
        ];
        let places = [(2, 1), (0, 2), (1, 0), (2, 0), (0, 1), (0, 0), (2, 2)];
        let gathered = gather(&crate::columns::text(), &sources, &places);
        let expected = [Some("c"), Some("b"), None, Some("b"), None, Some("a"), None];
        assert_eq!(read(&gathered), expected.map(|text| text.map(str::to_owned)));
        assert_eq!(gathered.as_dictionary::<Int32Type>().values().len(), 3);
    }

    #[test]
    fn slices_of_one_dictionary_share_its_texts() {
        let all = words(&[Some("a"), Some("b"), Some("a")]);
        let sources = [Some(all.slice(0, 1)), Some(all.slice(1, 2))];
        let gathered = gather(&crate::columns::text(), &sources, &[(1, 1), (0, 0), (1, 0)]);
        let expected = ["a", "a", "b"].map(|text| Some(text.to_owned()));
        assert_eq!(read(&gathered), expected);
    }

    #[test]
    fn numbers_keep_their_nulls() {
        let sources = [Some(Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef), None];
        let gathered = gather(&DataType::Int32, &sources, &[(0, 1), (0, 0), (1, 5)]);
        assert_eq!(
            gathered.as_primitive::<Int32Type>(),
            &Int32Array::from(vec![None, Some(1), None])
        );
    }
}
