//! Traces that lie in several pieces, put together: a query judges them there and nowhere else.
//!
//! They are in layers, so that little is done anew while spans come: traces of several blocks,
//! those of several frozen pieces of the head, those of both, and those with spans in the open end
//! of the head. A trace of several layers is whole in the last of them.

use std::sync::Arc;

use model::TraceId;
use parking_lot::Mutex;

use super::{Cancel, Stop, in_parallel};
use crate::builder::ChunkBuilder;
use crate::memory::MemoryPiece;
use crate::merge::{MergeError, merge_in_memory};
use crate::piece::{Damaged, Piece};
use crate::scopes::ScopePool;
use crate::search::View;
use crate::trace;

/// Traces that are put together in a piece: some 16,000 spans, so that the cores share the work.
const PIECE_TRACES: usize = 1024;

/// Spans of a layer that are kept for the queries to come.
const KEPT_SPANS_MAX: usize = 128 * 1024;

/// Traces that are read from a block at a time.
const READ_TRACES: usize = 64;

/// Pieces with spans of a block that are kept beside those that were made of earlier ones.
const PARTS_MAX: usize = 8;

type Pieces = Vec<Arc<dyn Piece>>;

/// Ids of traces, ascending, each once.
type Ids = Arc<Vec<u128>>;

/// Traces that lie in several pieces.
#[derive(Default, Clone)]
pub(crate) struct Seam {
    /// All spans of them.
    pub(crate) pieces: Pieces,
    ids: Ids,
    /// For each piece the traces of the layers behind its own.
    later: Vec<Ids>,
}

impl Seam {
    /// Of all pieces.
    pub(super) fn of(view: &mut View, cancel: &Cancel) -> Result<Self, Stop> {
        let names = names(&view.pieces);
        let small = |seam: &Self| span_count(&seam.pieces) <= 3 * KEPT_SPANS_MAX;
        kept(view, |kept| &mut kept.all, names, small, |view| Self::build(view, cancel))
    }

    /// Of those pieces for which this holds; the spans of the others must be of no interest. What
    /// is kept of it does not take the place of what is kept of all pieces.
    pub(super) fn where_pieces(
        view: &mut View,
        holds: impl Fn(&dyn Piece) -> bool,
        cancel: &Cancel,
    ) -> Result<Self, Stop> {
        let pieces: Pieces =
            view.pieces.iter().filter(|piece| holds(piece.as_ref())).cloned().collect();
        if pieces.len() == view.pieces.len() {
            return Self::of(view, cancel);
        }
        if pieces.len() < 2 {
            return Ok(Self::default());
        }
        let known = view.seams.lock().all.get(&names(&view.pieces));
        if let Some(seam) = known {
            return Ok(seam);
        }
        let seams = view.seams.lock().of_some.get_or_insert_default().clone();
        let open = view.open.clone();
        let lacks_blocks = view.lacks_blocks;
        let mut some = View { pieces, open, damaged: Vec::new(), lacks_blocks, seams };
        let seam = Self::of(&mut some, cancel);
        for damaged in some.damaged {
            view.note::<()>(Err(damaged));
        }
        seam
    }

    fn build(view: &mut View, cancel: &Cancel) -> Result<Self, Stop> {
        let shared = SharedTraces::of(view, cancel)?;
        let Layout { blocks, frozen, open } = Layout::of(view);
        let small = |pieces: &Pieces| span_count(pieces) <= KEPT_SPANS_MAX;
        let of_blocks = kept(
            view,
            |kept| &mut kept.blocks,
            names(&blocks),
            small,
            |view| {
                let parts = block_parts(view, &blocks, &shared.blocks, cancel)?;
                from_memory(view, &parts, &shared.blocks, cancel)
            },
        )?;
        let of_frozen = kept(
            view,
            |kept| &mut kept.frozen,
            names(&frozen),
            small,
            |view| from_memory(view, &frozen, &shared.frozen, cancel),
        )?;
        let both = names(blocks.iter().chain(&frozen));
        let of_both = kept(
            view,
            |kept| &mut kept.mixed,
            both,
            small,
            |view| {
                let parts = block_parts(view, &blocks, &shared.mixed, cancel)?;
                from_memory(view, &[&frozen[..], &parts].concat(), &shared.mixed, cancel)
            },
        )?;
        let parts = block_parts(view, &blocks, &shared.open_in_blocks, cancel)?;
        let pieces = [&open[..], &frozen, &parts].concat();
        let of_open = from_memory(view, &pieces, &shared.open, cancel)?;

        let mut all = Self::default();
        // The last layer first.
        for (pieces, ids) in [
            (of_open, &shared.open),
            (of_both, &shared.mixed),
            (of_frozen, &shared.frozen),
            (of_blocks, &shared.blocks),
        ] {
            all.pieces.extend(pieces);
            all.later.resize(all.pieces.len(), all.ids.clone());
            if !ids.is_empty() {
                all.ids = Arc::new(union([&all.ids, ids]));
            }
        }
        Ok(all)
    }

