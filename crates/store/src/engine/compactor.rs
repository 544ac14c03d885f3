//! The compactor: small blocks of a day or less into larger ones, and retention.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::sealer::{new_id, write_block};
use crate::block::{Block, BlockFacts};
use crate::files::folder_bytes;
use crate::merge::MergeError;
use crate::piece::{Piece, StartRanges};

/// How often retention by bytes is enforced when nothing else happens: the log grows by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Blocks are merged within a day of arrival, and within less where spans are kept for less than
/// so many days: a merged block leaves as a whole, its first spans with its last.
const RETENTION_PARTS: u32 = 8;

const DAY: Duration = Duration::from_secs(24 * 3600);

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
            let wait = wait_for_retention(shared, state.blocks());
            shared.changed.wait_for(&mut state, wait);
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

/// The time in which blocks came that may be merged: a day, or a whole part of one that is short
/// beside the retention.
fn slice(retention: Duration) -> Duration {
    let parts = DAY.as_nanos().div_ceil((retention / RETENTION_PARTS).as_nanos().max(1));
    // Beyond a part a minute, heads are older than that.
    DAY / u32::try_from(parts).unwrap_or(u32::MAX).clamp(1, 24 * 60)
}

/// How long nothing can expire: up to the end of the oldest block, and no longer than bytes may go
/// unwatched.
fn wait_for_retention(shared: &Shared, blocks: &[Arc<Block>]) -> Duration {
    let received = blocks.iter().map(|block| block.meta().received_max_unix_nano);
    wait_until_expiry(shared.now(), received.min(), shared.options.retention)
}

fn wait_until_expiry(now: u64, oldest: Option<u64>, retention: Duration) -> Duration {
    let Some(oldest) = oldest else { return LOOK_INTERVAL };
    let left = Duration::from_nanos(oldest).saturating_add(retention);
    let left = left.saturating_sub(Duration::from_nanos(now));
    // A block that should be gone and is not must not be asked after without rest.
    left.clamp(Duration::from_millis(10), LOOK_INTERVAL)
}

/// The blocks to merge next: of one slice of time and of like size, the oldest first.
fn pick(blocks: &[Arc<Block>], shared: &Shared) -> Option<Vec<Arc<Block>>> {
    let options = &shared.options;
    let (day_nano, slice_nano) = (DAY.as_nanos(), slice(options.retention).as_nanos());
    let mut classes: BTreeMap<_, Vec<Arc<Block>>> = BTreeMap::new();
    for block in blocks {
        let meta = block.meta();
        if meta.span_count >= options.block_spans_max / 2 {
            continue;
        }
        let class = meta.span_count.max(1).ilog(CLASS_FACTOR);
        let received = u128::from(meta.received_max_unix_nano);
        let (day, slice) = (received / day_nano, received % day_nano / slice_nano);
        classes.entry((day, slice, class)).or_default().push(block.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_expires_on_time() {
        let seconds = Duration::from_secs;
        let at = |time: u64| time * 1_000_000_000;
        for (now, oldest, retention, wait) in [
            (at(100), None, seconds(60), LOOK_INTERVAL),
            (at(100), Some(at(99)), seconds(60), LOOK_INTERVAL),
            (at(100), Some(at(42)), seconds(60), seconds(2)),
            (at(100), Some(at(40)), seconds(60), Duration::from_millis(10)),
            (at(100), Some(at(1)), seconds(60), Duration::from_millis(10)),
            (0, Some(u64::MAX), Duration::MAX, LOOK_INTERVAL),
        ] {
            assert_eq!(wait_until_expiry(now, oldest, retention), wait, "{now} {oldest:?}");
        }
    }

    #[test]
    fn merged_blocks_span_a_small_part_of_the_retention() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for retention in [hours(0), hours(1), hours(2), hours(24), hours(150), hours(14 * 24)] {
            let slice = slice(retention);
            assert_eq!(DAY.as_nanos() % slice.as_nanos(), 0, "{retention:?}: {slice:?} of a day");
            let most = (retention / RETENTION_PARTS).max(Duration::from_secs(60));
            assert!(slice <= most && slice <= DAY, "{retention:?}: {slice:?}");
        }
        assert_eq!(slice(hours(14 * 24)), DAY);
        assert_eq!(slice(hours(24)), hours(3));
    }
}
