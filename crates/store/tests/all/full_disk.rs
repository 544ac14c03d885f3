//! A disk without room: spans are refused in words, nothing accepted is lost, and work goes on
//! when there is room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::{AppendError, Store};

use crate::bench::{Bench, eventually};
use crate::sent::{Sent, request};

fn span(id: u64) -> Sent {
    Sent::new(id % 3, id)
}

fn problems(bench: &Bench) -> Vec<String> {
    bench.engine().health().problems
}

#[test]
fn a_disk_without_reserve_refuses_until_there_is_room() {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let tells = free.clone();
    let mut bench = Bench::with(move |options| {
        let tells = tells.clone();
        options.free_bytes = Arc::new(move |_| tells.load(Ordering::Relaxed));
        options.disk_reserve_bytes = 1_000_000;
    });
    let mut held = vec![span(1)];
    bench.append(&request(&held));
    assert!(problems(&bench).is_empty());
    for round in 2..4 {
        free.store(999_999, Ordering::Relaxed);
        // Before anything is refused.
        eventually("health tells", || !problems(&bench).is_empty());
        let refused = bench.try_append(&request(&[span(10 * round)])).unwrap_err();
        assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused}");
        let text = refused.to_string();
        assert!(text.contains(bench.folder().to_str().unwrap()) && text.contains("make room"));
        assert_eq!(problems(&bench), [text]);
        bench.assert_holds("while full", &request(&held));

        free.store(u64::MAX, Ordering::Relaxed);
        eventually("health recovers without a request", || problems(&bench).is_empty());
        held.push(span(round));
        bench.append(&request(&held[held.len() - 1..]));
        bench.settle();
        bench.assert_holds("with room again", &request(&held));
    }
    bench.reopen();
    bench.assert_holds("opened again", &request(&held));
}

/// Blocks cannot be written for a while: the head fills, then senders are held back.
#[test]
fn a_sealer_that_cannot_write_holds_senders_back_and_loses_nothing() {
    let mut bench = Bench::with(|options| {
        options.chunk_rows = 4;
        options.head_spans_max = 10;
        options.queue_bytes_max = 4 * 1024;
        options.queue_wait = Duration::from_millis(1);
    });
    // A file where the folder of unfinished blocks should be: root is not held by permissions.
    let temporary = bench.folder().join("tmp");
    std::fs::remove_dir(&temporary).unwrap();
    std::fs::write(&temporary, "").unwrap();

    // Senders do not wait for each other: each holds its place in the queue until it is answered.
    let mut held: Vec<Sent> = Vec::new();
    let refused = bench.wait(async {
        let answers: Vec<_> = (1..=100)
            .map(|id| (id, bench.engine().append(crate::bench::batch(&request(&[span(id)])))))
            .collect();
        let mut waiting = Vec::new();
        let mut refused = 0;
        for (id, answer) in answers {
            let mut answer = Box::pin(answer);
            match tokio::time::timeout(Duration::from_millis(50), &mut answer).await {
                Ok(Ok(())) => held.push(span(id)),
                Ok(Err(AppendError::Busy)) => refused += 1,
                Ok(Err(other)) => panic!("{other}"),
                Err(_) => waiting.push((id, answer)),
            }
            if refused > 3 {
                break;
            }
        }
        assert!(waiting.len() <= 4, "{} requests wait in a queue of 4 KiB", waiting.len());
        std::fs::remove_file(&temporary).unwrap();
        std::fs::create_dir(&temporary).unwrap();
        for (id, answer) in waiting {
            answer.await.unwrap();
            held.push(span(id));
        }
        refused
    });
    assert!(refused > 3 && held.len() >= 20, "{refused} refused, {} taken", held.len());
    let status = bench.engine().status();
    assert!(status.head_span_count <= 40, "{status:?}");
    eventually("the sealer is well again", || problems(&bench).is_empty());
    bench.settle();
    bench.assert_holds("after all", &request(&held));
    bench.append(&request(&[span(1_000)]));
    held.push(span(1_000));
    bench.reopen();
    bench.assert_holds("opened again", &request(&held));
}

/// A log file that someone deletes takes what it holds with it when the process ends.
#[test]
fn a_deleted_log_is_noticed_and_what_it_held_is_sealed() {
    let mut bench = Bench::new();
    let mut held = vec![span(1)];
    bench.append(&request(&held));
    for file in crate::bench::files(&bench.folder().join("log")) {
        std::fs::remove_file(file).unwrap();
    }
    eventually("the head is in a block", || bench.engine().status().head_span_count == 0);
    eventually("health recovers", || problems(&bench).is_empty());
    held.push(span(2));
    bench.append(&request(&held[1..]));
    bench.reopen();
    bench.assert_holds("opened again", &request(&held));
}

#[test]
fn without_its_folder_the_log_refuses() {
    let bench = Bench::new();
    bench.append(&request(&[span(1)]));
    std::fs::remove_dir_all(bench.folder().join("log")).unwrap();
    eventually("health tells", || !problems(&bench).is_empty());
    let refused = bench.try_append(&request(&[span(2)])).unwrap_err();
    assert!(matches!(refused, AppendError::Log { .. }), "{refused}");
}
