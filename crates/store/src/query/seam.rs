//! Traces that lie in several pieces, put together: a query judges them there and nowhere else.
//!
//! They are in layers, so that little is done anew while spans come: traces of several blocks,
//! those of several frozen pieces of the head, those of both, and those with spans in the open end
//! of the head. A trace of several layers is whole in the last of them.

use std::ops::Range;
use std::sync::Arc;

use model::TraceId;
use parking_lot::Mutex;
use traceql::{FieldExpr, Mode, Pipeline, SpansetExpr, Stage};

pub(super) use self::passes::{PASS_SPANS, Passes};
use super::filter::filter;
use super::mask::Mask;
use super::prune::{Unread, Verdict};
use super::slab::Slab;
use super::{Cancel, Stop, in_parallel, needs_trace, slabs};
use crate::builder::ChunkBuilder;
use crate::columns::{self, Table};
use crate::memory::MemoryPiece;
use crate::merge::{MergeError, merge_in_memory};
use crate::piece::{Damaged, Piece};
use crate::scopes::ScopePool;
use crate::search::View;
use crate::summary::TraceIndex;
use crate::trace;
use crate::types::QueryStep;

mod passes;

/// Where a pipeline may leave spans of more than one in so many traces of several pieces, all of
/// them are put together and kept for the queries to come.
const NARROW_SHARE: usize = 2;

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
        kept(
            view,
            |kept| &mut kept.all,
            names,
            small,
            |view| {
                let shared = SharedTraces::of(view, cancel)?;
                Self::build(view, &shared.layers, true, cancel)
            },
        )
    }

    /// Of some traces of several pieces, ascending.
    pub(super) fn of_some(
        view: &mut View,
        shared: &SharedTraces,
        ids: &[u128],
        cancel: &Cancel,
    ) -> Result<Self, Stop> {
        Self::build(view, &shared.layers.only(ids), false, cancel)
    }

    /// Puts the traces of some layers together; `keep` says that they are all that there are.
    fn build(view: &mut View, layers: &Layers, keep: bool, cancel: &Cancel) -> Result<Self, Stop> {
        let Layout { blocks, frozen, open } = Layout::of(view);
        let small = |pieces: &Pieces| keep && span_count(pieces) <= KEPT_SPANS_MAX;
        let kept = |view: &mut View,
                    slot: fn(&mut KeptSeams) -> &mut Kept<Pieces>,
                    names: Vec<String>,
                    make: &dyn Fn(&mut View) -> Result<Pieces, Stop>| {
            if keep { kept(view, slot, names, small, make) } else { make(view) }
        };
        let of_blocks = kept(view, |kept| &mut kept.blocks, names(&blocks), &|view| {
            let parts = block_parts(view, &blocks, &layers.blocks, cancel)?;
            from_memory(view, &parts, &layers.blocks, cancel)
        })?;
        let of_frozen = kept(view, |kept| &mut kept.frozen, names(&frozen), &|view| {
            from_memory(view, &frozen, &layers.frozen, cancel)
        })?;
        let both = names(blocks.iter().chain(&frozen));
        let of_both = kept(view, |kept| &mut kept.mixed, both, &|view| {
            let parts = block_parts(view, &blocks, &layers.mixed, cancel)?;
            from_memory(view, &[&frozen[..], &parts].concat(), &layers.mixed, cancel)
        })?;
        let parts = block_parts(view, &blocks, &layers.open_in_blocks, cancel)?;
        let pieces = [&open[..], &frozen, &parts].concat();
        let of_open = from_memory(view, &pieces, &layers.open, cancel)?;

        let mut all = Self::default();
        // The last layer first.
        for (pieces, ids) in [
            (of_open, &layers.open),
            (of_both, &layers.mixed),
            (of_frozen, &layers.frozen),
            (of_blocks, &layers.blocks),
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
    layers: Layers,
    /// All of them, ascending.
    pub(super) all: Ids,
    of_blocks: Arc<Several>,
}

/// Traces of several pieces.
#[derive(Default)]
struct Several {
    /// Ascending.
    ids: Ids,
    times: Vec<Times>,
    /// Their places, by start, the newest first.
    newest: Vec<u32>,
}

/// When a trace starts, 0 if that is unknown, and when it ends.
pub(super) type Times = (u64, u64);

/// Ids of traces by the kinds of pieces they are in.
struct Layers {
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
        let of_blocks = several_blocks(view, &blocks, cancel)?;
        let of_frozen = kept(
            view,
            |kept| &mut kept.frozen_ids,
            names(&frozen),
            always,
            |view| Ok(several(view, &frozen, cancel)?.ids.clone()),
        )?;
        let mut in_blocks = in_blocks(view, &blocks, open.iter().chain(&frozen), cancel)?;
        let open_in_blocks: Ids = Arc::new(union(in_blocks.drain(..open.len())));
        let mut of_open = open_in_blocks.to_vec();
        for piece in &open {
            let elsewhere = |id: &&u128| {
                let id = TraceId::from_number(**id);
                frozen.iter().any(|piece| piece.may_hold(id))
            };
            let index = view.note(piece.index()).unwrap_or_default();
            of_open.extend(index.ids.iter().filter(elsewhere));
        }
        let layers = Layers {
            blocks: of_blocks.ids.clone(),
            frozen: of_frozen,
            mixed: Arc::new(union(in_blocks)),
            open: Arc::new(union([of_open])),
            open_in_blocks,
        };
        let lists = [&layers.blocks, &layers.frozen, &layers.mixed, &layers.open];
        let others = lists[1..].iter().all(|list| list.is_empty());
        let all = if others { layers.blocks.clone() } else { Arc::new(union(lists)) };
        Ok(Self { layers, all, of_blocks })
    }

    /// Those in several blocks alone, whatever is in memory.
    pub(super) fn of_blocks(view: &mut View, cancel: &Cancel) -> Result<Ids, Stop> {
        let blocks = Layout::of(view).blocks;
        Ok(several_blocks(view, &blocks, cancel)?.ids.clone())
    }

    /// Those that may start at `since` or later, and when they are, by all of their parts.
    pub(super) fn times(&self, view: &View, since: u64) -> Vec<(u128, Times)> {
        let Layers { frozen, mixed, open, .. } = &self.layers;
        let in_memory = union([frozen, mixed, open]);
        let Several { ids, times: known, newest } = &*self.of_blocks;
        let of_blocks = newest.iter().map(|&at| (ids[at as usize], known[at as usize]));
        let of_blocks = of_blocks.take_while(|(_, (start, _))| *start >= since);
        // Those in memory, too, have parts that are not known here.
        let mut all: Vec<(u128, Times)> =
            of_blocks.filter(|(id, _)| in_memory.binary_search(id).is_err()).collect();
        all.extend(in_memory.into_iter().map(|id| (id, times(view, id))));
        all
    }
}

