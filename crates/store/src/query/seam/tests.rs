//! Seams of small stores, looked at from inside.

use bytes::Bytes;
use model::SpanBatch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::*;

/// A piece with a span of each trace, named by it, that starts at a time.
pub(crate) fn piece(name: &str, traces: u8, start: u64) -> Arc<dyn Piece> {
    piece_lasting(name, traces, start, |_| 0)
}

/// The same with spans that last so many nanoseconds, by their traces.
pub(crate) fn piece_lasting(
    name: &str,
    traces: u8,
    start: u64,
    duration: impl Fn(u8) -> u64,
) -> Arc<dyn Piece> {
    let span = |trace| Span {
        trace_id: vec![trace; 16],
        span_id: start.to_be_bytes().to_vec(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + duration(trace),
        name: trace.to_string(),
        ..Span::default()
    };
    let spans = (1..=traces).map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let batch = SpanBatch::decode(Bytes::from(bytes)).unwrap();
    let mut chunk = ChunkBuilder::default();
    chunk.append(&batch, 0, &mut ScopePool::default());
    Arc::new(chunk.freeze(name.to_owned()))
}

pub(crate) fn view_of(pieces: Pieces) -> View {
    let (open, damaged, lacks_blocks, seams, probe) = Default::default();
    View { pieces, open, damaged, lacks_blocks, seams, probe, pause: None }
}

fn view() -> View {
    view_of(vec![piece("a", 9, 1), piece("b", 5, 2), piece("c", 3, 3), piece("d", 7, 4)])
}

/// What the first of some passes puts together.
fn first(passes: Passes, view: &mut View) -> Seam {
    let mut passes = passes;
    passes.next(view, &Cancel::default()).unwrap().unwrap().seam
}

fn pipeline(query: &str) -> Pipeline {
    let traceql::QueryKind::Search(pipeline) = traceql::parse(query).unwrap().kind else {
        panic!("no search: {query}");
    };
    pipeline
}

/// Ids of the traces in some pieces.
fn ids(pieces: &Pieces) -> Vec<u8> {
    let ids = pieces.iter().flat_map(|piece| piece.index().unwrap().ids.clone());
    ids.map(|id| id as u8).collect()
}

fn traces(seam: &Seam) -> usize {
    seam.ids.len()
}

#[test]
fn nothing_is_put_together_for_nobody() {
    let (mut view, cancel) = (view(), Cancel::default());
    cancel.cancel();
    let seam = Seam::of(&mut view, &cancel);
    assert!(matches!(seam, Err(Stop::Cancelled)));
    let passes = Passes::of_doubles(&mut view, |piece| piece.id() < "c", &cancel, PASS_SPANS);
    assert!(matches!(passes, Err(Stop::Cancelled)));
    let pieces = view.pieces.clone();
    let ids = several(&mut view, &pieces, &Cancel::default()).unwrap_or_default();
    let ids = ids.ids.clone();
    assert_eq!(ids.len(), 7);
    assert!(matches!(from_memory(&mut view, &pieces, &ids, &cancel), Err(Stop::Cancelled)));
    assert!(matches!(block_parts(&mut view, &pieces, &ids, &cancel), Err(Stop::Cancelled)));
    assert!(view.seams.lock().all.value.is_none() && view.seams.lock().block_parts.is_empty());
    let seam = Seam::of(&mut view, &Cancel::default()).unwrap_or_default();
    assert_eq!(traces(&seam), 7);
}

#[test]
fn only_traces_with_a_span_in_two_pieces_are_put_together_for_what_looks_at_spans() {
    // The last two pieces have other spans of the same traces.
    let pieces = [("a", 9, 1), ("b", 5, 1), ("c", 3, 1), ("d", 7, 2), ("e", 6, 3)];
    let pieces = pieces.map(|(name, traces, start)| piece(name, traces, start));
    let (mut view, cancel) = (view_of(pieces.to_vec()), Cancel::default());
    let mut doubles = |names: &[&str]| {
        let holds = |piece: &dyn Piece| names.contains(&piece.id());
        let passes = Passes::of_doubles(&mut view, holds, &cancel, PASS_SPANS).unwrap();
        let seam = first(passes, &mut view);
        assert_eq!(
            seam.pieces.iter().map(|piece| piece.index().unwrap().len()).sum::<usize>(),
            traces(&seam)
        );
        traces(&seam)
    };
    for (names, count) in [
        (&["b", "c"][..], 3),
        (&["a", "b"], 5),
        (&["a"], 0),
        (&["a", "d"], 0),
        (&["a", "d", "c"], 3),
        (&["a", "b", "c", "d", "e"], 5),
        (&["d", "e"], 0),
    ] {
        // The second time by what was kept.
        assert_eq!([doubles(names), doubles(names)], [count; 2], "{names:?}");
    }
    assert_eq!(traces(&Seam::of(&mut view, &cancel).unwrap()), 7);
}

#[test]
fn traces_that_lack_what_a_query_looks_for_are_not_put_together() {
    let joined = |query: &str| {
        let (mut view, cancel) = (view(), Cancel::default());
        let passes = Passes::of_pipeline(&mut view, &pipeline(query), &cancel, PASS_SPANS);
        let seam = first(passes.unwrap(), &mut view);
        assert_eq!(traces(&seam), 7, "{query}");
        ids(&seam.pieces)
    };
    for (query, expected) in [
        ("{ name = `3` } >> { }", &[3][..]),
        ("{ } >> { name = `3` || name = `5` }", &[3, 5]),
        ("{ name = `3` } >> { name = `5` }", &[]),
        ("{ name = `3` } && { name = `5` }", &[]),
        ("{ name = `3` } || { name = `5` } | count() > 1", &[3, 5]),
        // Whether it is not there cannot be told of a part.
        ("{ name = `3` } !>> { name = `5` }", &[5]),
        // What is true of most is asked of all, and kept.
        ("{ } >> { }", &[1, 2, 3, 4, 5, 6, 7]),
        ("{ rootName = `1` } >> { }", &[1, 2, 3, 4, 5, 6, 7]),
        // In one piece alone.
        ("{ name = `8` } >> { }", &[]),
    ] {
        assert_eq!(joined(query), expected, "{query}");
    }
}

#[test]
fn places_are_found_whatever_lies_between() {
    let index = TraceIndex { ids: vec![3, 4, 7, 20, 21, 22, 40], ..TraceIndex::default() };
    for ids in [&[][..], &[1], &[3], &[40], &[41], &[1, 2, 3, 5, 20, 22, 39, 40, 50], &[4, 21]] {
        let expected = ids
            .iter()
            .enumerate()
            .filter_map(|(number, id)| Some((index.ids.iter().position(|of| of == id)?, number)));
        assert_eq!(places(&index, ids), expected.collect::<Vec<_>>(), "{ids:?}");
    }
    assert!(places(&TraceIndex::default(), &[1, 2]).is_empty());
}

#[test]
fn what_is_in_several_pieces_is_known_with_its_times() {
    let mut view = view();
    let pieces = view.pieces.clone();
    let some = several(&mut view, &pieces[1..].to_vec(), &Cancel::default()).unwrap();
    assert_eq!(some.ids.iter().map(|id| *id as u8).collect::<Vec<u8>>(), [1, 2, 3, 4, 5]);
    assert_eq!(some.times, [(2, 4), (2, 4), (2, 4), (2, 4), (2, 4)]);
    let pieces = vec![piece("a", 3, 9), piece("b", 3, 7), piece("c", 2, 8), piece("d", 1, 5)];
    let some = several(&mut view_of(pieces.clone()), &pieces, &Cancel::default()).unwrap();
    assert_eq!(some.times, [(5, 9), (7, 9), (7, 9)]);
    assert_eq!(*some.newest.last().unwrap(), 0);
    // By and by the same as at once.
    let pieces: Pieces =
        (0..9).map(|at| piece(&format!("{at}"), 9 - at, 20 - u64::from(at % 5))).collect();
    let mut view = view_of(pieces.clone());
    let cancel = Cancel::default();
    let mut known = several(&mut view, &pieces[..2].to_vec(), &cancel).unwrap();
    for from in [2, 5] {
        let (all, new) = (pieces[..from + 3].to_vec(), pieces[from..from + 3].to_vec());
        known = several_more(&mut view, &known, &all, &new, &cancel).unwrap();
        let whole = several(&mut view, &all, &cancel).unwrap();
        assert_eq!((&known.ids, &known.times), (&whole.ids, &whole.times), "{from}");
    }
    let names = names(&pieces[..3]);
    let of = |pieces: &[Arc<dyn Piece>]| added(&names, &pieces.to_vec()).map(|added| added.len());
    assert_eq!(
        [of(&pieces[..3]), of(&pieces[..5]), of(&pieces[..6]), of(&pieces[1..5])],
        [Some(0), Some(2), None, None]
    );
}

#[test]
fn merged_parts_of_a_block_are_not_merged_again() {
    for traces in [1, 64, PIECE_TRACES, PIECE_TRACES + 1, 100 * PIECE_TRACES] {
        let merged = traces.div_ceil(PIECE_TRACES);
        assert!((merged + PARTS_MAX..merged + 2 * PARTS_MAX).contains(&parts_max(traces)));
    }
}

#[test]
fn passes_have_every_trace_once_whatever_has_room_in_one() {
    let cancel = Cancel::default();
    let doubled = || {
        let pieces = [("a", 9, 1), ("b", 5, 1), ("c", 3, 1), ("d", 7, 2)];
        view_of(pieces.map(|(name, traces, start)| piece(name, traces, start)).to_vec())
    };
    for spans_max in 1..40 {
        for (view, by, together, apart) in [
            (view(), "all", 7, 7),
            (view(), "{ } && { }", 7, 7),
            (view(), "{ name = `3` || name = `5` } && { }", 2, 7),
            (doubled(), "doubles", 5, 5),
        ] {
            let mut view = view;
            let passes = match by {
                "all" => Passes::of_all(&mut view, &cancel, spans_max),
                "doubles" => Passes::of_doubles(&mut view, |_| true, &cancel, spans_max),
                query => Passes::of_pipeline(&mut view, &pipeline(query), &cancel, spans_max),
            };
            let (mut passes, mut found, mut count) = (passes.unwrap(), Vec::new(), 0);
            while let Some(pass) = passes.next(&mut view, &cancel).unwrap() {
                let (own, put): (Pieces, Pieces) = pass
                    .pieces
                    .iter()
                    .cloned()
                    .partition(|piece| view.pieces.iter().any(|own| own.id() == piece.id()));
                assert_eq!(own.len(), if count == 0 { view.pieces.len() } else { 0 }, "{by}");
                for piece in own {
                    assert_eq!(pass.apart(piece.as_ref()).len(), apart, "{by}");
                }
                assert!(count == 0 || put.len() == 1 || spans_max > 4, "{by}: {spans_max}");
                found.extend(ids(&put));
                count += 1;
            }
            found.sort_unstable();
            let expected: Vec<u8> =
                if together == 2 { vec![3, 5] } else { (1..=together).collect() };
            assert_eq!(found, expected, "{by}: {spans_max}");
            assert_eq!(passes.spans_left(), 0);
            assert!(if spans_max == 1 { count > 2 } else { spans_max < 39 || count == 1 }, "{by}");
        }
    }
}
