//! How far a consumer is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::assignment::TopicPartition;
use crate::error::Error;

/// A partition that is being read.
#[derive(Debug, Clone)]
pub struct PartitionView {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
    /// The next record to handle.
    pub next: i64,
    /// The next that will be written, as the last answer told.
    pub end: i64,
}

/// What a consumer tells of itself.
#[derive(Default)]
pub struct ConsumerState {
    pub(super) partitions: Mutex<BTreeMap<(Arc<str>, i32), Mark>>,
    /// Times that it became a part of a generation.
    pub generations: AtomicU64,
    /// Partitions that it began to read.
    pub partitions_begun: AtomicU64,
    /// Partitions that it ceased to read.
    pub partitions_ended: AtomicU64,
    /// Commits that a coordinator did not take.
    pub commits_failed: AtomicU64,
    /// How many of them one after the other, and what was said last.
    failing: Mutex<(u32, String)>,
}

/// Commits fail while a group changes. So many one after the other tell of something else.
const FAILING_MIN: u32 = 5;

#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) next: i64,
    pub(super) end: i64,
    pub(super) committed: i64,
}

impl ConsumerState {
    /// The partitions that are being read now.
    pub fn partitions(&self) -> Vec<PartitionView> {
        let all = self.partitions.lock();
        let view = |((topic, partition), mark): (&(Arc<str>, i32), &Mark)| PartitionView {
            topic: Arc::clone(topic),
            partition: *partition,
            next: mark.next,
            end: mark.end,
        };
        all.iter().map(view).collect()
    }

    /// Why nothing is committed, if that is so for a while.
    pub fn commit_trouble(&self) -> Option<String> {
        let (count, error) = &*self.failing.lock();
        let trouble = || format!("offsets are not committed, so that all comes again: {error}");
        (*count >= FAILING_MIN).then(trouble)
    }

    /// A commit was not taken. True when that has been so for a while.
    pub(super) fn commit_failed(&self, error: &Error) -> bool {
        self.commits_failed.fetch_add(1, Ordering::Relaxed);
        let (count, last) = &mut *self.failing.lock();
        *count = count.saturating_add(1);
        *last = error.to_string();
        *count == FAILING_MIN
    }

    pub(super) fn mark(&self, topic: &Arc<str>, partition: i32, next: i64) {
        if let Some(mark) = self.partitions.lock().get_mut(&(Arc::clone(topic), partition)) {
            mark.next = mark.next.max(next);
        }
    }

    /// Goes on from somewhere else, perhaps from before.
    pub(super) fn reset(&self, topic: &Arc<str>, partition: i32, next: i64) {
        if let Some(mark) = self.partitions.lock().get_mut(&(Arc::clone(topic), partition)) {
            *mark = Mark { next, end: next, committed: -1 };
        }
    }

    pub(super) fn saw_end(&self, topic: &Arc<str>, partition: i32, end: i64) {
        if let Some(mark) = self.partitions.lock().get_mut(&(Arc::clone(topic), partition)) {
            mark.end = end;
        }
    }

    pub(super) fn uncommitted(&self) -> Vec<(TopicPartition, i64)> {
        let all = self.partitions.lock();
        let new = all.iter().filter(|(_, mark)| mark.next > mark.committed);
        new.map(|((topic, partition), mark)| ((topic.to_string(), *partition), mark.next)).collect()
    }

    pub(super) fn committed(&self, offsets: &[(TopicPartition, i64)]) {
        *self.failing.lock() = Default::default();
        let mut all = self.partitions.lock();
        for ((topic, partition), offset) in offsets {
            if let Some(mark) = all.get_mut(&(Arc::from(topic.as_str()), *partition)) {
                mark.committed = mark.committed.max(*offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn commits_that_fail_again_and_again_are_trouble() {
        let state = ConsumerState::default();
        let error = Error::refused("group g", Code::GROUP_AUTHORIZATION_FAILED);
        for count in 1..=2 * FAILING_MIN {
            assert_eq!(state.commit_failed(&error), count == FAILING_MIN, "{count}");
            let trouble = state.commit_trouble();
            assert_eq!(trouble.is_some(), count >= FAILING_MIN, "{count}");
            assert!(trouble.is_none_or(|why| why.contains("GROUP_AUTHORIZATION_FAILED")));
        }
        state.committed(&[]);
        assert_eq!(state.commit_trouble(), None);
    }
}
