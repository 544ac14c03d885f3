//! The trace table as Arrow columns, and back.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Int32Array, ListArray,
    RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};

use crate::summary::{TraceIndex, TraceTable};

/// The table as it is written.
pub(crate) fn to_arrow(table: &TraceTable) -> Result<RecordBatch, ArrowError> {
    // A column's dictionary holds the texts that it uses, each once.
    let words = |codes: &[u32]| -> ArrayRef {
        let mut numbers = vec![-1; table.texts.len()];
        let mut texts: Vec<&str> = Vec::new();
        let keys = Int32Array::from_iter_values(codes.iter().map(|&code| {
            let number = &mut numbers[code as usize];
            if *number < 0 {
                *number = texts.len() as i32;
                texts.push(&table.texts[code as usize]);
            }
            *number
        }));
        Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from_iter_values(texts))))
    };
    let list = |values: ArrayRef| -> ArrayRef {
        let offsets: Vec<i32> = table.service_offsets.iter().map(|&at| at as i32).collect();
        let field = Arc::new(Field::new("item", values.data_type().clone(), false));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Arc::new(ListArray::new(field, offsets, values, None))
    };
    let numbers = |values: &[u32]| -> ArrayRef { Arc::new(UInt32Array::from(values.to_vec())) };
    let span_count =
        UInt32Array::from_iter_values((0..table.len()).map(|trace| table.rows(trace).len() as u32));
    let ids: Vec<u8> = table.ids.iter().flat_map(|id| id.to_be_bytes()).collect();
    let ids = FixedSizeBinaryArray::new(16, Buffer::from(ids), None);
    RecordBatch::try_from_iter([
        ("trace_id", Arc::new(ids) as ArrayRef),
        ("start_unix_nano", Arc::new(UInt64Array::from(table.start.clone()))),
        ("end_unix_nano", Arc::new(UInt64Array::from(table.end.clone()))),
        ("span_count", Arc::new(span_count)),
        ("error_count", numbers(&table.error_count)),
        ("orphan_count", numbers(&table.orphan_count)),
        ("missing_root", Arc::new(BooleanArray::from(table.missing_root.clone()))),
        ("root_service", words(&table.root_service)),
        ("root_name", words(&table.root_name)),
        ("services", list(words(&table.services))),
        ("service_span_counts", list(numbers(&table.service_spans))),
        ("service_error_counts", list(numbers(&table.service_errors))),
    ])
}

/// The columns that the index is made of.
pub(crate) const INDEX_COLUMNS: [&str; 4] =
    ["trace_id", "start_unix_nano", "end_unix_nano", "span_count"];

/// Adds rows that were read to the index. `None` when they are not such rows.
pub(crate) fn add_index(index: &mut TraceIndex, batch: &RecordBatch) -> Option<()> {
    let column = |name: &str| batch.column_by_name(name);
    let ids = column("trace_id")?.as_fixed_size_binary_opt()?;
    for row in 0..ids.len() {
        index.ids.push(u128::from_be_bytes(ids.value(row).try_into().ok()?));
    }
    index.start.extend(column("start_unix_nano")?.as_primitive_opt::<UInt64Type>()?.values());
    index.end.extend(column("end_unix_nano")?.as_primitive_opt::<UInt64Type>()?.values());
    for &count in column("span_count")?.as_primitive_opt::<UInt32Type>()?.values() {
        index.first_row.push(index.first_row.last()?.checked_add(count)?);
    }
    Some(())
}

/// Adds what is not in the index. `None` when there are no such rows.
pub(crate) fn add_facts(table: &mut TraceTable, batch: &RecordBatch) -> Option<()> {
    if table.service_offsets.is_empty() {
        table.service_offsets.push(0);
    }
    let column = |name: &str| batch.column_by_name(name);
    table.error_count.extend(column("error_count")?.as_primitive_opt::<UInt32Type>()?.values());
    table.orphan_count.extend(column("orphan_count")?.as_primitive_opt::<UInt32Type>()?.values());
    table.missing_root.extend(column("missing_root")?.as_boolean_opt()?.values().iter());
    words(&mut table.texts, column("root_service")?, &mut table.root_service)?;
    words(&mut table.texts, column("root_name")?, &mut table.root_name)?;

    let services = column("services")?.as_list_opt::<i32>()?;
    let before = *table.service_offsets.last()?;
    let first = *services.value_offsets().first()?;
    table
        .service_offsets
        .extend(services.value_offsets()[1..].iter().map(|&at| before + (at - first) as u32));
    let inner = |list: &ListArray| -> Option<ArrayRef> {
        let start = *list.value_offsets().first()? as usize;
        let end = *list.value_offsets().last()? as usize;
        Some(list.values().slice(start, end - start))
    };
    words(&mut table.texts, &inner(services)?, &mut table.services)?;
    for (name, target) in [
        ("service_span_counts", &mut table.service_spans),
        ("service_error_counts", &mut table.service_errors),
    ] {
        let values = inner(column(name)?.as_list_opt::<i32>()?)?;
        target.extend(values.as_primitive_opt::<UInt32Type>()?.values());
    }
    Some(())
}

fn words(texts: &mut Vec<String>, array: &ArrayRef, codes: &mut Vec<u32>) -> Option<()> {
    if *array.data_type() == DataType::Utf8 {
        return None;
    }
    let array = array.as_dictionary_opt::<Int32Type>()?;
    let base = texts.len() as u32;
    let values = array.values().as_string_opt::<i32>()?;
    texts.extend((0..values.len()).map(|at| values.value(at).to_owned()));
    codes.extend(array.keys().values().iter().map(|&key| base + key as u32));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_arrow() {
        let table = TraceTable {
            index: Arc::new(TraceIndex {
                ids: vec![1, 2],
                start: vec![10, 20],
                end: vec![15, u64::MAX],
                first_row: vec![0, 3, 4],
            }),
            error_count: vec![1, 0],
            orphan_count: vec![0, 2],
            missing_root: vec![false, true],
            root_service: vec![0, 2],
            root_name: vec![1, 1],
            service_offsets: vec![0, 2, 3],
            services: vec![0, 2, 2],
            service_spans: vec![1, 2, 1],
            service_errors: vec![1, 0, 0],
            texts: ["api", "GET /", "cart"].map(str::to_owned).to_vec(),
        };
        let batch = to_arrow(&table).unwrap();
        let mut back = TraceTable::default();
        let mut index = TraceIndex::default();
        for row in 0..2 {
            add_index(&mut index, &batch.slice(row, 1)).unwrap();
            add_facts(&mut back, &batch.slice(row, 1)).unwrap();
        }
        assert_eq!(index, *table.index);
        back.index = Arc::new(index);
        for trace in 0..2 {
            assert_eq!(back.summary(trace), table.summary(trace));
        }
    }
}
