//! What the store holds at a moment: open rows, frozen chunks and what they were merged into, a head
//! that is being sealed, blocks.

use std::sync::Arc;

use model::SpanBatch;

use crate::block::Block;
use crate::builder::ChunkBuilder;
use crate::memory::MemoryPiece;
use crate::piece::{Piece, StartRanges};
use crate::scopes::ScopePool;

/// A chunk is frozen at this many bytes even if it has few rows.
const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// So many chunks are merged: then most traces lie in one piece, and dictionaries are held once.
/// Every span is merged once on its way through the head, so that it costs little.
const MERGE_CHUNKS: usize = 8;

/// Fewer chunks are merged when they take so many bytes: merging takes as many once more.
const MERGE_BYTES: usize = 32 * 1024 * 1024;

/// Spans that are in the log only.
#[derive(Default)]
pub(crate) struct Head {
    /// Chunks that were merged, in the order they came.
    merged: Vec<Arc<MemoryPiece>>,
    /// Chunks that came after them.
    chunks: Vec<Arc<MemoryPiece>>,
    pub(crate) spans: usize,
    /// What its pieces take in memory, about.
    pub(crate) bytes: usize,
    /// What its requests take in the log.
    pub(crate) log_bytes: usize,
    /// When the first and the last span came; 0 when there is none.
    pub(crate) received_min: u64,
    pub(crate) received_max: u64,
}

impl Head {
    fn pieces(&self) -> impl Iterator<Item = Arc<dyn Piece>> + '_ {
        self.merged.iter().chain(&self.chunks).map(|piece| piece.clone() as Arc<dyn Piece>)
    }

    /// How many of the chunks are to be merged, from the first; 0 as long as there are too few.
    fn chunks_to_merge(&self) -> usize {
        let mut bytes = 0;
        for (at, chunk) in self.chunks.iter().enumerate() {
            bytes += chunk.bytes();
            let count = at + 1;
            if count >= MERGE_CHUNKS || (count > 1 && bytes >= MERGE_BYTES) {
                return count;
            }
        }
        0
    }
}

/// Chunks that are merged, and the name of what they become.
pub(crate) struct ChunkMerge {
    pub(crate) id: String,
    pub(crate) chunks: Vec<Arc<MemoryPiece>>,
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
    /// Adds a request's spans to the head. True when chunks can be merged now that could not before.
    pub(crate) fn append(&mut self, batch: &SpanBatch, received: u64, chunk_rows: usize) -> bool {
        self.frozen_tail = None;
        self.tail.append(batch, received, &mut self.pool);
        if self.head.received_min == 0 {
            self.head.received_min = received;
        }
        self.head.received_max = self.head.received_max.max(received);
        self.head.spans += batch.len();
        self.head.log_bytes += batch.bytes().len();
        let full = self.tail.len() >= chunk_rows || self.tail.bytes() >= CHUNK_BYTES_MAX;
        if full {
            self.freeze();
        }
        full && self.head.chunks_to_merge() > 0
    }

    fn freeze(&mut self) {
        if self.tail.len() == 0 {
            return;
        }
        let piece = self.tail_piece();
        self.head.bytes += piece.bytes();
        self.head.chunks.push(piece);
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

    /// The next chunks of the head to merge.
    pub(crate) fn next_merge(&mut self) -> Option<ChunkMerge> {
        let count = self.head.chunks_to_merge();
        if count == 0 {
            return None;
        }
        self.chunks_made += 1;
        let id = format!("merged-{}", self.chunks_made);
        Some(ChunkMerge { id, chunks: self.head.chunks[..count].to_vec() })
    }

    /// Puts what chunks became in their place. False, and nothing done, when they are not in the
    /// head any more.
    pub(crate) fn replace_chunks(
        &mut self,
        chunks: &[Arc<MemoryPiece>],
        by: Vec<Arc<MemoryPiece>>,
    ) -> bool {
        let Head { merged, chunks: present, bytes, .. } = &mut self.head;
        let first = present.iter().zip(chunks).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        if first < chunks.len() {
            return false;
        }
        let sum = |pieces: &[Arc<MemoryPiece>]| -> usize {
            pieces.iter().map(|piece| piece.bytes()).sum()
        };
        *bytes = bytes.saturating_sub(sum(chunks)) + sum(&by);
        present.drain(..first);
        merged.extend(by);
        true
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
            pieces: head.pieces().collect(),
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
        all.extend(self.head.pieces());
        all.extend(self.sealing.iter().flat_map(|sealing| sealing.pieces.iter().cloned()));
        all.extend(self.blocks.iter().map(|block| block.clone() as Arc<dyn Piece>));
        all
    }

    /// The name of the piece that takes new spans, as it is among the pieces now.
    pub(crate) fn open_piece(&self) -> Option<String> {
        self.frozen_tail.as_ref().map(|piece| piece.id().to_owned())
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::merge::merge_in_memory;

    /// A head of so many chunks.
    fn head_of(chunks: usize) -> State {
        let mut generator = loadgen::Generator::new(loadgen::Options::default());
        let (mut state, mut out) = (State::default(), Vec::new());
        for chunk in 0..chunks {
            generator.request(4, 1_800_000_000_000_000_000, &mut out);
            let batch = SpanBatch::decode(Bytes::from(std::mem::take(&mut out))).unwrap();
            let can_merge = state.append(&batch, 1, 1);
            assert_eq!(can_merge, chunk + 1 >= MERGE_CHUNKS);
        }
        state
    }

    fn merged(ChunkMerge { id, chunks }: &ChunkMerge) -> Arc<MemoryPiece> {
        let pieces: Vec<Arc<dyn Piece>> =
            chunks.iter().map(|chunk| chunk.clone() as Arc<dyn Piece>).collect();
        Arc::new(merge_in_memory(id.clone(), &pieces).unwrap())
    }

    #[test]
    fn merged_chunks_take_the_place_of_theirs() {
        let mut state = head_of(MERGE_CHUNKS + 1);
        let (spans, bytes) = (state.span_count(), state.head().bytes);
        let merge = state.next_merge().unwrap();
        assert!(state.replace_chunks(&merge.chunks, vec![merged(&merge)]));
        assert_eq!(state.pieces().len(), 2);
        assert!(state.next_merge().is_none());
        let held: usize = state.pieces().iter().map(|piece| piece.span_count()).sum();
        assert_eq!((state.span_count(), held as u64), (spans, spans));
        let held: usize =
            state.pieces().iter().filter_map(|piece| piece.memory()).map(MemoryPiece::bytes).sum();
        assert_eq!(state.head().bytes, held);
        assert!(held < bytes);
        // For the second time they are not there any more.
        assert!(!state.replace_chunks(&merge.chunks, vec![merged(&merge)]));
    }

    #[test]
    fn a_merge_that_a_seal_overtakes_is_for_nothing() {
        let mut state = head_of(MERGE_CHUNKS);
        let merge = state.next_merge().unwrap();
        state.begin_sealing(1);
        assert!(!state.replace_chunks(&merge.chunks, vec![merged(&merge)]));
        assert_eq!(state.pieces().len(), MERGE_CHUNKS);
        let sealing = state.sealing.as_ref().map(|sealing| sealing.pieces.len());
        assert_eq!((sealing, state.head().bytes), (Some(MERGE_CHUNKS), 0));
    }
}
