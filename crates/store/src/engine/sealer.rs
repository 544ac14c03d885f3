//! The sealer: a full head into a block, and then its log away. Between two heads it merges chunks of
//! the one that fills: only when none waits, and a few at a time, so that no head waits long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::state::{ChunkMerge, Sealing};
use crate::block::{Block, BlockFacts, BlockMeta};
use crate::files::sync_folder;
use crate::log;
use crate::merge::{MergeError, merge, merge_in_memory};
use crate::piece::Piece;

/// How long after a failure sealing is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Sealing has to keep up with arrival: the quickest level.
const ZSTD_LEVEL: i32 = 1;

enum Job {
    Seal(Sealing),
    Merge(ChunkMerge),
}

/// Waits for something to do; `None` at the end.
fn next_job(shared: &Shared) -> Option<Job> {
    let mut state = shared.state.lock();
    loop {
        if shared.stopping() {
            return None;
        }
        if let Some(sealing) = &state.sealing {
            return Some(Job::Seal(sealing.clone()));
        }
        if let Some(merge) = state.next_merge() {
            return Some(Job::Merge(merge));
        }
        shared.changed.wait_for(&mut state, Duration::from_secs(1));
    }
}

pub(crate) fn run(shared: &Arc<Shared>) {
    while let Some(job) = next_job(shared) {
        let sealing = match job {
            Job::Seal(sealing) => sealing,
            Job::Merge(merge) => {
                merge_chunks(shared, merge);
                continue;
            }
        };
        match seal(shared, &sealing) {
            Ok(()) => shared.workers.clear_problem("sealing"),
            Err(MergeError::Stopped) => {}
            Err(error) => {
                let path = shared.options.data_dir.display();
                let problem = format!("a block in {path} could not be written: {error}");
                tracing::error!("{problem}");
                shared.workers.set_problem("sealing", problem);
                let mut state = shared.state.lock();
                shared.changed.wait_for(&mut state, RETRY_INTERVAL);
            }
        }
    }
}

/// Merges chunks of the head into one piece. Done for nothing when the head goes to be sealed
/// meanwhile.
fn merge_chunks(shared: &Shared, ChunkMerge { id, chunks }: ChunkMerge) {
    let pieces: Vec<Arc<dyn Piece>> =
        chunks.iter().map(|chunk| chunk.clone() as Arc<dyn Piece>).collect();
    let by = match merge_in_memory(id, &pieces) {
        Ok(merged) => vec![Arc::new(merged)],
        Err(error) => {
            // They serve as they are, and are not tried again.
            tracing::error!(%error, "chunks of the head could not be merged");
            chunks.clone()
        }
    };
    shared.state.lock().replace_chunks(&chunks, by);
}

fn seal(shared: &Arc<Shared>, sealing: &Sealing) -> Result<(), MergeError> {
    let facts = BlockFacts {
        id: new_id(shared),
        created_unix_nano: shared.now(),
        received_min_unix_nano: sealing.received_min,
        received_max_unix_nano: sealing.received_max,
        start_ranges: sealing.start_ranges(),
        log_through: sealing.log_through,
        replaces: Vec::new(),
    };
    let block = write_block(shared, &sealing.pieces, facts, ZSTD_LEVEL)?;
    {
        let mut state = shared.state.lock();
        state.add_block(block);
        state.sealing = None;
    }
    // Before anyone adds up what the disk holds.
    remove_log(shared, sealing.log_through);
    shared.changed.notify_all();
    Ok(())
}

/// Merges pieces into a block that is in its place and open, but not yet among the others.
pub(crate) fn write_block(
    shared: &Arc<Shared>,
    pieces: &[Arc<dyn Piece>],
    facts: BlockFacts,
    zstd_level: i32,
) -> Result<Arc<Block>, MergeError> {
    let temporary = shared.temporary_dir().join(&facts.id);
    let stopped = || shared.stopping();
    let written = merge(pieces, temporary.clone(), facts, zstd_level, &stopped)
        .and_then(|meta| put_in_place(shared, &temporary, meta));
    if written.is_err() {
        // Room that a failed attempt takes would make the next fail as well. What remains is
        // cleared at the next start.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    written
}

fn put_in_place(
    shared: &Arc<Shared>,
    temporary: &PathBuf,
    meta: BlockMeta,
) -> Result<Arc<Block>, MergeError> {
    let day = shared.blocks_dir().join(day_of(meta.received_max_unix_nano));
    let folder = day.join(&meta.id);
    let moved = std::fs::create_dir_all(&day)
        .and_then(|()| sync_folder(&shared.blocks_dir()))
        .and_then(|()| std::fs::rename(temporary, &folder))
        .and_then(|()| sync_folder(&day));
    moved.map_err(|error| MergeError::Write(Box::new(error)))?;
    Ok(Arc::new(Block::open(&folder, meta, shared.cache.clone())?))
}

/// Deletes log segments whose spans are in blocks.
pub(crate) fn remove_log(shared: &Shared, through: u64) {
    let segments = log::segments(&shared.log_dir()).unwrap_or_default();
    for (_, path) in segments.into_iter().filter(|&(number, _)| number <= through) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a log segment was not deleted");
        }
    }
}

/// A name for a block: sorts by time, then in order of making, and is unique even where the clock
/// went back between two starts.
pub(crate) fn new_id(shared: &Shared) -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) & 0xffff;
    let random = RandomState::new().hash_one(number) as u32;
    format!("{:016x}-{number:04x}-{random:08x}", shared.now())
}

/// The UTC day of a time, as a folder's name.
pub(crate) fn day_of(unix_nano: u64) -> String {
    // Civil from days (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let days = (unix_nano / 86_400_000_000_000) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_798_761_599, "2026-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day_of(seconds * 1_000_000_000), day);
        }
    }
}
