//! Files written here are read here and by the Arrow reader; files of the Arrow writer are read
//! here; damaged ones are refused or read, without harm.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use super::*;
use crate::bits::Bits;
use crate::column::{Column, Values};
use crate::files::{CheckedFile, CheckedWriter, FileFacts};
use crate::texts::{Interner, Texts};

const KINDS: [Kind; 9] = [
    Kind::Text,
    Kind::Bytes,
    Kind::Int32,
    Kind::Count,
    Kind::Int64,
    Kind::Double,
    Kind::Bool,
    Kind::Id8,
    Kind::Id16,
];
const CODINGS: [Coding; 4] =
    [Coding::Dictionary, Coding::Plain, Coding::Delta, Coding::ByteStreamSplit];

/// A value as bytes, numbers little endian. Also those of text.
type Cell = Option<Vec<u8>>;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// A column of a test: how it is written and what it is like.
#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    coding: Coding,
    compressed: bool,
    /// Of 100 rows; required when all.
    present: u8,
    /// Values that are told apart.
    distinct: u64,
    /// Rows that are alike.
    run: usize,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let present = prop_oneof![Just(0u8), Just(1), Just(50), Just(99), Just(100), Just(101)];
    let distinct = prop_oneof![Just(1u64), Just(3), Just(500), Just(u64::MAX)];
    let run = prop_oneof![Just(1usize), Just(13), Just(300), Just(9000)];
    let shape = (0..KINDS.len(), 0..CODINGS.len(), any::<bool>());
    (shape, present, distinct, run, any::<u64>()).prop_map(
        |((kind, coding, compressed), present, distinct, run, seed)| Case {
            kind: KINDS[kind],
            coding: CODINGS[coding],
            compressed,
            present,
            distinct,
            run,
            seed,
        },
    )
}

impl Case {
    fn plan(&self, index: usize) -> ColumnPlan {
        ColumnPlan {
            name: format!("attr.a.{index}"),
            kind: self.kind,
            optional: self.present <= 100,
            coding: self.coding,
            compressed: self.compressed,
            bloom: true,
        }
    }

    fn cells(&self, rows: usize, group: usize) -> Vec<Cell> {
        let mut random = Random(self.seed.wrapping_add(group as u64));
        let mut cells = Vec::with_capacity(rows);
        while cells.len() < rows {
            let run = (1 + random.below(self.run)).min(rows - cells.len());
            let is_present = random.below(100) < usize::from(self.present);
            let number = random.next() % self.distinct;
            let cell = is_present.then(|| match self.kind {
                Kind::Text => format!("text {number}").into_bytes(),
                Kind::Bytes => number.to_le_bytes()[..number as usize % 9].to_vec(),
                Kind::Int32 | Kind::Count => (number as u32).to_le_bytes().to_vec(),
                Kind::Int64 | Kind::Id8 => number.to_le_bytes().to_vec(),
                Kind::Double => (number as f64 / 3.0).to_le_bytes().to_vec(),
                Kind::Bool => vec![number as u8 & 1],
                Kind::Id16 => (u128::from(number) << 70).to_le_bytes().to_vec(),
            });
            cells.extend(vec![cell; run]);
        }
        cells
    }
}

/// Cells as a column whose codes are of an interner.
fn column(kind: Kind, cells: &[Cell], interner: &mut Interner) -> Column {
    fn all<T>(values: &[&Vec<u8>], get: impl Fn(&[u8]) -> T) -> Vec<T> {
        values.iter().map(|value| get(value)).collect()
    }
    let mut words = vec![0u64; cells.len().div_ceil(64)];
    for (row, _) in cells.iter().enumerate().filter(|(_, cell)| cell.is_some()) {
        words[row / 64] |= 1 << (row % 64);
    }
    let found: Vec<&Vec<u8>> = cells.iter().flatten().collect();
    let i64s = |value: &[u8]| i64::from_le_bytes(value.try_into().unwrap());
    let values = match kind {
        Kind::Text | Kind::Bytes => {
            Values::Codes(found.iter().map(|text| interner.intern(text)).collect(), Arc::default())
        }
        Kind::Int32 | Kind::Count => {
            Values::Int32(all(&found, |value| i32::from_le_bytes(value.try_into().unwrap())))
        }
        Kind::Int64 => Values::Int64(all(&found, i64s)),
        Kind::Double => Values::Double(all(&found, |value| f64::from_bits(i64s(value) as u64))),
        Kind::Bool => Values::Bool(all(&found, |value| value[0] == 1)),
        Kind::Id8 => Values::Id8(all(&found, |value| i64s(value) as u64)),
        Kind::Id16 => {
            Values::Id16(all(&found, |value| u128::from_le_bytes(value.try_into().unwrap())))
        }
    };
    Column::sparse(Bits::new(words, cells.len()), values)
}

