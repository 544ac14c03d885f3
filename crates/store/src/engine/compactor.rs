//! The compactor: small blocks of a day into larger ones, and retention.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::sealer::{day_of, new_id, write_block};
use crate::block::{Block, BlockFacts};
use crate::files::folder_bytes;
use crate::merge::MergeError;
use crate::piece::{Piece, StartRanges};

/// How often retention is enforced when nothing else happens.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A merged block is read often and written seldom: more work for less space.
const ZSTD_LEVEL: i32 = 1;

/// Blocks of one class differ in size by less than this factor.
const CLASS_FACTOR: u64 = 8;

pub(crate) fn run(shared: &Arc<Shared>) {
    while !shared.stopping() {
        retain(shared);
        let failed = match compact_once(shared) {
            Ok(true) => continue,
            Ok(false) => {
                shared.workers.clear_problem("compaction");
                false
            }
            Err(MergeError::Stopped) => return,
            Err(MergeError::Damaged(damaged)) => {
                shared.report(&[damaged]);
                true
            }
            Err(MergeError::Write(error)) => {
                let path = shared.options.data_dir.display();
                let problem = format!("blocks in {path} could not be merged: {error}");
                tracing::error!("{problem}");
                shared.workers.set_problem("compaction", problem);
                true
            }
        };
        let mut state = shared.state.lock();
        // A block that came since the look was not waited for.
        let idle = failed || pick(state.blocks(), shared).is_none();
        if idle && !shared.stopping() {
            shared.changed.wait_for(&mut state, LOOK_INTERVAL);
        }
    }
}

/// Merges one group of blocks; false when there is none to merge.
fn compact_once(shared: &Arc<Shared>) -> Result<bool, MergeError> {
    let blocks = shared.state.lock().blocks().to_vec();
    let Some(group) = pick(&blocks, shared) else { return Ok(false) };
    let metas: Vec<_> = group.iter().map(|block| block.meta()).collect();
    let mut start_ranges = StartRanges::default();
    for meta in &metas {
        start_ranges.join(&meta.start_ranges);
    }
    let facts = BlockFacts {
        id: new_id(shared),
        created_unix_nano: shared.now(),
        received_min_unix_nano: metas
            .iter()
            .map(|meta| meta.received_min_unix_nano)
            .min()
            .unwrap_or(0),
        received_max_unix_nano: metas
            .iter()
            .map(|meta| meta.received_max_unix_nano)
            .max()
            .unwrap_or(0),
        start_ranges,
        log_through: metas.iter().map(|meta| meta.log_through).max().unwrap_or(0),
        replaces: metas.iter().map(|meta| meta.id.clone()).collect(),
    };
    let pieces: Vec<Arc<dyn Piece>> =
        group.iter().map(|block| block.clone() as Arc<dyn Piece>).collect();
    let merged = write_block(shared, &pieces, facts, ZSTD_LEVEL)?;
    {
        let mut state = shared.state.lock();
        for block in &group {
            state.remove_block(block.id());
        }
        state.add_block(merged);
    }
    for block in &group {
        block.remove_when_unused(shared.temporary_dir());
    }
    shared.changed.notify_all();
    Ok(true)
}

/// The blocks to merge next: of one day and of like size, the oldest first.
fn pick(blocks: &[Arc<Block>], shared: &Shared) -> Option<Vec<Arc<Block>>> {
    let options = &shared.options;
    let mut classes: BTreeMap<(String, u32), Vec<Arc<Block>>> = BTreeMap::new();
    for block in blocks {
        let meta = block.meta();
        if meta.span_count >= options.block_spans_max / 2 {
            continue;
        }
        let class = meta.span_count.max(1).ilog(CLASS_FACTOR);
        let day = day_of(meta.received_max_unix_nano);
        classes.entry((day, class)).or_default().push(block.clone());
    }
    for mut group in classes.into_values() {
        group.sort_by_key(|block| block.meta().received_min_unix_nano);
        let spans = |group: &[Arc<Block>]| -> u64 {
            group.iter().map(|block| block.meta().span_count).sum()
        };
        if group.len() < 2
            || (group.len() < options.merge_blocks && spans(&group) < options.block_spans_max)
        {
            continue;
        }
        // A merged block is at most about as large as the limit.
        let mut sum = 0;
        let fitting = group
            .iter()
            .take_while(|block| {
                sum += block.meta().span_count;
                sum <= options.block_spans_max + options.block_spans_max / 4
            })
            .count();
        // Each block that is read takes memory, however many wait.
        group.truncate(fitting.min(options.merge_blocks).max(2));
        return Some(group);
    }
    None
}

/// Deletes blocks that are too old, and the oldest while there are too many bytes.
fn retain(shared: &Arc<Shared>) {
    let log_bytes = folder_bytes(&shared.log_dir());
    let now = u128::from(shared.now());
    let mut state = shared.state.lock();
    let mut blocks = state.blocks().to_vec();
    blocks.sort_by_key(|block| block.meta().received_max_unix_nano);
    let mut bytes = log_bytes + state.block_bytes();
    let mut removed = Vec::new();
    for block in blocks {
        let meta = block.meta();
        let end = u128::from(meta.received_max_unix_nano) + shared.options.retention.as_nanos();
        if end > now && bytes <= shared.disk_limit_bytes {
            break;
        }
        bytes -= meta.bytes();
        state.remove_block(block.id());
        removed.push(block);
    }
    drop(state);
    for block in removed {
        let meta = block.meta();
        tracing::info!(block = meta.id, spans = meta.span_count, "a block left by retention");
        block.remove_when_unused(shared.temporary_dir());
    }
}

/// Waits until no head waits to be sealed and no block to be merged.
pub(crate) fn wait_until_idle(shared: &Arc<Shared>) {
    let mut state = shared.state.lock();
    loop {
        let blocks = state.blocks().to_vec();
        let idle = state.sealing.is_none() && pick(&blocks, shared).is_none();
        if idle || shared.stopping() {
            return;
        }
        shared.changed.wait_for(&mut state, Duration::from_millis(100));
    }
}