impl Layers {
    /// Ascending.
    fn all(&self) -> Vec<u128> {
        union([&self.blocks, &self.frozen, &self.mixed, &self.open])
    }

    /// Those of these traces alone, ascending.
    fn only(&self, ids: &[u128]) -> Self {
        let only = |own: &Ids| {
            // From the shorter list into the longer.
            let (few, many) = if own.len() < ids.len() { (&own[..], ids) } else { (ids, &own[..]) };
            let both = few.iter().filter(|id| many.binary_search(id).is_ok());
            Arc::new(both.copied().collect::<Vec<u128>>())
        };
        Self {
            blocks: only(&self.blocks),
            frozen: only(&self.frozen),
            mixed: only(&self.mixed),
            open: only(&self.open),
            open_in_blocks: only(&self.open_in_blocks),
        }
    }

    /// Those that may have a span in two pieces, by its id. Wherever two parts of a trace are, one
    /// of the layers has them both.
    fn doubled(&self, view: &mut View, cancel: &Cancel) -> Result<Self, Stop> {
        let Layout { blocks, frozen, open } = Layout::of(view);
        let before = view.seams.lock().doubled_blocks.clone();
        let of_blocks = kept(
            view,
            |kept| &mut kept.doubled_blocks,
            names(&blocks),
            always,
            |view| match before.value.as_ref().zip(added(&before.names, &blocks)) {
                // New ones have a span in a block that is new.
                Some((known, added)) => {
                    let some = each(view, &added, cancel, |piece| {
                        let index = piece.index()?;
                        let places = places(&index, &self.blocks);
                        Ok(places.iter().map(|&(at, _)| index.ids[at]).collect::<Vec<u128>>())
                    })?;
                    let more = doubled(view, &blocks, &union(some), cancel)?;
                    Ok(Arc::new(union([known, &more])))
                }
                None => doubled(view, &blocks, &self.blocks, cancel),
            },
        )?;
        let of_frozen = kept(
            view,
            |kept| &mut kept.doubled_frozen,
            names(&frozen),
            always,
            |view| doubled(view, &frozen, &self.frozen, cancel),
        )?;
        let both: Pieces = blocks.iter().chain(&frozen).cloned().collect();
        let of_both = kept(
            view,
            |kept| &mut kept.doubled_mixed,
            names(&both),
            always,
            |view| doubled(view, &both, &self.mixed, cancel),
        )?;
        let all: Pieces = both.iter().chain(&open).cloned().collect();
        let of_open = doubled(view, &all, &self.open, cancel)?;
        Ok(self.only(&union([of_blocks, of_frozen, of_both, of_open])))
    }
}

