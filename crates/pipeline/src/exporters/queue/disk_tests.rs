use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const BYTES_MAX: u64 = 64 << 10;

struct Folder {
    dir: TempDir,
    /// Writes fail, after a part of them was written.
    disk_full: Arc<AtomicBool>,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), disk_full: Arc::default() }
    }

    fn settings(&self) -> PersistentSettings {
        PersistentSettings {
            disk_bytes_max: BYTES_MAX,
            ..PersistentSettings::new(self.dir.path().join("queue"))
        }
    }

    fn open(&self) -> DiskQueue {
        let full = Arc::clone(&self.disk_full);
        let write_at: WriteAt = Box::new(move |file, bytes, at| {
            if full.load(Ordering::SeqCst) {
                file.write_all_at(&bytes[..bytes.len() / 2], at)?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.write_all_at(bytes, at)
        });
        DiskQueue::open_with(&self.settings(), Sizer::Requests, 1000, write_at).unwrap()
    }

    /// The segments, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.settings().folder).unwrap();
        let mut paths: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "queue"))
            .collect();
        paths.sort();
        paths
    }

    fn bytes(&self) -> u64 {
        self.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    }
}

impl DiskQueue {
    /// From here on nothing that was written can be read.
    pub(in crate::exporters::queue) fn break_reads(&self) {
        for segment in self.state.lock().segments.values_mut() {
            let file = OpenOptions::new().write(true).open(&segment.path).unwrap();
            segment.file = Arc::new(file);
        }
    }
}

/// A payload that is like no other.
fn data(tag: u64, length: usize) -> Encoded {
    let mut payload = tag.to_le_bytes().to_vec();
    payload.resize(length.max(8), tag as u8);
    let (first, second) = payload.split_at(length / 2);
    let parts = vec![Bytes::copy_from_slice(first), Bytes::copy_from_slice(second)];
    Encoded { parts, items: tag }
}

fn push(queue: &DiskQueue, tag: u64, length: usize) -> Result<(), WriteError> {
    let id = queue.push(&data(tag, length))?;
    queue.publish(id);
    Ok(())
}

fn tag(found: &Found) -> u64 {
    let payload = found.read().unwrap().expect("a whole record");
    let tag = u64::from_le_bytes(*payload.first_chunk().unwrap());
    assert_eq!(found.items, tag);
    tag
}

fn take(queue: &DiskQueue) -> Option<(u64, Found)> {
    let id = queue.take()?;
    Some((id, queue.find(id).expect("a record that is not done")))
}

fn take_all(queue: &DiskQueue) -> Vec<u64> {
    std::iter::from_fn(|| take(queue)).map(|(_, found)| tag(&found)).collect()
}

#[test]
fn what_is_not_done_comes_again_in_order() {
    let folder = Folder::new();
    let queue = folder.open();
    for tag in 1..=5 {
        push(&queue, tag, 100).unwrap();
    }
    let taken: Vec<u64> = (0..3).map(|_| queue.take().unwrap()).collect();
    queue.done(taken[1]);
    assert!(queue.find(taken[1]).is_none());
    drop(queue);
    let queue = folder.open();
    assert_eq!(queue.held().records, 4);
    assert_eq!(take_all(&queue), [1, 3, 4, 5]);
}

/// Spans are nobody else's on the machine.
#[test]
fn others_cannot_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let queue = folder.open();
    push(&queue, 1, 10).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let own = folder.settings().folder;
    assert_eq!(mode(&own), 0o750);
    assert_eq!(mode(&own.join("lock")), 0o600);
    assert_eq!(mode(&folder.segments()[0]), 0o600);
}

#[test]
fn two_cannot_have_it() {
    let folder = Folder::new();
    let queue = folder.open();
    let again = DiskQueue::open(&folder.settings(), Sizer::Requests, 1000);
    assert!(matches!(again, Err(OpenError::Locked(_))));
    queue.close();
    assert!(matches!(push(&queue, 1, 10), Err(WriteError::Closed)));
    DiskQueue::open(&folder.settings(), Sizer::Requests, 1000).unwrap();
}