    /// The traces of a piece that are to be judged in another one, ascending: of the store's pieces
    /// all that are put together here, and of these here those that a later layer has.
    pub(super) fn apart(&self, piece: &dyn Piece) -> &[u128] {
        let is_own = |own: &Arc<dyn Piece>| std::ptr::addr_eq(Arc::as_ptr(own), piece);
        match self.pieces.iter().position(is_own) {
            Some(at) => &self.later[at],
            None => &self.ids,
        }
    }
}

/// Traces of several pieces, by where their parts are.
pub(super) struct SharedTraces {
    /// In several blocks.
    blocks: Ids,
    /// In several frozen pieces of the head.
    frozen: Ids,
    /// In a frozen piece and in a block.
    mixed: Ids,
    /// In the open piece and in another.
    open: Ids,
    /// Those of them that are in a block.
    open_in_blocks: Ids,
}

impl SharedTraces {
    pub(super) fn of(view: &mut View, cancel: &Cancel) -> Result<Self, Stop> {
        let Layout { blocks, frozen, open } = Layout::of(view);
        let of_blocks = kept(
            view,
            |kept| &mut kept.block_ids,
            names(&blocks),
            always,
            |view| several(view, &blocks, cancel),
        )?;
        let of_frozen = kept(
            view,
            |kept| &mut kept.frozen_ids,
            names(&frozen),
            always,
            |view| several(view, &frozen, cancel),
        )?;
        let mut in_blocks = in_blocks(view, &blocks, open.iter().chain(&frozen), cancel)?;
        let open_in_blocks: Ids = Arc::new(union(in_blocks.drain(..open.len())));
        let mut of_open = open_in_blocks.to_vec();
        for piece in &open {
            let elsewhere = |id: &&u128| {
                let id = TraceId::from_number(**id);
                frozen.iter().any(|piece| piece.may_hold(id))
            };
            let table = view.note(piece.traces()).unwrap_or_default();
            of_open.extend(table.ids.iter().filter(elsewhere));
        }
        Ok(Self {
            blocks: of_blocks,
            frozen: of_frozen,
            mixed: Arc::new(union(in_blocks)),
            open: Arc::new(union([of_open])),
            open_in_blocks,
        })
    }

    /// All of them, ascending.
    pub(super) fn ids(&self) -> Vec<u128> {
        union([&self.blocks, &self.frozen, &self.mixed, &self.open])
    }
}

/// What follows from pieces that stay as they are, for the queries to come.
#[derive(Default)]
pub(crate) struct KeptSeams {
    block_ids: Kept<Ids>,
    frozen_ids: Kept<Ids>,
    /// For pieces in memory, by name, their traces that are in blocks.
    in_blocks: Kept<Vec<(String, Ids)>>,
    block_parts: Vec<BlockPart>,
    blocks: Kept<Pieces>,
    frozen: Kept<Pieces>,
    mixed: Kept<Pieces>,
    /// As long as nothing arrives.
    all: Kept<Seam>,
    /// The same of some pieces alone, for queries that ask for a part of the time.
    of_some: Option<Arc<Mutex<KeptSeams>>>,
}

/// What follows from the pieces of these names.
#[derive(Clone, Default)]
struct Kept<T> {
    names: Vec<String>,
    value: Option<T>,
}

impl<T: Clone> Kept<T> {
    fn get(&self, names: &[String]) -> Option<T> {
        self.value.clone().filter(|_| self.names == names)
    }
}

/// What a block has of some traces, in memory.
#[derive(Clone)]
struct BlockPart {
    block: String,
    /// Those that were looked for.
    ids: Ids,
    pieces: Pieces,
}