/// When a trace starts, 0 if that is unknown, and when it ends, by all of its parts.
pub(super) fn times(view: &View, id: u128) -> Times {
    times_in(&view.pieces, id)
}

fn times_in(pieces: &Pieces, id: u128) -> Times {
    let id = TraceId::from_number(id);
    let (mut start, mut end) = (0, 0);
    for piece in pieces.iter().filter(|piece| piece.may_hold(id)) {
        let Ok(index) = piece.index() else { continue };
        if let Some(at) = index.find(id) {
            start = earliest(start, index.start[at]);
            end = end.max(index.end[at]);
        }
    }
    (start, end)
}

/// The earlier of two starts, of which 0 is none.
fn earliest(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// What follows from pieces that stay as they are, for the queries to come.
#[derive(Default)]
pub(crate) struct KeptSeams {
    several_blocks: Kept<Arc<Several>>,
    frozen_ids: Kept<Ids>,
    doubled_blocks: Kept<Ids>,
    doubled_frozen: Kept<Ids>,
    doubled_mixed: Kept<Ids>,
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
#[derive(Clone)]
struct Kept<T> {
    names: Vec<String>,
    value: Option<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { names: Vec::new(), value: None }
    }
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

/// The traces that are in several blocks, and when.
fn several_blocks(view: &mut View, blocks: &Pieces, cancel: &Cancel) -> Result<Arc<Several>, Stop> {
    let before = view.seams.lock().several_blocks.clone();
    kept(
        view,
        |kept| &mut kept.several_blocks,
        names(blocks),
        always,
        |view| match before.value.as_ref().zip(added(&before.names, blocks)) {
            Some((known, added)) => several_more(view, known, blocks, &added, cancel),
            None => several(view, blocks, cancel),
        },
    )
}

/// The pieces that were not among those of these names; `None` where some of those have gone, or
/// most are new.
fn added(before: &[String], pieces: &Pieces) -> Option<Pieces> {
    let is_known = |piece: &Arc<dyn Piece>| before.iter().any(|name| name == piece.id());
    let (known, added): (Pieces, Pieces) = pieces.iter().cloned().partition(is_known);
    (known.len() == before.len() && added.len() < known.len()).then_some(added)
}

/// The traces that are in several of these pieces, by what was known before some were added.
fn several_more(
    view: &mut View,
    known: &Several,
    pieces: &Pieces,
    added: &Pieces,
    cancel: &Cancel,
) -> Result<Arc<Several>, Stop> {
    let indexes = each(view, added, cancel, |piece| Ok((piece.id().to_owned(), piece.index()?)))?;
    let parts = each(view, pieces, cancel, |piece| {
        let others = indexes.iter().filter(|(of, _)| of != piece.id());
        let mut shared: Vec<u128> = Vec::new();
        for (_, other) in others {
            let index = piece.index()?;
            shared.extend(places(&index, &other.ids).iter().map(|&(at, _)| index.ids[at]));
        }
        Ok(shared)
    })?;
    // Their parts in all pieces count, those of before too.
    let new = union(parts);
    let mut all: Vec<(u128, Times)> = Vec::with_capacity(known.ids.len() + new.len());
    let before = known.ids.iter().copied().zip(known.times.iter().copied());
    all.extend(before.filter(|(id, _)| new.binary_search(id).is_err()));
    all.extend(new.into_iter().map(|id| (id, times_in(pieces, id))));
    all.sort_unstable();
    Ok(Arc::new(Several::of(all)))
}

impl Several {
    /// Of ids, ascending, and their times.
    fn of(all: Vec<(u128, Times)>) -> Self {
        let (ids, times): (Vec<u128>, Vec<Times>) = all.into_iter().unzip();
        let mut newest: Vec<u32> = (0..ids.len() as u32).collect();
        newest.sort_unstable_by_key(|&at| std::cmp::Reverse(times[at as usize].0));
        Self { ids: Arc::new(ids), times, newest }
    }
}

/// What is done with every piece, and the damage of those that are damaged.
fn each<T: Send>(
    view: &mut View,
    pieces: &Pieces,
    cancel: &Cancel,
    work: impl Fn(&Arc<dyn Piece>) -> Result<T, Stop> + Sync,
) -> Result<Vec<T>, Stop> {
    let probe = view.probe.clone();
    let done = in_parallel(pieces, |piece| {
        cancel.check()?;
        probe.step(QueryStep::Seams, || work(piece))
    });
    let mut all = Vec::with_capacity(done.len());
    for done in done {
        match done {
            Ok(done) => all.push(done),
            Err(Stop::Damaged(damaged)) => drop(view.note::<()>(Err(damaged))),
            Err(stop) => return Err(stop),
        }
    }
    Ok(all)
}

/// Mixes the bits of numbers some of whose bits may be the same in all (the finaliser of
/// SplitMix64).
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The hashes that are there more than once, ascending.
fn twice(hashes: Vec<Vec<u64>>) -> Vec<u64> {
    let mut all = hashes.concat();
    drop(hashes);
    all.sort_unstable();
    let mut twice: Vec<u64> =
        all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twice.dedup();
    twice
}

/// The traces that are in several of these pieces, and when. Hashes of ids come first, of which the
/// many traces of one piece take the least memory.
fn several(view: &mut View, pieces: &Pieces, cancel: &Cancel) -> Result<Arc<Several>, Stop> {
    if pieces.len() < 2 {
        return Ok(Default::default());
    }
    let hash = |id: u128| mix((id >> 64) as u64 ^ mix(id as u64));
    let hashes = each(view, pieces, cancel, |piece| {
        Ok(piece.index()?.ids.iter().map(|&id| hash(id)).collect::<Vec<u64>>())
    })?;
    let twice = twice(hashes);
    let parts = each(view, pieces, cancel, |piece| {
        let index = piece.index()?;
        let of = |(at, &id): (usize, &u128)| {
            let is_twice = twice.binary_search(&hash(id)).is_ok();
            is_twice.then(|| (id, (index.start[at], index.end[at])))
        };
        Ok(index.ids.iter().enumerate().filter_map(of).collect::<Vec<(u128, Times)>>())
    })?;
    let mut parts = parts.concat();
    parts.sort_unstable();
    let mut all: Vec<(u128, Times)> = Vec::new();
    for group in parts.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
        let joined =
            |all: Times, part: &(u128, Times)| (earliest(all.0, part.1.0), all.1.max(part.1.1));
        all.push((group[0].0, group.iter().fold((0, 0), joined)));
    }
    Ok(Arc::new(Several::of(all)))
}

/// Where a piece has some traces: their places in its index and among `ids`, both ascending.
fn places(index: &TraceIndex, ids: &[u128]) -> Vec<(usize, usize)> {
    let mut places: Vec<(usize, usize)> = Vec::new();
    let mut from = 0;
    for (number, id) in ids.iter().enumerate() {
        // The next is mostly near: steps double until it is passed.
        let mut step = 1;
        while index.ids.get(from + step).is_some_and(|other| other <= id) {
            step *= 2;
        }
        let near = from..index.ids.len().min(from + step);
        match index.ids[near].binary_search(id) {
            Ok(at) => {
                places.push((from + at, number));
                from += at + 1;
            }
            Err(at) => from += at,
        }
        if from == index.ids.len() {
            break;
        }
    }
    places
}

/// Of these traces, ascending, those that may have a span of the same id in two of the pieces.
fn doubled(view: &mut View, pieces: &Pieces, ids: &[u128], cancel: &Cancel) -> Result<Ids, Stop> {
    if ids.is_empty() {
        return Ok(Ids::default());
    }
    // Of each span the hash of its trace and id, and its trace by place.
    let hashes = each(view, pieces, cancel, |piece| {
        let mut hashes: Vec<(u64, u32)> = Vec::new();
        if !ids.iter().any(|&id| piece.may_hold(TraceId::from_number(id))) {
            return Ok(hashes);
        }
        let index = piece.index()?;
        let places = places(&index, ids);
        for group in piece.groups(Table::Spans)? {
            let first = places.partition_point(|&(at, _)| index.rows(at).end <= group.start);
            let last = places.partition_point(|&(at, _)| index.rows(at).start < group.end);
            let here = &places[first..last.max(first)];
            let spans = |at: usize| {
                let rows = index.rows(at);
                rows.start.max(group.start)..rows.end.min(group.end)
            };
            let wanted: usize = here.iter().map(|&(at, _)| spans(at).len()).sum();
            let read = |rows: Range<usize>| {
                let column = piece.read(Table::Spans, rows, &[columns::name::SPAN_ID])?;
                Ok::<_, Damaged>(column.into_iter().flatten().next())
            };
            // Much of it is read at once, little trace by trace.
            let whole = if wanted * 64 > group.len() { read(group.clone())? } else { None };
            for &(at, number) in here {
                let rows = spans(at);
                let own = if whole.is_some() { None } else { read(rows.clone())? };
                let (column, first) = match (&whole, &own) {
                    (Some(column), _) => (column, group.start),
                    (None, Some(column)) => (column, rows.start),
                    (None, None) => continue,
                };
                let seed = mix(number as u64 + 1);
                let of = |row: usize| (mix(column.id8_at(row - first) ^ seed), number as u32);
                // One that came twice into one piece is as if it had come once.
                let from = hashes.len();
                hashes.extend(rows.map(of));
                hashes[from..].sort_unstable();
                let mut kept = hashes.split_off(from);
                kept.dedup();
                hashes.append(&mut kept);
            }
        }
        Ok(hashes)
    })?;
    let mut hashes = hashes.concat();
    hashes.sort_unstable();
    let twice = hashes.windows(2).filter(|pair| pair[0] == pair[1]);
    let mut twice: Vec<u32> = twice.map(|pair| pair[0].1).collect();
    twice.sort_unstable();
    twice.dedup();
    Ok(Arc::new(twice.into_iter().map(|at| ids[at as usize]).collect()))
}

/// Of these traces, ascending, those for which the first stage of a pipeline may hold by what is in
/// all of the pieces: filters look for spans, wherever they are.
pub(super) fn narrow(
    view: &mut View,
    pipeline: &Pipeline,
    ids: &[u128],
    cancel: &Cancel,
) -> Result<Vec<u128>, Stop> {
    match pipeline.stages.first() {
        Some(Stage::Spansets(expr)) => narrow_spansets(view, expr, ids, cancel),
        _ => Ok(ids.to_vec()),
    }
}

fn narrow_spansets(
    view: &mut View,
    expr: &SpansetExpr,
    ids: &[u128],
    cancel: &Cancel,
) -> Result<Vec<u128>, Stop> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    match expr {
        SpansetExpr::Filter(filter) => narrow_filter(view, filter, ids, cancel),
        SpansetExpr::And(list) => {
            let mut left = ids.to_vec();
            for expr in list {
                left = narrow_spansets(view, expr, &left, cancel)?;
            }
            Ok(left)
        }
        SpansetExpr::Or(list) => {
            let mut any: Vec<u128> = Vec::new();
            for expr in list {
                any = union([any, narrow_spansets(view, expr, ids, cancel)?]);
            }
            Ok(any)
        }
        SpansetExpr::Structural { mode, left, right, .. } => {
            let right = narrow_spansets(view, right, ids, cancel)?;
            if *mode == Mode::Not {
                return Ok(right);
            }
            narrow_spansets(view, left, &right, cancel)
        }
        SpansetExpr::Not(_) => Ok(ids.to_vec()),
        SpansetExpr::Pipeline(pipeline) => narrow(view, pipeline, ids, cancel),
    }
}

