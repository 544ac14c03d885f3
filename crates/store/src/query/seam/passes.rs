//! What a query looks at that takes every trace: in one pass, or in several where the traces that
//! lie in several pieces would not fit in memory all at once.

use std::sync::Arc;

use traceql::Pipeline;

use super::{
    Cancel, Ids, KEPT_SPANS_MAX, Layers, NARROW_SHARE, Pieces, Seam, SharedTraces, Stop, View,
    names, narrow, span_count,
};
use crate::piece::Piece;

/// Spans of traces of several pieces that a pass puts together, about.
pub(in crate::query) const PASS_SPANS: usize = 3 * KEPT_SPANS_MAX;

/// How many pieces tell how long traces are.
const SAMPLE: usize = 4;

/// The first pass has the store's pieces, and each some of the traces that lie in several of them,
/// put together.
pub(in crate::query) struct Passes {
    first: Option<Pass>,
    lots: Option<Lots>,
}

/// Pieces to look at.
pub(in crate::query) struct Pass {
    pub(in crate::query) pieces: Pieces,
    pub(super) seam: Seam,
}

impl Pass {
    /// The traces of a piece that are to be judged in another one, ascending.
    pub(in crate::query) fn apart(&self, piece: &dyn Piece) -> &[u128] {
        self.seam.apart(piece)
    }
}

impl Passes {
    /// Nothing is put together.
    pub(in crate::query) fn of_pieces(view: &View) -> Self {
        Self::whole(view, Seam::default())
    }

    /// For what looks at whole traces. `spans_max` is what a pass may put together, about.
    pub(in crate::query) fn of_all(
        view: &mut View,
        cancel: &Cancel,
        spans_max: usize,
    ) -> Result<Self, Stop> {
        Self::of_those(view, cancel, spans_max, |_, all| Ok(all.clone()))
    }

    /// For what a pipeline leaves: traces of several pieces of which it cannot leave any are not
    /// put together.
    pub(in crate::query) fn of_pipeline(
        view: &mut View,
        pipeline: &Pipeline,
        cancel: &Cancel,
        spans_max: usize,
    ) -> Result<Self, Stop> {
        let those = |view: &mut View, all: &Ids| narrow(view, pipeline, all, cancel).map(Arc::new);
        Self::of_those(view, cancel, spans_max, those)
    }

    /// `those` tells which of the traces of several pieces are put together.
    fn of_those(
        view: &mut View,
        cancel: &Cancel,
        spans_max: usize,
        those: impl FnOnce(&mut View, &Ids) -> Result<Ids, Stop>,
    ) -> Result<Self, Stop> {
        let known = view.seams.lock().all.get(&names(&view.pieces));
        if let Some(known) = known {
            return Ok(Self::whole(view, known));
        }
        let shared = SharedTraces::of(view, cancel)?;
        let all = shared.all.clone();
        let those = those(view, &all)?;
        if !fits(view, those.len(), spans_max) {
            return Ok(Self::in_lots(view, view.beside(), shared.layers, all, those, spans_max));
        }
        let is_most = those.len() * NARROW_SHARE >= all.len();
        let seam = if is_most && fits(view, all.len(), spans_max) {
            Seam::of(view, cancel)?
        } else {
            Seam { ids: all, ..Seam::of_some(view, &shared, &those, cancel)? }
        };
        Ok(Self::whole(view, seam))
    }