fn cells_of(column: &Column) -> Vec<Cell> {
    let value = |at: usize| match column.values() {
        Values::Codes(codes, texts) => texts.get(codes[at]).to_vec(),
        Values::Int32(values) => values[at].to_le_bytes().to_vec(),
        Values::Int64(values) => values[at].to_le_bytes().to_vec(),
        Values::Double(values) => values[at].to_le_bytes().to_vec(),
        Values::Bool(values) => vec![u8::from(values[at])],
        Values::Id8(values) => values[at].to_le_bytes().to_vec(),
        Values::Id16(values) => values[at].to_le_bytes().to_vec(),
    };
    (0..column.len()).map(|row| column.place(row).map(value)).collect()
}

fn cells_of_arrow(array: &ArrayRef) -> Vec<Cell> {
    let value = |row: usize| match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes().to_vec(),
        DataType::Binary => array.as_binary::<i32>().value(row).to_vec(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_le_bytes().to_vec(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_le_bytes().to_vec(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_le_bytes().to_vec(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_le_bytes().to_vec(),
        DataType::Boolean => vec![u8::from(array.as_boolean().value(row))],
        DataType::FixedSizeBinary(_) => {
            array.as_fixed_size_binary().value(row).iter().rev().copied().collect()
        }
        other => panic!("{other}"),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| value(row))).collect()
}

fn arrow_of(kind: Kind, cells: &[Cell]) -> ArrayRef {
    let cells = cells.iter().map(Option::as_deref);
    let i64s = |value: &[u8]| i64::from_le_bytes(value.try_into().unwrap());
    let i32s = |value: &[u8]| i32::from_le_bytes(value.try_into().unwrap());
    let ids = |length| {
        let cells: Vec<Cell> = cells
            .clone()
            .map(|cell| cell.map(|cell| cell.iter().rev().copied().collect()))
            .collect();
        FixedSizeBinaryArray::try_from_sparse_iter_with_size(cells.into_iter(), length).unwrap()
    };
    match kind {
        Kind::Text => Arc::new(
            cells
                .map(|cell| cell.map(|text| str::from_utf8(text).unwrap()))
                .collect::<StringArray>(),
        ),
        Kind::Bytes => Arc::new(cells.collect::<BinaryArray>()),
        Kind::Int32 => Arc::new(cells.map(|cell| cell.map(i32s)).collect::<Int32Array>()),
        Kind::Count => {
            Arc::new(cells.map(|cell| cell.map(|cell| i32s(cell) as u32)).collect::<UInt32Array>())
        }
        Kind::Int64 => Arc::new(cells.map(|cell| cell.map(i64s)).collect::<Int64Array>()),
        Kind::Double => Arc::new(
            cells
                .map(|cell| cell.map(|cell| f64::from_bits(i64s(cell) as u64)))
                .collect::<Float64Array>(),
        ),
        Kind::Bool => {
            Arc::new(cells.map(|cell| cell.map(|cell| cell[0] == 1)).collect::<BooleanArray>())
        }
        Kind::Id8 => Arc::new(ids(8)),
        Kind::Id16 => Arc::new(ids(16)),
    }
}

/// Cells of each row group, of each column.
type Groups = Vec<Vec<Vec<Cell>>>;

fn cells(cases: &[Case], groups: &[usize]) -> Groups {
    let groups = groups.iter().enumerate();
    groups
        .map(|(group, &rows)| cases.iter().map(|case| case.cells(rows, group)).collect())
        .collect()
}

fn write(path: &Path, cases: &[Case], groups: &Groups, seed: u64) -> FileFacts {
    let plans = cases.iter().enumerate().map(|(index, case)| case.plan(index)).collect();
    let mut writer = TableWriter::create(path, plans, 1).unwrap();
    let mut random = Random(seed);
    let mut rows = 0;
    for group in groups {
        let mut interners: Vec<Interner> = cases.iter().map(|_| Interner::default()).collect();
        for ((place, cells), interner) in group.iter().enumerate().zip(&mut interners) {
            let mut rest = &cells[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(1 + random.below(rest.len()));
                rest = later;
                if now.iter().all(Option::is_none) && random.below(2) == 0 {
                    writer.push_nulls(place, now.len());
                } else {
                    let column = column(cases[place].kind, now, interner);
                    writer.push(place, &column, interner.texts()).unwrap();
                }
            }
        }
        let texts: Vec<&Texts> = interners.iter().map(Interner::texts).collect();
        writer.end_group(&texts).unwrap();
        rows += group[0].len() as u64;
    }
    let (facts, written) = writer.finish().unwrap();
    assert_eq!(written, rows);
    facts
}

fn open(path: &Path, facts: &FileFacts) -> TableFile {
    TableFile::open(Arc::new(CheckedFile::open(path, facts).unwrap())).unwrap()
}

fn check_read(table: &TableFile, groups: &Groups, seed: u64) {
    let mut random = Random(seed);
    let mut first = 0;
    for (index, group) in groups.iter().enumerate() {
        let rows = group[0].len();
        assert_eq!(table.groups()[index..index + 2], [first, first + rows]);
        first += rows;
        for (place, cells) in group.iter().enumerate() {
            let mut ranges = vec![0..rows, 0..1, rows - 1..rows, rows / 2..rows / 2];
            for _ in 0..4 {
                let start = random.below(rows);
                ranges.push(start..start + 1 + random.below(rows - start));
            }
            for range in ranges {
                let column = table.read(index, place, range.clone()).unwrap();
                assert_eq!(column.len(), range.len());
                assert!(cells_of(&column) == cells[range.clone()], "{place}: {range:?}");
            }
            for _ in 0..5 {
                if let Some(text) = &cells[random.below(rows)] {
                    assert!(table.may_contain(index, place, text));
                }
            }
        }
        let mut pages = table.group_pages(index).unwrap();
        let mut row = 0;
        while let Some(columns) = pages.next() {
            let columns = columns.unwrap();
            assert_eq!(columns.len(), group.len());
            let end = (row + PAGE_ROWS).min(rows);
            for (cells, column) in group.iter().zip(&columns) {
                assert!(cells_of(column) == cells[row..end]);
            }
            row = end;
        }
        assert_eq!(row, rows);
    }
}

fn check_arrow(path: &Path, cases: &[Case], groups: &Groups) {
    let file = std::fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    for (case, field) in cases.iter().zip(builder.schema().fields()) {
        assert_eq!(field.data_type(), arrow_of(case.kind, &[]).data_type());
        assert_eq!(field.is_nullable(), case.present <= 100);
    }
    let batches: Vec<RecordBatch> =
        builder.with_batch_size(3000).build().unwrap().map(Result::unwrap).collect();
    for place in 0..cases.len() {
        let got: Vec<Cell> =
            batches.iter().flat_map(|batch| cells_of_arrow(batch.column(place))).collect();
        let wanted: Vec<Cell> = groups.iter().flat_map(|group| group[place].clone()).collect();
        assert!(got == wanted, "column {place}: {:?}", cases[place]);
    }
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let rows = prop_oneof![
        Just(1usize),
        2usize..200,
        4095usize..=4097,
        8192usize..=8200,
        9000usize..20_000
    ];
    prop::collection::vec(rows, 1..3)
}

fn write_arrow(path: &Path, cases: &[Case], groups: &Groups, seed: u64) -> FileFacts {
    let fields: Vec<Field> = cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let kind = arrow_of(case.kind, &[]).data_type().clone();
            Field::new(case.plan(index).name, kind, case.present <= 100)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let mut properties = WriterProperties::builder()
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_bloom_filter_for_dictionary_encoded_chunks(false)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()));
    for (index, case) in cases.iter().enumerate() {
        let path = || ColumnPath::new(vec![case.plan(index).name]);
        if case.coding != Coding::Dictionary {
            properties = properties.set_column_dictionary_enabled(path(), false);
        }
        if !case.compressed {
            properties = properties.set_column_compression(path(), Compression::UNCOMPRESSED);
        }
        properties = match (case.kind, case.coding) {
            (Kind::Int32 | Kind::Int64, Coding::Delta) => {
                properties.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED)
            }
            (Kind::Int64, Coding::ByteStreamSplit) => {
                properties.set_column_encoding(path(), Encoding::BYTE_STREAM_SPLIT)
            }
            (Kind::Text, _) => properties.set_column_bloom_filter_enabled(path(), true),
            _ => properties,
        };
    }
    let file = CheckedWriter::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties.build())).unwrap();
    let mut random = Random(seed);
    for group in groups {
        let mut row = 0;
        while row < group[0].len() {
            let end = row + 1 + random.below(group[0].len() - row);
            let arrays =
                group.iter().zip(cases).map(|(cells, case)| arrow_of(case.kind, &cells[row..end]));
            writer.write(&RecordBatch::try_new(schema.clone(), arrays.collect()).unwrap()).unwrap();
            row = end;
        }
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap().finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn written_here(cases in prop::collection::vec(case(), 1..6), sizes in sizes(), seed in any::<u64>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let groups = cells(&cases, &sizes);
        let facts = write(&path, &cases, &groups, seed);
        check_read(&open(&path, &facts), &groups, seed);
        check_arrow(&path, &cases, &groups);
    }

    #[test]
    fn written_by_arrow(cases in prop::collection::vec(case(), 1..6), sizes in sizes(), seed in any::<u64>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let groups = cells(&cases, &sizes);
        let facts = write_arrow(&path, &cases, &groups, seed);
        check_read(&open(&path, &facts), &groups, seed);
    }

    #[test]
    fn damaged(
        cases in prop::collection::vec(case(), 1..6),
        rows in 1usize..10_000,
        seed in any::<u64>(),
        damage in prop::collection::vec((any::<usize>(), 1u8..), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let groups = cells(&cases, &[rows]);
        let facts = write(&path, &cases, &groups, seed);
        let table = open(&path, &facts);
        let mut content = std::fs::read(&path).unwrap();
        // Pages alone: the footer is the business of the `parquet` crate.
        let end = table.pages_end();
        for (at, byte) in damage {
            content[4 + at % (end - 4)] ^= byte;
        }
        let damaged = folder.path().join("damaged");
        let mut file = CheckedWriter::create(&damaged).unwrap();
        file.write_all(&content).unwrap();
        let facts = file.finish().unwrap();
        let table = open(&damaged, &facts);
        for (place, case) in cases.iter().enumerate() {
            for range in [0..rows, rows / 3..rows / 2] {
                if let Ok(column) = table.read(0, place, range.clone()) {
                    prop_assert_eq!(column.len(), range.len(), "{:?}", case);
                    cells_of(&column);
                }
            }
            table.may_contain(0, place, b"text 1");
        }
        let mut pages = table.group_pages(0).unwrap();
        while let Some(columns) = pages.next() {
            if columns.is_err() {
                prop_assert!(pages.next().is_none());
            }
        }
    }
}

/// Text of few and of many distinct values.
fn searched() -> (Vec<Case>, Groups) {
    let case = Case {
        kind: Kind::Text,
        coding: Coding::Dictionary,
        compressed: true,
        present: 100,
        distinct: 200,
        run: 1,
        seed: 1,
    };
    let cases = vec![case.clone(), Case { distinct: u64::MAX, ..case }];
    let groups = cells(&cases, &[20_000]);
    (cases, groups)
}

#[test]
fn absent_texts_are_ruled_out_by_dictionary_and_by_bloom_filter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (cases, groups) = searched();
    let facts = write(&path, &cases, &groups, 1);
    let table = open(&path, &facts);
    assert_eq!(table.place("attr.a.1"), Some(1));
    for place in 0..2 {
        for text in groups[0][place].iter().flatten() {
            assert!(table.may_contain(0, place, text));
        }
        let wrong =
            (0..1000).filter(|n| table.may_contain(0, place, format!("absent {n}").as_bytes()));
        assert!(wrong.count() <= [0, 100][place]);
    }
}