/// What was kept for pieces of these names, or is made now, and kept where it is `small`.
fn kept<T: Clone>(
    view: &mut View,
    slot: fn(&mut KeptSeams) -> &mut Kept<T>,
    names: Vec<String>,
    small: impl FnOnce(&T) -> bool,
    make: impl FnOnce(&mut View) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let known = slot(&mut view.seams.lock()).get(&names);
    if let Some(value) = known {
        return Ok(value);
    }
    let value = make(view)?;
    // What lacks a block is right for this view alone.
    if view.damaged.is_empty() && small(&value) {
        *slot(&mut view.seams.lock()) = Kept { names, value: Some(value.clone()) };
    }
    Ok(value)
}

fn always<T>(_: &T) -> bool {
    true
}

/// The pieces of the store.
struct Layout {
    blocks: Pieces,
    frozen: Pieces,
    /// The piece that takes new spans, if it has any.
    open: Pieces,
}

impl Layout {
    fn of(view: &View) -> Self {
        let (blocks, memory): (Pieces, Pieces) =
            view.pieces.iter().cloned().partition(|piece| piece.memory().is_none());
        let is_open = |piece: &Arc<dyn Piece>| view.open.as_deref() == Some(piece.id());
        let (open, frozen) = memory.into_iter().partition(is_open);
        Self { blocks, frozen, open }
    }
}

fn names<'p>(pieces: impl IntoIterator<Item = &'p Arc<dyn Piece>>) -> Vec<String> {
    pieces.into_iter().map(|piece| piece.id().to_owned()).collect()
}

fn span_count(pieces: &Pieces) -> usize {
    pieces.iter().map(|piece| piece.span_count()).sum()
}

/// All ids of some lists, ascending, each once.
fn union(lists: impl IntoIterator<Item = impl AsRef<Vec<u128>>>) -> Vec<u128> {
    let mut all: Vec<u128> = Vec::new();
    lists.into_iter().for_each(|list| all.extend(list.as_ref()));
    // Quick on runs that are sorted already.
    all.sort();
    all.dedup();
    all
}

/// The traces that are in several of these pieces.
fn several(view: &mut View, pieces: &Pieces, cancel: &Cancel) -> Result<Ids, Stop> {
    let mut ids: Vec<u128> = Vec::new();
    for piece in pieces {
        cancel.check()?;
        ids.extend(view.note(piece.traces()).iter().flat_map(|table| &table.ids));
    }
    ids.sort();
    let twice = ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let mut twice: Vec<u128> = twice.collect();
    twice.dedup();
    Ok(Arc::new(twice))
}

/// For each piece its traces that are in a block, too.
fn in_blocks<'p>(
    view: &mut View,
    blocks: &Pieces,
    pieces: impl Iterator<Item = &'p Arc<dyn Piece>>,
    cancel: &Cancel,
) -> Result<Vec<Ids>, Stop> {
    let block_names = names(blocks);
    let known = view.seams.lock().in_blocks.get(&block_names).unwrap_or_default();
    let mut all: Vec<(String, Ids)> = Vec::new();
    for piece in pieces {
        cancel.check()?;
        let known = known.iter().find(|(name, _)| name == piece.id());
        let ids = match known {
            Some((_, ids)) => ids.clone(),
            None => Arc::new(ids_in_blocks(view, blocks, piece.as_ref())),
        };
        all.push((piece.id().to_owned(), ids));
    }
    if view.damaged.is_empty() {
        let kept = Kept { names: block_names, value: Some(all.clone()) };
        view.seams.lock().in_blocks = kept;
    }
    Ok(all.into_iter().map(|(_, ids)| ids).collect())
}

fn ids_in_blocks(view: &mut View, blocks: &Pieces, piece: &dyn Piece) -> Vec<u128> {
    let own = view.note(piece.traces()).unwrap_or_default();
    let mut ids: Vec<u128> = Vec::new();
    for block in blocks {
        let may = |id: &&u128| block.may_hold(TraceId::from_number(**id));
        let may: Vec<u128> = own.ids.iter().filter(may).copied().collect();
        if !may.is_empty() {
            let table = view.note(block.traces()).unwrap_or_default();
            ids.extend(may.into_iter().filter(|id| table.ids.binary_search(id).is_ok()));
        }
    }
    union([ids])
}

