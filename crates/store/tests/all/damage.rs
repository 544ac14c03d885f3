//! Blocks with wrong bytes: no panic, the rest answers and says that it is not all, the block is
//! set aside.

use std::path::Path;

use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use store::{AttributeCondition, Level, SearchRequest, SeriesRequest, SpanFilter, Store};

use crate::bench::{Bench, NOW, SECOND, block_folders, copy_folder, files};
use crate::oracle::Oracle;
use crate::search::paged;
use crate::sent::{Sent, int, request, text, trace_id};

#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip(usize),
    Cut(usize),
    Longer,
    Delete,
    Garbage,
}

impl Harm {
    /// Some of each; a few hundred bytes of each file are flipped at the most.
    fn all(length: usize) -> Vec<Self> {
        let step = (length / 24).max(1);
        let ends = [0, 1, length - 1, length - 5, length - 9].map(Self::Flip);
        let flips = (0..length).step_by(step).map(Self::Flip);
        let others = [Self::Cut(0), Self::Cut(length / 2), Self::Cut(length - 1)];
        let rest = [Self::Longer, Self::Delete, Self::Garbage];
        ends.into_iter().chain(flips).chain(others).chain(rest).collect()
    }

    fn happen(self, path: &Path) {
        let mut content = std::fs::read(path).unwrap();
        match self {
            Self::Flip(at) => content[at] ^= 0x41,
            Self::Cut(length) => content.truncate(length),
            Self::Longer => content.push(b'!'),
            Self::Delete => return std::fs::remove_file(path).unwrap(),
            Self::Garbage => content.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8),
        }
        std::fs::write(path, content).unwrap();
    }
}

/// Every table of a block has rows.
fn rich(trace: u64) -> Vec<Sent> {
    let attributes = vec![text("k", "v"), text("k", "w"), int("n", 1), int("n", 2)];
    let span = |at: u64| {
        let mut sent = Sent::new(trace, 10 * trace + at).times(NOW + trace, NOW + trace + SECOND);
        sent.span.attributes = attributes.clone();
        sent.span.events = vec![Event { attributes: attributes.clone(), ..Event::default() }];
        sent.span.links = vec![Link { attributes: attributes.clone(), ..Link::default() }];
        sent
    };
    (0..5).map(span).collect()
}

/// A closed store of two blocks, one of which will be harmed, and spans in the log.
fn two_blocks() -> Bench {
    let mut bench = Bench::with(|options| options.merge_blocks = 100);
    for trace in [1, 2] {
        bench.append(&request(&rich(trace)));
        bench.settle();
    }
    bench.append(&request(&rich(3)));
    bench.close();
    bench
}

fn unharmed() -> Vec<Sent> {
    [rich(2), rich(3)].concat()
}

fn filters() -> Vec<SpanFilter> {
    let mut all = vec![
        SpanFilter::default(),
        SpanFilter { operation: Some("GET /".to_owned()), ..SpanFilter::default() },
        SpanFilter { status: Some(0), ..SpanFilter::default() },
        SpanFilter { duration_min_nano: Some(1), ..SpanFilter::default() },
        SpanFilter { start_min_unix_nano: Some(NOW + 1), ..SpanFilter::default() },
    ];
    for level in [None, Some(Level::Span), Some(Level::Event), Some(Level::Link)] {
        for (key, value) in [("k", "v"), ("k", "w"), ("n", "2"), ("service.name", "api")] {
            let (key, value) = (key.to_owned(), value.to_owned());
            all.push(SpanFilter {
                attributes: vec![AttributeCondition { level, key, value }],
                ..SpanFilter::default()
            });
        }
    }
    all
}

