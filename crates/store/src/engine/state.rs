//! What the store holds at a moment: open rows, frozen chunks, a head that is being sealed, blocks.

use std::sync::Arc;

use model::SpanBatch;

use crate::block::Block;
use crate::builder::ChunkBuilder;
use crate::memory::MemoryPiece;
use crate::piece::{Piece, StartRanges};
use crate::scopes::ScopePool;

/// A chunk is frozen at this many bytes even if it has few rows.
const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Spans that are in the log only.
#[derive(Default)]
pub(crate) struct Head {
    pub(crate) pieces: Vec<Arc<dyn Piece>>,
    pub(crate) spans: usize,
    /// What its chunks take in memory, about.
    pub(crate) bytes: usize,
    /// What its requests take in the log.
    pub(crate) log_bytes: usize,
    /// When the first and the last span came; 0 when there is none.
    pub(crate) received_min: u64,
    pub(crate) received_max: u64,
}

/// A head on its way into a block.
#[derive(Clone)]
pub(crate) struct Sealing {
    pub(crate) pieces: Vec<Arc<dyn Piece>>,
    pub(crate) received_min: u64,
    pub(crate) received_max: u64,
    /// The last log segment that it came from.
    pub(crate) log_through: u64,
}

impl Sealing {
    pub(crate) fn start_ranges(&self) -> StartRanges {
        let mut ranges = StartRanges::default();
        for piece in &self.pieces {
            ranges.join(&piece.start_ranges());
        }
        ranges
    }
}

#[derive(Default)]
pub(crate) struct State {
    tail: ChunkBuilder,
    /// The tail as a piece, as long as it has not grown since.
    frozen_tail: Option<Arc<MemoryPiece>>,
    pool: ScopePool,
    head: Head,
    pub(crate) sealing: Option<Sealing>,
    blocks: Vec<Arc<Block>>,
    chunks_made: u64,
    pub(crate) damaged_blocks: u64,
    /// Parts of the log that were cut off and kept.
    pub(crate) damaged_log: u64,
}

impl State {
    /// Adds a request's spans to the head.
    pub(crate) fn append(&mut self, batch: &SpanBatch, received: u64, chunk_rows: usize) {
        self.frozen_tail = None;
        self.tail.append(batch, received, &mut self.pool);
        if self.head.received_min == 0 {
            self.head.received_min = received;
        }
        self.head.received_max = self.head.received_max.max(received);
        self.head.spans += batch.len();
        self.head.log_bytes += batch.bytes().len();
        if self.tail.len() >= chunk_rows || self.tail.bytes() >= CHUNK_BYTES_MAX {
            self.freeze();
        }
    }

    fn freeze(&mut self) {
        if self.tail.len() == 0 {
            return;
        }
        let piece = self.tail_piece();
        self.head.bytes += piece.bytes();
        self.head.pieces.push(piece);
        self.tail = ChunkBuilder::default();
        self.frozen_tail = None;
    }

    fn tail_piece(&mut self) -> Arc<MemoryPiece> {
        if let Some(piece) = &self.frozen_tail {
            return piece.clone();
        }
        self.chunks_made += 1;
        let piece = Arc::new(self.tail.freeze(format!("chunk-{}", self.chunks_made)));
        self.frozen_tail = Some(piece.clone());
        piece
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Moves the head to be sealed. The caller saw to it that none waits and that it has spans.
    pub(crate) fn begin_sealing(&mut self, log_through: u64) {
        self.freeze();
        let head = std::mem::take(&mut self.head);
        self.pool.clear();
        self.sealing = Some(Sealing {
            pieces: head.pieces,
            received_min: head.received_min,
            received_max: head.received_max,
            log_through,
        });
    }

    /// All pieces.
    pub(crate) fn pieces(&mut self) -> Vec<Arc<dyn Piece>> {
        let mut all: Vec<Arc<dyn Piece>> = Vec::new();
        if self.tail.len() > 0 {
            all.push(self.tail_piece());
        }
        all.extend(self.head.pieces.iter().cloned());
        all.extend(self.sealing.iter().flat_map(|sealing| sealing.pieces.iter().cloned()));
        all.extend(self.blocks.iter().map(|block| block.clone() as Arc<dyn Piece>));
        all
    }

    pub(crate) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    pub(crate) fn block(&self, id: &str) -> Option<Arc<Block>> {
        self.blocks.iter().find(|block| block.id() == id).cloned()
    }

    pub(crate) fn add_block(&mut self, block: Arc<Block>) {
        self.blocks.push(block);
    }

    /// False when it was not there.
    pub(crate) fn remove_block(&mut self, id: &str) -> bool {
        let before = self.blocks.len();
        self.blocks.retain(|block| block.id() != id);
        self.blocks.len() < before
    }

    pub(crate) fn head_span_count(&self) -> u64 {
        let sealing = self.sealing.iter().flat_map(|sealing| &sealing.pieces);
        self.head.spans as u64 + sealing.map(|piece| piece.span_count() as u64).sum::<u64>()
    }

    pub(crate) fn span_count(&self) -> u64 {
        let blocks: u64 = self.blocks.iter().map(|block| block.meta().span_count).sum();
        self.head_span_count() + blocks
    }

    pub(crate) fn block_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.meta().bytes()).sum()
    }
}