/// The spans that the blocks have of these traces, and perhaps of others, in memory: reading blocks
/// is what takes most time.
fn block_parts(
    view: &mut View,
    blocks: &Pieces,
    ids: &[u128],
    cancel: &Cancel,
) -> Result<Pieces, Stop> {
    let known = view.seams.lock().block_parts.clone();
    let known_of = |block: &Arc<dyn Piece>| known.iter().find(|part| part.block == block.id());
    let mut parts: Vec<BlockPart> = Vec::new();
    let mut to_read: Vec<(usize, Vec<u128>)> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let mut part = known_of(block).cloned().unwrap_or_else(|| BlockPart {
            block: block.id().to_owned(),
            ids: Arc::default(),
            pieces: Vec::new(),
        });
        let is_new = |id: &&u128| {
            part.ids.binary_search(id).is_err() && block.may_hold(TraceId::from_number(**id))
        };
        let new: Vec<u128> = ids.iter().filter(is_new).copied().collect();
        if !new.is_empty() {
            part.ids = Arc::new(union([&*part.ids, &new]));
            to_read.extend(new.chunks(READ_TRACES).map(|some| (at, some.to_vec())));
        }
        parts.push(part);
    }
    let read = in_parallel(&to_read, |(at, ids)| {
        cancel.check()?;
        let mut alone = view.of_piece(&blocks[*at]);
        Ok::<_, Stop>((*at, traces_together(&mut alone, ids), alone.damaged))
    });
    for read in read {
        let (at, piece, damaged) = read?;
        parts[at].pieces.extend(piece.map(|piece| Arc::new(piece) as Arc<dyn Piece>));
        for damaged in damaged {
            view.note::<()>(Err(damaged));
        }
    }
    for part in &mut parts {
        if part.pieces.len() > parts_max(part.ids.len()) {
            part.pieces = from_memory(view, &part.pieces, &part.ids, cancel)?;
        }
    }
    let all = parts.iter().flat_map(|part| part.pieces.clone()).collect();
    if view.damaged.is_empty() && !to_read.is_empty() {
        // The newest blocks first: they are asked most.
        let mut spans = 0;
        parts.reverse();
        parts.retain(|part| {
            spans += span_count(&part.pieces);
            spans <= KEPT_SPANS_MAX
        });
        view.seams.lock().block_parts = parts;
    }
    Ok(all)
}

/// The most pieces that hold so many traces of a block: more than the merged ones alone, which
/// need not be merged again.
fn parts_max(traces: usize) -> usize {
    traces.div_ceil(PIECE_TRACES) + PARTS_MAX
}

/// Traces by what pieces in memory have of them.
fn from_memory(
    view: &mut View,
    pieces: &[Arc<dyn Piece>],
    ids: &[u128],
    cancel: &Cancel,
) -> Result<Pieces, Stop> {
    let ids: Vec<&[u128]> = ids.chunks(PIECE_TRACES).collect();
    let merged = in_parallel(&ids, |ids| {
        cancel.check()?;
        Ok::<_, Stop>(merge_traces(pieces, ids))
    });
    let mut together: Pieces = Vec::new();
    for merged in merged {
        let merged = merged?.map_err(|error| match error {
            MergeError::Damaged(damaged) => damaged,
            error => Damaged { block: String::new(), reason: error.to_string() },
        });
        let merged = view.note(merged).filter(|piece| piece.span_count() > 0);
        together.extend(merged.map(|piece| Arc::new(piece) as Arc<dyn Piece>));
    }
    Ok(together)
}

fn merge_traces(pieces: &[Arc<dyn Piece>], ids: &[u128]) -> Result<MemoryPiece, MergeError> {
    let mut parts: Pieces = Vec::new();
    for piece in pieces.iter().filter_map(|piece| piece.memory()) {
        let table = piece.traces()?;
        let mut places: Vec<usize> = Vec::new();
        for id in ids {
            let from = places.last().map_or(0, |last| last + 1);
            places.extend(table.ids[from..].binary_search(id).ok().map(|at| from + at));
        }
        if !places.is_empty() {
            parts.push(Arc::new(piece.of_traces(&places)));
        }
    }
    merge_in_memory(name(ids), &parts)
}

