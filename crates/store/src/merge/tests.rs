//! Pieces that are merged in memory are what a block of them holds; some of their traces are what a
//! look at every piece finds.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::{SpanBatch, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

use super::*;
use crate::block::{Block, Cache};
use crate::builder::ChunkBuilder;
use crate::catalog::Catalogs;
use crate::columns::Table;
use crate::scopes::ScopePool;
use crate::search::View;
use crate::trace;

#[allow(dead_code, reason = "the model's generator, of which a part serves here")]
#[path = "../../../model/tests/all/arbitrary.rs"]
mod arbitrary;

use arbitrary::Shape;

/// Spans of few traces, so that their parts meet again, with parents here and there, and some
/// requests sent twice.
fn requests() -> impl Strategy<Value = Vec<Bytes>> {
    (vec(Shape::Any.request(), 1..6), vec(any::<Index>(), 0..3)).prop_map(|(mut all, twice)| {
        let mut number = 0u64;
        for request in &mut all {
            for scope in request.resource_spans.iter_mut().flat_map(|spans| &mut spans.scope_spans)
            {
                for span in &mut scope.spans {
                    number += 1;
                    span.trace_id = vec![(number % 5) as u8 + 1; 16];
                    span.span_id = number.to_be_bytes().to_vec();
                    span.parent_span_id = (number * 7 % 23).to_be_bytes().to_vec();
                }
            }
        }
        let again: Vec<ExportTraceServiceRequest> =
            twice.iter().map(|index| index.get(&all).clone()).collect();
        all.iter().chain(&again).map(|request| Bytes::from(request.encode_to_vec())).collect()
    })
}

/// A chunk of each of these requests.
fn chunks(requests: impl IntoIterator<Item = Bytes>) -> Vec<Arc<dyn Piece>> {
    let mut pool = ScopePool::default();
    let chunk = |(at, request): (usize, Bytes)| {
        let mut chunk = ChunkBuilder::default();
        chunk.append(&SpanBatch::decode(request).unwrap(), 1, &mut pool);
        Arc::new(chunk.freeze(format!("chunk-{at}"))) as Arc<dyn Piece>
    };
    requests.into_iter().enumerate().map(chunk).filter(|chunk| chunk.span_count() > 0).collect()
}

fn block(folder: &std::path::Path, pieces: &[Arc<dyn Piece>]) -> Block {
    let mut start_ranges = StartRanges::default();
    pieces.iter().for_each(|piece| start_ranges.join(&piece.start_ranges()));
    let facts = BlockFacts {
        id: "block".to_owned(),
        created_unix_nano: 0,
        received_min_unix_nano: 0,
        received_max_unix_nano: 0,
        start_ranges,
        log_through: 0,
        replaces: Vec::new(),
    };
    let folder = folder.join("block");
    let meta = merge(pieces, folder.clone(), facts, 1, &|| false).unwrap();
    Block::open(&folder, meta, Arc::new(Cache::new(1 << 20))).unwrap()
}

fn value(column: &Column, row: usize) -> Option<String> {
    let at = column.place(row)?;
    Some(match column.values() {
        Values::Codes(codes, texts) => format!("{:?}", texts.get(codes[at])),
        Values::Int32(values) => values[at].to_string(),
        Values::Int64(values) => values[at].to_string(),
        Values::Double(values) => values[at].to_bits().to_string(),
        Values::Bool(values) => values[at].to_string(),
        Values::Id8(values) => values[at].to_string(),
        Values::Id16(values) => values[at].to_string(),
    })
}

/// The columns of a table that have values, by name, row by row.
fn columns(piece: &dyn Piece, table: Table) -> BTreeMap<String, Vec<Option<String>>> {
    let names = piece.columns(table).unwrap();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows = piece.row_count(table);
    let read = piece.read(table, 0..rows, &names).unwrap();
    let named = names.into_iter().zip(read).filter_map(|(name, column)| Some((name, column?)));
    named
        .filter(|(_, column)| column.values().len() > 0)
        .map(|(name, column)| {
            assert_eq!(column.len(), rows, "{name}");
            (name.to_owned(), (0..rows).map(|row| value(&column, row)).collect())
        })
        .collect()
}

fn assert_same(one: &dyn Piece, two: &dyn Piece) {
    for table in Table::ALL {
        assert_eq!(one.row_count(table), two.row_count(table), "rows of {table:?}");
        let (one, two) = (columns(one, table), columns(two, table));
        assert!(one.keys().eq(two.keys()), "{table:?}: {:?}, {:?}", one.keys(), two.keys());
        for (name, values) in one {
            assert!(values == two[&name], "{table:?}, {name}");
        }
    }
    assert_eq!(one.start_ranges(), two.start_ranges());
    let (traces, others) = (one.traces().unwrap(), two.traces().unwrap());
    assert_eq!((&traces.ids, &traces.first_row), (&others.ids, &others.first_row));
    for trace in 0..traces.len() {
        assert_eq!(traces.summary(trace), others.summary(trace));
    }
    let messages = |piece: &dyn Piece| -> Vec<Bytes> {
        piece.scopes().unwrap().iter().map(|row| row.message().clone()).collect()
    };
    assert_eq!(messages(one), messages(two));
    let (catalog, other) = (catalog(one), catalog(two));
    assert_eq!(catalog.services(), other.services());
    assert_eq!(catalog.operations(None), other.operations(None));
    assert_eq!(catalog.attributes(), other.attributes());
}