    /// For queries that look at each span by itself: of the traces that may have a span twice, sent
    /// into different pieces. The spans of pieces for which `holds` is false must be of no interest.
    pub(in crate::query) fn of_doubles(
        view: &mut View,
        holds: impl Fn(&dyn Piece) -> bool,
        cancel: &Cancel,
        spans_max: usize,
    ) -> Result<Self, Stop> {
        let pieces: Pieces =
            view.pieces.iter().filter(|piece| holds(piece.as_ref())).cloned().collect();
        if pieces.len() < 2 {
            return Ok(Self::of_pieces(view));
        }
        // What is kept of some pieces does not take the place of what is kept of all.
        let seams = match pieces.len() == view.pieces.len() {
            true => view.seams.clone(),
            false => view.seams.lock().of_some.get_or_insert_default().clone(),
        };
        let mut some = View { pieces, seams, ..view.beside() };
        let layers = SharedTraces::of(&mut some, cancel)
            .and_then(|shared| shared.layers.doubled(&mut some, cancel));
        view.take_notes(&mut some);
        let layers = layers?;
        let ids = Arc::new(layers.all());
        if !fits(view, ids.len(), spans_max) {
            return Ok(Self::in_lots(view, some, layers, ids.clone(), ids, spans_max));
        }
        let seam = Seam::build(&mut some, &layers, false, cancel);
        view.take_notes(&mut some);
        Ok(Self::whole(view, seam?))
    }

    fn whole(view: &View, seam: Seam) -> Self {
        let pieces = view.pieces.iter().chain(&seam.pieces).cloned().collect();
        Self { first: Some(Pass { pieces, seam }), lots: None }
    }

    /// `all` are not to be judged in the store's pieces; `ids` of them are put together.
    fn in_lots(
        view: &View,
        some: View,
        layers: Layers,
        all: Ids,
        ids: Ids,
        spans_max: usize,
    ) -> Self {
        let seam = Seam { ids: all, ..Seam::default() };
        let first = Some(Pass { pieces: view.pieces.clone(), seam });
        let trace_spans = trace_spans(view);
        let lots = Lots { view: some, layers, ids, at: 0, trace_spans, spans_max };
        Self { first, lots: Some(lots) }
    }

    /// The next pass. What was damaged is noted.
    pub(in crate::query) fn next(
        &mut self,
        view: &mut View,
        cancel: &Cancel,
    ) -> Result<Option<Pass>, Stop> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(lots) = &mut self.lots else {
            return Ok(None);
        };
        let seam = lots.next(cancel);
        view.take_notes(&mut lots.view);
        Ok(seam?.map(|seam| Pass { pieces: seam.pieces.clone(), seam }))
    }

    /// Spans of the passes to come, about.
    pub(in crate::query) fn spans_left(&self) -> u64 {
        let lots = self.lots.as_ref();
        lots.map_or(0, |lots| (lots.ids.len() - lots.at) as u64 * lots.trace_spans as u64)
    }
}

/// Traces of several pieces, to be put together some at a time.
struct Lots {
    view: View,
    layers: Layers,
    ids: Ids,
    at: usize,
    /// How long a trace is, about; not 0.
    trace_spans: usize,
    spans_max: usize,
}

impl Lots {
    fn next(&mut self, cancel: &Cancel) -> Result<Option<Seam>, Stop> {
        cancel.check()?;
        let length = (self.spans_max / self.trace_spans).max(1);
        let ids = &self.ids[self.at..self.ids.len().min(self.at + length)];
        if ids.is_empty() {
            return Ok(None);
        }
        let layers = self.layers.only(ids);
        let seam = Seam::build(&mut self.view, &layers, false, cancel)?;
        self.at += ids.len();
        // Traces of several pieces are not as long as others.
        self.trace_spans = span_count(&seam.pieces).div_ceil(ids.len()).max(1);
        Ok(Some(seam))
    }
}

/// Whether so many traces have room in a pass, if they are as long as others.
fn fits(view: &View, traces: usize, spans_max: usize) -> bool {
    traces <= spans_max / trace_spans(view)
}

/// How many spans a trace has, about; not 0.
fn trace_spans(view: &View) -> usize {
    let (mut spans, mut traces) = (0, 0);
    for piece in view.pieces.iter().take(SAMPLE) {
        // Who reads it for the answer notes the damage.
        let Ok(index) = piece.index() else { continue };
        spans += piece.span_count();
        traces += index.len();
    }
    spans.div_ceil(traces.max(1)).max(1)
}