fn name(ids: &[u128]) -> String {
    format!("together {:032x}", ids.first().copied().unwrap_or_default())
}

/// Traces from all pieces as a piece of their own; `None` when none of them has spans.
pub(super) fn traces_together(view: &mut View, ids: &[u128]) -> Option<MemoryPiece> {
    let mut chunk = ChunkBuilder::default();
    let mut pool = ScopePool::default();
    for &id in ids {
        if let Some(spans) = trace::read(view, TraceId::from_number(id)).spans {
            chunk.append(&spans, 0, &mut pool);
        }
    }
    (chunk.len() > 0).then(|| chunk.freeze(name(ids)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::Ordering;

    use bytes::Bytes;
    use model::SpanBatch;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::*;

    /// A piece with a span of each trace, named by it, that starts at a time.
    pub(crate) fn piece(name: &str, traces: u8, start: u64) -> Arc<dyn Piece> {
        let span = |trace| Span {
            trace_id: vec![trace; 16],
            span_id: start.to_be_bytes().to_vec(),
            start_time_unix_nano: start,
            end_time_unix_nano: start,
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
        let (open, damaged, lacks_blocks, seams) = Default::default();
        View { pieces, open, damaged, lacks_blocks, seams }
    }

    fn view() -> View {
        view_of(vec![piece("a", 9, 1), piece("b", 5, 2), piece("c", 3, 3), piece("d", 7, 4)])
    }

    fn traces(seam: &Seam) -> usize {
        seam.ids.len()
    }

    #[test]
    fn nothing_is_put_together_for_nobody() {
        let (mut view, cancel) = (view(), Cancel::default());
        cancel.0.store(true, Ordering::Relaxed);
        let seam = Seam::of(&mut view, &cancel);
        assert!(matches!(seam, Err(Stop::Cancelled)));
        let seam = Seam::where_pieces(&mut view, |piece| piece.id() < "c", &cancel);
        assert!(matches!(seam, Err(Stop::Cancelled)));
        let pieces = view.pieces.clone();
        let ids = several(&mut view, &pieces, &Cancel::default()).unwrap_or_default();
        assert_eq!(ids.len(), 7);
        assert!(matches!(from_memory(&mut view, &pieces, &ids, &cancel), Err(Stop::Cancelled)));
        assert!(matches!(block_parts(&mut view, &pieces, &ids, &cancel), Err(Stop::Cancelled)));
        assert!(view.seams.lock().all.value.is_none() && view.seams.lock().block_parts.is_empty());
        let seam = Seam::of(&mut view, &Cancel::default()).unwrap_or_default();
        assert_eq!(traces(&seam), 7);
    }

    #[test]
    fn a_part_of_the_pieces_is_kept_beside_the_whole() {
        let (mut view, cancel) = (view(), Cancel::default());
        let some = |view: &mut View, names: &[&str]| {
            let holds = |piece: &dyn Piece| names.contains(&piece.id());
            Seam::where_pieces(view, holds, &cancel).unwrap_or_default()
        };
        assert_eq!(traces(&some(&mut view, &["b", "c"])), 3);
        assert_eq!(traces(&some(&mut view, &["a", "b"])), 5);
        assert_eq!(traces(&some(&mut view, &["a"])), 0);
        assert!(view.seams.lock().frozen.value.is_none());
        let again = some(&mut view, &["a", "b"]);
        let first = some(&mut view, &["a", "b"]);
        assert!(Arc::ptr_eq(&again.pieces[0], &first.pieces[0]));
        // Of all pieces, and then whatever is asked for.
        let whole = some(&mut view, &["a", "b", "c", "d"]);
        let part = some(&mut view, &["b", "c"]);
        assert_eq!([traces(&whole), traces(&part)], [7, 7]);
        assert!(Arc::ptr_eq(&whole.pieces[0], &part.pieces[0]));
    }

    #[test]
    fn merged_parts_of_a_block_are_not_merged_again() {
        for traces in [1, 64, PIECE_TRACES, PIECE_TRACES + 1, 100 * PIECE_TRACES] {
            let merged = traces.div_ceil(PIECE_TRACES);
            assert!((merged + PARTS_MAX..merged + 2 * PARTS_MAX).contains(&parts_max(traces)));
        }
    }
}