#[test]
fn a_full_disk_refuses_until_there_is_room() {
    let folder = Folder::new();
    let queue = folder.open();
    push(&queue, 1, 3000).unwrap();
    let before = folder.bytes();
    folder.disk_full.store(true, Ordering::SeqCst);
    for _ in 0..100 {
        assert!(matches!(push(&queue, 2, 3000), Err(WriteError::Io(_))));
    }
    assert_eq!(folder.bytes(), before, "what was written in part is cut off again");
    folder.disk_full.store(false, Ordering::SeqCst);
    push(&queue, 3, 3000).unwrap();
    drop(queue);
    assert_eq!(take_all(&folder.open()), [1, 3]);
}

#[test]
fn a_queue_that_is_full_has_room_when_some_is_done() {
    let folder = Folder::new();
    let queue = DiskQueue::open(&folder.settings(), Sizer::Requests, 3).unwrap();
    for tag in 1..=3 {
        push(&queue, tag, 10).unwrap();
    }
    assert!(matches!(push(&queue, 4, 10), Err(WriteError::Full)));
    queue.done(queue.take().unwrap());
    push(&queue, 4, 10).unwrap();
    assert!(matches!(push(&queue, 5, BYTES_MAX as usize), Err(WriteError::TooLarge)));
    assert_eq!(take_all(&queue), [2, 3, 4]);
}

#[test]
fn a_record_that_is_stuck_does_not_keep_others_on_disk() {
    let folder = Folder::new();
    let queue = folder.open();
    let mut stuck = BTreeSet::new();
    for tag in 1..=3000 {
        push(&queue, tag, 700).unwrap();
        let id = queue.take().unwrap();
        // One in each few segments, so that none could be deleted.
        if tag % 100 == 1 {
            stuck.insert(tag);
        } else {
            queue.done(id);
        }
        assert!(folder.bytes() <= BYTES_MAX, "{tag}");
        assert_eq!(folder.bytes(), queue.held().disk_bytes, "{tag}");
    }
    drop(queue);
    assert_eq!(take_all(&folder.open()).into_iter().collect::<BTreeSet<_>>(), stuck);
}

#[test]
fn damage_costs_what_is_damaged() {
    let record = HEADER_BYTES as u64 + 100;
    // Where bytes are overwritten, who is left of four, and how many items are counted at the start:
    // where a header is gone, the mean of those that are left.
    for (at, with, whole, damaged, counted) in [
        (record + 50, &b"xx"[..], vec![1, 3, 4], vec![2], 0),
        (record + 4, b"xx", vec![1, 3, 4], vec![], 3),
        (record, &[0x55; 124 + 10][..], vec![1, 4], vec![], 5),
        (3 * record + 5, b"x", vec![1, 2, 3], vec![], 2),
        (0, b"?", vec![1, 2, 3, 4], vec![], 0),
        (0, &[0; 4 * 124][..], vec![], vec![], 1),
    ] {
        let folder = Folder::new();
        let queue = folder.open();
        for tag in 1..=4 {
            push(&queue, tag, 100).unwrap();
        }
        drop(queue);
        let file = OpenOptions::new().write(true).open(&folder.segments()[0]).unwrap();
        file.write_all_at(with, at).unwrap();
        let queue = folder.open();
        assert_eq!(queue.damaged_items, counted, "{at}");
        let (mut read, mut broken) = (Vec::new(), Vec::new());
        while let Some((_, found)) = take(&queue) {
            match found.read().unwrap() {
                Some(_) => read.push(found.items),
                None => broken.push(found.items),
            }
        }
        assert_eq!((read, broken), (whole, damaged), "{at}");
    }
}

#[test]
fn a_torn_end_was_not_acknowledged_and_is_removed() {
    for cut in 1..(HEADER_BYTES as u64 + 100) {
        let folder = Folder::new();
        let queue = folder.open();
        for tag in 1..=3 {
            push(&queue, tag, 100).unwrap();
        }
        drop(queue);
        let file = OpenOptions::new().write(true).open(&folder.segments()[0]).unwrap();
        let bytes = file.metadata().unwrap().len();
        file.set_len(bytes - cut).unwrap();
        let queue = folder.open();
        assert_eq!(queue.damaged_items, 0, "{cut} bytes cut off");
        assert_eq!(folder.bytes(), 2 * (HEADER_BYTES as u64 + 100), "{cut} bytes cut off");
        push(&queue, 4, 100).unwrap();
        drop(queue);
        let queue = folder.open();
        assert_eq!(queue.damaged_items, 0, "{cut} bytes cut off, a start later");
        assert_eq!(take_all(&queue), [1, 2, 4], "{cut} bytes cut off");
    }
}