/// Every kind of question. An answer without the harmed block's spans says so, unless the block
/// was set aside already.
fn ask_everything(bench: &Bench, what: &str) {
    let engine = bench.engine();
    let all = [rich(1), unharmed()].concat();
    let known = || engine.status().damaged_block_count > 0;
    for filter in filters() {
        let before = known();
        let search = SearchRequest { filter: filter.clone(), limit: 10, after: None };
        let page = bench.wait(engine.search(search)).unwrap();
        let whole = page.traces == Oracle(&all).search(&filter);
        let rest = page.traces == Oracle(&unharmed()).search(&filter);
        assert!(whole || (rest && (page.partial || before)), "{what}: {filter:?}: {page:?}");
        let series = SeriesRequest {
            filter,
            start_unix_nano: NOW,
            step_nano: SECOND,
            steps: 2,
            by: None,
            series_max: 2,
        };
        let before = known();
        let set = bench.wait(engine.series(series.clone())).unwrap();
        let whole = set.series == Oracle(&all).series(&series);
        assert!(whole || set.partial || before, "{what}: {series:?}: {set:?}");
    }
    for trace in 1..4 {
        let before = known();
        let read = bench.wait(engine.trace(trace_id(trace))).unwrap();
        let count = read.spans.map_or(0, |spans| spans.len());
        assert!(count == 5 || (trace == 1 && (read.partial || before)), "{what}: trace {trace}");
    }
    bench.wait(engine.summaries((1..4).map(trace_id).collect())).unwrap();
    bench.wait(engine.services()).unwrap();
    bench.wait(engine.operations(None)).unwrap();
    bench.wait(engine.attributes()).unwrap();
    bench.wait(engine.attribute_values(None, "k".to_owned(), 9)).unwrap();
}

fn assert_rest_is_whole(bench: &Bench, what: &str) {
    let (engine, held) = (bench.engine(), unharmed());
    let all = SpanFilter::default();
    assert_eq!(paged(bench, &all, 10), Oracle(&held).search(&all), "{what}");
    assert_eq!(bench.wait(engine.services()).unwrap(), Oracle(&held).services(), "{what}");
    assert_eq!(bench.wait(engine.attributes()).unwrap(), Oracle(&held).attributes(), "{what}");
    bench.assert_holds(what, &request(&held));
}

#[test]
fn any_harm_to_any_file_of_a_block_is_found_and_the_rest_answers() {
    let bench = two_blocks();
    let names: Vec<_> = files(&block_folders(&bench.folder())[0]);
    assert_eq!(names.len(), 11, "every kind of file: {names:?}");
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for harm in Harm::all(path.metadata().unwrap().len() as usize) {
            let what = format!("{name}: {harm:?}");
            let mut store = Bench::closed(|options| options.merge_blocks = 100);
            copy_folder(&bench.folder(), &store.folder());
            harm.happen(&block_folders(&store.folder())[0].join(&name));
            store.open();
            ask_everything(&store, &what);
            let status = store.engine().status();
            assert_eq!((status.damaged_block_count, status.block_count), (1, 1), "{what}");
            assert_eq!(files(&store.folder().join("damaged")).len(), 1, "{what}");
            assert_rest_is_whole(&store, &what);
        }
    }
}

#[test]
fn the_first_answer_without_a_block_says_so() {
    let bench = two_blocks();
    for (name, first) in [("spans.parquet", 0), ("events-rest.parquet", 1), ("traces.parquet", 2)] {
        let mut store = Bench::closed(|options| options.merge_blocks = 100);
        copy_folder(&bench.folder(), &store.folder());
        Harm::Flip(0).happen(&block_folders(&store.folder())[0].join(name));
        store.open();
        let engine = store.engine();
        assert_eq!(engine.status().damaged_block_count, 0, "pages are read when asked for");
        let partial = match first {
            0 => store.wait(engine.trace(trace_id(1))).unwrap().partial,
            1 => {
                let attributes = filters().pop().unwrap().attributes;
                let condition = AttributeCondition { level: None, ..attributes[0].clone() };
                let filter = SpanFilter { attributes: vec![condition], ..SpanFilter::default() };
                let search = SearchRequest { filter, limit: 9, after: None };
                store.wait(engine.search(search)).unwrap().partial
            }
            _ => {
                let search = SearchRequest { filter: SpanFilter::default(), limit: 9, after: None };
                store.wait(engine.search(search)).unwrap().partial
            }
        };
        assert!(partial, "{name}");
        assert_eq!(engine.status().damaged_block_count, 1, "{name}");
        assert_rest_is_whole(&store, name);
    }
}

/// Compaction is a reader as well: it sets the block aside and goes on with the others.
#[test]
fn compaction_goes_on_without_a_damaged_block() {
    let bench = two_blocks();
    for name in ["spans.parquet", "links-rest.parquet", "scopes.parquet", "traces.parquet"] {
        let mut store = Bench::closed(|_| {});
        copy_folder(&bench.folder(), &store.folder());
        Harm::Flip(20).happen(&block_folders(&store.folder())[0].join(name));
        store.open();
        store.settle();
        let status = store.engine().status();
        assert_eq!((status.damaged_block_count, status.block_count), (1, 1), "{name}");
        assert_rest_is_whole(&store, name);
    }
}
