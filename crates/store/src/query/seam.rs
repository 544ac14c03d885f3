//! Traces that lie in several pieces, put together: a query judges them there and nowhere else.

use std::sync::Arc;

use model::TraceId;

use crate::builder::ChunkBuilder;
use crate::memory::MemoryPiece;
use crate::piece::Piece;
use crate::scopes::ScopePool;
use crate::search::View;
use crate::trace;

/// Spans of a piece that traces are put together in, about.
const PIECE_SPANS: usize = 64 * 1024;

/// Spans that are kept together for the next query.
const KEPT_SPANS_MAX: usize = 2 * PIECE_SPANS;

/// Traces that lie in several pieces.
#[derive(Default, Clone)]
pub(crate) struct Seam {
    /// Ascending.
    pub(crate) ids: Arc<Vec<u128>>,
    /// All spans of them.
    pub(crate) pieces: Vec<Arc<dyn Piece>>,
}

/// Seams of pieces that stay as they are, for the queries to come.
#[derive(Default, Clone)]
pub(crate) struct KeptSeams {
    /// The names of blocks, and what lies in them alone.
    pub(crate) blocks: (Vec<String>, Seam),
    /// The names of all pieces, and all of it: as long as nothing arrives.
    all: (Vec<String>, Seam),
}

impl Seam {
    /// Of all pieces.
    pub(super) fn of(view: &mut View) -> Self {
        let names: Vec<String> = view.pieces.iter().map(|piece| piece.id().to_owned()).collect();
        let kept = view.seams.lock().clone();
        if kept.all.0 == names {
            return kept.all.1;
        }
        let (blocks, in_blocks, others) = view.shared_traces();
        let of_blocks = if kept.blocks.0 == blocks && kept.blocks.1.ids.as_slice() == in_blocks {
            kept.blocks.1
        } else {
            let seam = Self::build(view, in_blocks);
            if seam.spans() <= KEPT_SPANS_MAX {
                view.seams.lock().blocks = (blocks, seam.clone());
            }
            seam
        };
        let all = if others.is_empty() {
            of_blocks
        } else {
            let rest = Self::build(view, others);
            let mut ids: Vec<u128> = of_blocks.ids.iter().chain(rest.ids.iter()).copied().collect();
            ids.sort_unstable();
            let pieces = of_blocks.pieces.into_iter().chain(rest.pieces).collect();
            Self { ids: Arc::new(ids), pieces }
        };
        if all.spans() <= KEPT_SPANS_MAX && !view.is_partial() {
            view.seams.lock().all = (names, all.clone());
        }
        all
    }

    fn spans(&self) -> usize {
        self.pieces.iter().map(|piece| piece.span_count()).sum()
    }

    fn build(view: &mut View, ids: Vec<u128>) -> Self {
        let mut pieces: Vec<Arc<dyn Piece>> = Vec::new();
        // About as many spans as a trace has on average; the pieces need not be of one size.
        for some in ids.chunks(PIECE_SPANS / 16) {
            if let Some(piece) = traces_together(view, some) {
                pieces.push(Arc::new(piece));
            }
        }
        Self { ids: Arc::new(ids), pieces }
    }

    /// Whether a piece is one of its own.
    pub(super) fn has(&self, piece: &dyn Piece) -> bool {
        self.pieces.iter().any(|own| std::ptr::addr_eq(Arc::as_ptr(own), piece))
    }
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
    let name = format!("together {:032x}", ids.first()?);
    (chunk.len() > 0).then(|| chunk.freeze(name))
}