/// Nobody was writing there: records went missing that were acknowledged.
#[test]
fn a_torn_end_before_the_newest_segment_is_damage() {
    for cut in 1..(HEADER_BYTES as u64 + 100) {
        let folder = Folder::new();
        for tag in 1..=3 {
            // A new process begins a new segment.
            push(&folder.open(), tag, 100).unwrap();
        }
        let file = OpenOptions::new().write(true).open(&folder.segments()[1]).unwrap();
        file.set_len(HEADER_BYTES as u64 + 100 - cut).unwrap();
        let queue = folder.open();
        // The header tells, while it is there.
        let counted = if cut <= 100 { 2 } else { 1 };
        assert_eq!(queue.damaged_items, counted, "{cut} bytes cut off");
        assert_eq!(take_all(&queue), [1, 3], "{cut} bytes cut off");
    }
}

#[derive(Debug, Clone)]
enum Op {
    Push(usize),
    Take,
    /// One of those that are taken.
    Done(usize),
    /// The process ends; with a record half written.
    Crash {
        torn: bool,
    },
    /// From here on, or no longer.
    DiskFull(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..6000).prop_map(Op::Push),
        5 => Just(Op::Take),
        5 => any::<usize>().prop_map(Op::Done),
        1 => any::<bool>().prop_map(|torn| Op::Crash { torn }),
        1 => any::<bool>().prop_map(Op::DiskFull),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_bounds_hold(ops in prop::collection::vec(op(), 1..250)) {
        let folder = Folder::new();
        let mut queue = folder.open();
        let mut next_tag = 0;
        // What was acknowledged and is not done.
        let mut kept = BTreeSet::new();
        let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Push(length) => {
                    next_tag += 1;
                    match push(&queue, next_tag, length) {
                        Ok(()) => {
                            kept.insert(next_tag);
                        }
                        Err(WriteError::Full) => {
                            // Half of it is in use.
                            let live: u64 = queue.held().disk_bytes;
                            prop_assert!(live > BYTES_MAX / 2);
                        }
                        Err(WriteError::Io(_)) => {
                            prop_assert!(folder.disk_full.load(Ordering::SeqCst));
                        }
                        Err(error) => prop_assert!(false, "{error:?}"),
                    }
                }
                Op::Take => {
                    if let Some((id, found)) = take(&queue) {
                        let tag = tag(&found);
                        prop_assert!(kept.contains(&tag), "{tag} was done");
                        prop_assert!(taken.insert(tag, id).is_none(), "{tag} came twice");
                    }
                }
                Op::Done(which) if !taken.is_empty() => {
                    let (&tag, &id) = taken.iter().nth(which % taken.len()).unwrap();
                    queue.done(id);
                    taken.remove(&tag);
                    kept.remove(&tag);
                }
                Op::Done(_) => {}
                Op::Crash { torn } => {
                    drop(queue);
                    taken.clear();
                    if let Some(newest) = folder.segments().last().filter(|_| torn) {
                        let file = OpenOptions::new().write(true).open(newest).unwrap();
                        let header =
                            Header { done: false, length: 1 << 20, items: 1, payload_crc: 0 };
                        let end = file.metadata().unwrap().len();
                        if end + 34 < BYTES_MAX {
                            file.write_all_at(&header.encode(), end).unwrap();
                            file.write_all_at(&[7; 10], end + 24).unwrap();
                        }
                    }
                    queue = folder.open();
                }
                Op::DiskFull(full) => folder.disk_full.store(full, Ordering::SeqCst),
            }
            let held = queue.held();
            prop_assert_eq!(held.records, kept.len() as u64);
            prop_assert!(held.disk_bytes <= BYTES_MAX + 34, "{held:?}");
            prop_assert!(folder.bytes() <= held.disk_bytes);
        }
        drop(queue);
        let left: BTreeSet<u64> = take_all(&folder.open()).into_iter().collect();
        prop_assert_eq!(left, kept);
    }
}