fn catalog(piece: &dyn Piece) -> Catalogs {
    Catalogs(vec![piece.catalog().unwrap()])
}

fn view(pieces: Vec<Arc<dyn Piece>>) -> View {
    let (damaged, seams) = Default::default();
    View {
        pieces,
        open: None,
        damaged,
        lacks_blocks: false,
        seams,
        probe: Arc::default(),
        pause: None,
    }
}

/// A trace as OTLP, from these pieces.
fn read(pieces: &[Arc<dyn Piece>], id: u128) -> Option<Bytes> {
    let read = trace::read(&mut view(pieces.to_vec()), TraceId::from_number(id));
    assert!(!read.partial);
    read.spans.map(|spans| spans.bytes().clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn memory_holds_what_a_block_holds(requests in requests()) {
        let chunks = chunks(requests);
        if !chunks.is_empty() {
            let folder = tempfile::tempdir().unwrap();
            let merged = merge_in_memory_with("merged".to_owned(), &chunks, Limits::BLOCK).unwrap();
            let block = block(folder.path(), &chunks);
            assert_same(&merged, &block);
            for row in catalog(&block).attributes() {
                let values = |piece: &dyn Piece| {
                    catalog(piece).attribute_values(Some(row.level), &row.key, 1_000)
                };
                prop_assert_eq!(values(&merged), values(&block), "{:?}", row);
            }
        }
    }

    /// All traces, and some: those are read from each chunk before they are merged.
    #[test]
    fn merged_traces_are_those_of_the_pieces(requests in requests(), chosen in any::<[bool; 5]>()) {
        let chunks = chunks(requests);
        let whole = merge_in_memory("merged".to_owned(), &chunks).unwrap();
        let mut parts: Vec<Arc<dyn Piece>> = Vec::new();
        let mut ids: BTreeSet<u128> = BTreeSet::new();
        for piece in chunks.iter().filter_map(|chunk| chunk.memory()) {
            let table = piece.traces().unwrap();
            let some = (0..table.len()).filter(|&at| chosen[(table.ids[at] % 5) as usize]);
            let some: Vec<usize> = some.collect();
            ids.extend(some.iter().map(|&at| table.ids[at]));
            parts.push(Arc::new(piece.of_traces(&some)));
        }
        let some = merge_in_memory("some".to_owned(), &parts).unwrap();
        let table = whole.traces().unwrap();
        let places: Vec<usize> =
            (0..table.len()).filter(|&at| ids.contains(&table.ids[at])).collect();
        let (picked, told) = (table.pick(&places), some.traces().unwrap());
        prop_assert_eq!((&picked.ids, &picked.first_row), (&told.ids, &told.first_row));
        for trace in 0..told.len() {
            prop_assert_eq!(picked.summary(trace), told.summary(trace));
        }
        let alone = |piece: MemoryPiece| -> Vec<Arc<dyn Piece>> { vec![Arc::new(piece)] };
        let (whole, some) = (alone(whole), alone(some));
        for &id in &table.ids {
            let expected = read(&chunks, id);
            prop_assert!(read(&whole, id) == expected, "{id:032x}");
            if ids.contains(&id) {
                prop_assert!(read(&parts, id) == expected, "a part of {id:032x}");
                prop_assert!(read(&some, id) == expected, "{id:032x} among some");
            } else {
                prop_assert!(read(&some, id).is_none());
            }
        }
    }
}

/// More than a stretch, texts beyond count, and attributes too rare for a column.
#[test]
fn many_spans_in_memory_are_those_of_a_block() {
    let mut generator = loadgen::Generator::new(loadgen::Options::default());
    let mut out = Vec::new();
    let spans = chunks((0..5).map(|at| {
        generator.request(BATCH_ROWS / 4, 1_800_000_000_000_000_000 + at * 1_000_000, &mut out);
        Bytes::from(std::mem::take(&mut out))
    }));
    let merged = merge_in_memory_with("merged".to_owned(), &spans, Limits::BLOCK).unwrap();
    assert!(merged.span_count() > BATCH_ROWS && merged.row_count(Table::SpansRest) > 0);
    let folder = tempfile::tempdir().unwrap();
    assert_same(&merged, &block(folder.path(), &spans));
    // All attributes of chunks keep their columns in memory.
    let merged = merge_in_memory("merged".to_owned(), &spans).unwrap();
    let all: BTreeSet<String> =
        spans.iter().flat_map(|chunk| chunk.columns(Table::Spans).unwrap()).collect();
    assert_eq!(BTreeSet::from_iter(merged.columns(Table::Spans).unwrap()), all);
}
