use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use parking_lot::Condvar;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::exporters::settings::Sizer;

/// How long a write waits at most, so that a test that is held up by it ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A disk whose writes wait while it is told to.
#[derive(Default)]
struct Disk {
    is_slow: Mutex<bool>,
    changed: Condvar,
    is_waited_for: AtomicBool,
    gave_up: AtomicBool,
}

impl Disk {
    fn set_slow(&self, is_slow: bool) {
        *self.is_slow.lock() = is_slow;
        self.changed.notify_all();
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut is_slow = self.is_slow.lock();
        if *is_slow {
            self.is_waited_for.store(true, Ordering::SeqCst);
            let slow = |is_slow: &mut bool| *is_slow;
            if self.changed.wait_while_for(&mut is_slow, slow, PATIENCE).timed_out() {
                self.gave_up.store(true, Ordering::SeqCst);
            }
        }
        file.write_all_at(bytes, at)
    }
}

fn queue_in(dir: &TempDir, disk: &Arc<Disk>) -> Arc<PersistentQueue> {
    let settings = PersistentSettings::new(dir.path());
    let disk = Arc::clone(disk);
    let write_at = Box::new(move |file: &File, bytes: &[u8], at| disk.write(file, bytes, at));
    let files = DiskQueue::open_with(&settings, Sizer::Requests, 100, write_at).unwrap();
    PersistentQueue::of(files, Arc::default())
}

fn items(items: u64) -> Encoded {
    Encoded { parts: vec![vec![items as u8; 100].into()], items }
}

/// All of it on the runtime's only thread: were one of these to wait for the disk, the write would
/// give up.
#[tokio::test]
async fn a_slow_disk_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::<Disk>::default();
    let queue = queue_in(&dir, &disk);
    queue.push(items(1), None, false).await.unwrap();
    queue.push(items(2), None, false).await.unwrap();
    let part = queue.pop().await.unwrap();

    disk.set_slow(true);
    let own = Arc::clone(&queue);
    let writing = tokio::spawn(async move { own.push(items(3), None, false).await });
    while !disk.is_waited_for.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    assert!(queue.ready().await);
    part.ticket.settle(1, Ok(()));
    drop(part);
    {
        let mut popping = pin!(queue.pop());
        assert!(futures_util::poll!(popping.as_mut()).is_pending());
        let mut pushing = pin!(queue.push(items(4), None, false));
        assert!(futures_util::poll!(pushing.as_mut()).is_pending());
    }
    assert!(queue.ready().await, "who gave up puts it back");
    assert!(!disk.gave_up.load(Ordering::SeqCst));

    disk.set_slow(false);
    writing.await.unwrap().unwrap();
    assert_eq!(queue.pop().await.map(|part| part.data.items), Some(2));
    assert_eq!(queue.records().await, 2, "what was sent is marked by now");
}

#[tokio::test]
async fn what_cannot_be_read_now_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue_in(&dir, &Arc::default());
    queue.push(items(3), None, false).await.unwrap();
    queue.disk.break_reads();
    assert!(queue.pop().await.is_none());
    assert_eq!(queue.counters.snapshot().failed_for(FailReason::Damaged), 0);
    queue.unlock().await;
    drop(queue);
    let queue = queue_in(&dir, &Arc::default());
    assert_eq!(queue.pop().await.map(|part| part.data.items), Some(3));
}

#[tokio::test]
async fn who_waits_for_a_result_at_the_end_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue_in(&dir, &Arc::default());
    let (waiter, result) = oneshot::channel();
    queue.push(items(1), Some(waiter), false).await.unwrap();
    queue.unlock().await;
    let result = tokio::time::timeout(PATIENCE, result).await.expect("an end");
    assert!(result.is_err(), "nobody has sent it");
    assert_eq!(queue.push(items(1), None, false).await, Err(PushError::Closed));
}

/// What is done when there is no runtime any more is not sent again.
#[test]
fn an_end_without_a_runtime_marks_what_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let queue = queue_in(&dir, &Arc::default());
    let part = runtime.block_on(async {
        queue.push(items(1), None, false).await.unwrap();
        queue.pop().await.unwrap()
    });
    drop(runtime);
    part.ticket.settle(1, Ok(()));
    drop((part, queue));
    assert_eq!(queue_in(&dir, &Arc::default()).disk.held().records, 0);
}
