//! How far a consumer is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use crate::assignment::TopicPartition;

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
}

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
        let mut all = self.partitions.lock();
        for ((topic, partition), offset) in offsets {
            if let Some(mark) = all.get_mut(&(Arc::from(topic.as_str()), *partition)) {
                mark.committed = mark.committed.max(*offset);
            }
        }
    }
}
