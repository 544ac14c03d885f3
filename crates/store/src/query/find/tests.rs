//! Searches of small stores, looked at from inside.

use std::time::Duration;

use traceql::QueryKind;

use super::super::seam::tests::{piece, view_of};
use super::*;

fn request(query: &str, limit: usize) -> FindRequest {
    let QueryKind::Search(pipeline) = traceql::parse(query).unwrap().kind else {
        panic!("no search: {query}");
    };
    FindRequest {
        pipeline,
        start_unix_nano: None,
        end_unix_nano: None,
        duration_min_nano: None,
        duration_max_nano: None,
        limit,
        spans_per_spanset: 3,
        after: None,
    }
}

fn view(pieces: u64) -> View {
    view_of((1..=pieces).map(|at| piece(&format!("{at}"), 80, at)).collect())
}

#[test]
fn a_search_is_refused_when_its_results_do_not_fit() {
    // One piece, whose traces are judged where they lie; three, whose traces are put together
    // one by one, and all at once.
    for (pieces, query) in [(1, "{ name != `` }"), (3, "{ name != `` }"), (3, "{ } | count() > 1")]
    {
        let run = |limit, bytes_max| {
            let cancel = Cancel::default();
            let budget = Budget::of(bytes_max);
            let found =
                find_within(&mut view(pieces), &request(query, limit), &cancel, None, &budget);
            assert!(budget.share().set(bytes_max), "all is given back");
            found
        };
        assert_eq!(run(100, usize::MAX).unwrap().traces.len(), 80, "{query}");
        let enough = (10..).map(|power| 1 << power).find(|&bytes| run(100, bytes).is_ok());
        let enough: usize = enough.unwrap();
        assert!(enough < 1 << 20, "{enough}");
        match run(100, enough / 4) {
            Err(Stop::Refused(reason)) => {
                assert!(reason.contains("(limit)") && reason.contains("spss"), "{reason}");
            }
            other => panic!("{query}: {other:?}"),
        }
        // Less fits where less is asked for.
        assert_eq!(run(2, enough / 4).unwrap().traces.len(), 2, "{query}");
    }
}

#[test]
fn what_is_found_so_far_is_told_and_grows() {
    let (watcher, mut told) = tokio::sync::mpsc::channel(100);
    let teller = Teller::new(Arc::new(watcher), Duration::ZERO, Duration::ZERO);
    // Every trace is in all pieces, so that only the last are found more than once.
    let pieces = (1..=12).map(|at| piece(&format!("{at}"), at * 5, at.into())).collect();
    let (mut view, request) = (view_of(pieces), request("{ name != `` }", 1000));
    let found = find(&mut view, &request, &Cancel::default(), Some(&teller)).unwrap();
    let news = std::iter::from_fn(|| told.try_recv().ok()).collect::<Vec<_>>();
    assert_eq!((found.traces.len(), found.more), (60, false));
    assert!(news.len() >= 2, "{}", news.len());
    let shares: Vec<f64> = news.iter().map(Progress::share).collect();
    assert!(shares.is_sorted_by(|one, next| one < next), "{shares:?}");
    assert!(shares.iter().all(|share| (0.0..1.0).contains(share)), "{shares:?}");
    assert!(news.iter().all(|news| news.so_far.more && !news.so_far.traces.is_empty()));
}

#[test]
fn making_the_answer_gives_way_and_ends_with_the_query() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let run = |ends_at: usize| {
        let (pauses, cancel) = (Arc::new(AtomicUsize::new(0)), Cancel::default());
        let (count, ends) = (pauses.clone(), cancel.clone());
        let pause = move || {
            if count.fetch_add(1, Ordering::Relaxed) + 1 == ends_at {
                ends.cancel();
            }
        };
        let mut view = View { pause: Some(Arc::new(pause)), ..view(1) };
        let found = find(&mut view, &request("{ name != `` }", 100), &cancel, None);
        (found.map(|found| found.traces.len()), pauses.load(Ordering::Relaxed))
    };
    let (found, pauses) = run(usize::MAX);
    assert!(found.unwrap() == 80 && pauses >= 80, "{pauses}");
    let (found, pauses) = run(pauses - 40);
    assert!(matches!(found, Err(Stop::Cancelled)) && pauses <= 42, "{pauses}, {found:?}");
}