#[test]
fn batches_share_the_dictionary_of_their_row_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (cases, groups) = searched();
    let facts = write(&path, &cases, &groups, 1);
    let mut pages = open(&path, &facts).group_pages(0).unwrap();
    let mut seen: Vec<Arc<Texts>> = Vec::new();
    while let Some(columns) = pages.next() {
        seen.push(columns.unwrap()[0].codes().unwrap().1.clone());
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|texts| Arc::ptr_eq(texts, &seen[0])));
}

#[test]
fn large_texts_are_cut_into_pages_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (cases, _) = searched();
    let large = |n: u8| Some(vec![b'a' + n; 20 * 1024 * 1024]);
    let cells = vec![large(0), None, large(1), large(0), Some(b"small".to_vec()), None];
    let groups = vec![vec![cells.clone(), cells]];
    let facts = write(&path, &cases, &groups, 1);
    check_read(&open(&path, &facts), &groups, 1);
    check_arrow(&path, &cases, &groups);
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |kind| ColumnPlan {
        name: "a".to_owned(),
        kind,
        optional: false,
        coding: Coding::Plain,
        compressed: false,
        bloom: false,
    };
    let texts = Texts::default();
    let plans = vec![plan(Kind::Int32), plan(Kind::Int64)];
    let mut writer = TableWriter::create(&folder.path().join("file"), plans, 1).unwrap();
    assert!(writer.push(1, &Column::full(Values::Int32(vec![1])), &texts).is_err());
    writer.push(0, &Column::full(Values::Int32(vec![1])), &texts).unwrap();
    assert!(writer.end_group(&[&texts, &texts]).is_err());
    let sparse = Column::sparse(Bits::new(vec![1], 2), Values::Int64(vec![1]));
    assert!(writer.push(1, &sparse, &texts).is_err());
}