fn narrow_filter(
    view: &mut View,
    expr: &FieldExpr,
    ids: &[u128],
    cancel: &Cancel,
) -> Result<Vec<u128>, Stop> {
    let mut is_local = true;
    expr.visit(&mut |field| is_local &= !needs_trace(field));
    if !is_local || matches!(expr, FieldExpr::Static(_)) {
        return Ok(ids.to_vec());
    }
    let probe = view.probe.clone();
    let pieces = view.pieces.clone();
    let found = each(view, &pieces, cancel, |piece| {
        let mut found: Vec<u128> = Vec::new();
        let is_here = |&id: &u128| piece.may_hold(TraceId::from_number(id));
        let unread = Unread { piece: piece.as_ref(), rows: 0..piece.span_count() };
        if unread.filter(expr)? != Verdict::Possible || !ids.iter().any(is_here) {
            return Ok(found);
        }
        let index = piece.index()?;
        let places = places(&index, ids);
        for rows in slabs(piece.as_ref())? {
            let first = places.partition_point(|&(at, _)| index.rows(at).end <= rows.start);
            let last = places.partition_point(|&(at, _)| index.rows(at).start < rows.end);
            let here = &places[first..last.max(first)];
            let unread = Unread { piece: piece.as_ref(), rows: rows.clone() };
            if here.is_empty() || unread.filter(expr)? != Verdict::Possible {
                continue;
            }
            cancel.check()?;
            let slab = Slab::new(piece.as_ref(), rows, &probe)?;
            let mut alive = Mask::none(slab.len());
            for &(at, _) in here {
                slab.trace_rows(at).for_each(|row| alive.set(row));
            }
            let hits = filter(&slab, expr, &alive)?;
            let holds = |at: usize| hits.iter_in(slab.trace_rows(at)).next().is_some();
            found.extend(here.iter().filter(|(at, _)| holds(*at)).map(|&(_, number)| ids[number]));
        }
        Ok(found)
    })?;
    Ok(union(found))
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
    let own = view.note(piece.index()).unwrap_or_default();
    let mut ids: Vec<u128> = Vec::new();
    for block in blocks {
        let may = |id: &&u128| block.may_hold(TraceId::from_number(**id));
        let may: Vec<u128> = own.ids.iter().filter(may).copied().collect();
        if !may.is_empty() {
            let index = view.note(block.index()).unwrap_or_default();
            ids.extend(may.into_iter().filter(|id| index.ids.binary_search(id).is_ok()));
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
        let piece = view.probe.step(QueryStep::Seams, || traces_together(&mut alone, ids));
        Ok::<_, Stop>((*at, piece, alone.damaged))
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
    let probe = view.probe.clone();
    let merged = in_parallel(&ids, |ids| {
        cancel.check()?;
        Ok::<_, Stop>(probe.step(QueryStep::Seams, || merge_traces(pieces, ids)))
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
        let places: Vec<usize> =
            places(&*piece.index()?, ids).into_iter().map(|(at, _)| at).collect();
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
pub(super) mod tests;
