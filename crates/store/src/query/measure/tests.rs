//! Metrics over small stores, looked at from inside.

use traceql::{MetricsQuery, QueryKind};

use std::time::Duration;

use super::super::seam::tests::{piece, piece_lasting, view_of};
use super::*;

fn request(query: &str) -> MeasureRequest {
    let leaf = match traceql::parse(query).unwrap().kind {
        QueryKind::Metrics(MetricsQuery::Leaf(leaf)) => leaf,
        _ => panic!("no function over spans: {query}"),
    };
    MeasureRequest {
        leaf,
        start_unix_nano: 0,
        step_nano: 1,
        steps: 1_000,
        exemplars_max: 3,
        extrapolate: false,
    }
}

/// Every series takes some 4 kilobytes; each of five pieces has the same 40, or spans of the
/// last have 80.
#[test]
fn a_query_is_refused_when_its_own_series_do_not_fit_whatever_the_threads() {
    let sizes = [40, 40, 40, 40, 80];
    let pieces = || sizes.iter().zip(1..).map(|(&of, at)| piece(&format!("{at}"), of, at));
    for query in ["{ } | count_over_time() by (name)", "{ } | compare({ name = `3` }, 100)"] {
        let request = request(query);
        let run_watched = |bytes_max, threads, teller: Option<&Teller<Measured>>| {
            let mut view = view_of(pieces().collect());
            let budget = Budget::of(bytes_max);
            let cancel = Cancel::default();
            measure_within(&mut view, &request, &cancel, teller, &budget, threads, PASS_SPANS)
        };
        let run = |bytes_max, threads| {
            let (watcher, _told) = tokio::sync::mpsc::channel(100);
            let teller = Teller::new(Arc::new(watcher), Duration::ZERO, Duration::ZERO);
            let watched = run_watched(bytes_max, threads, Some(&teller));
            let alone = run_watched(bytes_max, threads, None);
            assert_eq!(watched.is_ok(), alone.is_ok(), "{threads}, {bytes_max}");
            watched.and(alone)
        };
        let expected = run(usize::MAX, 1).unwrap().series;
        assert!(expected.len() >= 80);
        let small = (10..).map(|power| 1 << power).find(|&bytes| run(bytes, 1).is_ok());
        let small = small.unwrap();
        assert!(small <= 1 << 20, "{small}");
        for threads in [2, 3, 8] {
            for bytes_max in [small, 2 * small, 8 * small] {
                let found = run(bytes_max, threads);
                let found = found.unwrap_or_else(|stop| panic!("{threads}: {stop:?}")).series;
                let bare = |series: &[MeasuredSeries]| -> Vec<_> {
                    series.iter().map(|of| (of.labels.clone(), of.values.clone())).collect()
                };
                assert_eq!(bare(&found), bare(&expected), "{threads}, {bytes_max}");
            }
            let refused = run(small / 8, threads);
            assert!(matches!(refused, Err(Stop::Refused(_))), "{threads}: {refused:?}");
        }
    }
}

/// Of 80 names some 16 bytes a step are counted, and 8 bytes a step and quantile are told; of a
/// comparison little is counted.
#[test]
fn series_are_not_too_large_to_be_told() {
    let quantiles = "{ } | quantile_over_time(duration, .1, .2, .3, .4, .5, .6, .7, .8, .9) \
                     by (name)";
    for (query, bytes_max, fits) in [
        (quantiles, 2_000_000, false),
        (quantiles, 4_000_000, true),
        ("{ } | compare({ name = `3` }, 100)", 300_000, false),
        ("{ } | compare({ name = `3` }, 100)", 4_000_000, true),
        ("{ } | compare({ name = `3` }, 1)", 300_000, true),
    ] {
        let (view, budget) =
            (&mut view_of(vec![piece_lasting("1", 80, 1, |_| 1_000)]), Budget::of(bytes_max));
        let found =
            measure_within(view, &request(query), &Cancel::default(), None, &budget, 1, PASS_SPANS);
        let is_right = match &found {
            Ok(_) => fits,
            Err(Stop::Refused(_)) => !fits,
            Err(_) => false,
        };
        assert!(is_right, "{query}, {bytes_max}: {:?}", found.map(|found| found.series.len()));
    }
}

/// Traces of several pieces are counted whole, and once, however many are put together at a
/// time.
#[test]
fn passes_count_what_one_pass_counts() {
    let pieces = [("a", 9, 1), ("b", 5, 1), ("c", 3, 2), ("d", 7, 3)];
    let pieces = || pieces.map(|(name, traces, start)| piece(name, traces, start)).to_vec();
    for (query, spans) in [
        // Five spans were sent twice.
        ("{ } | count_over_time() by (name)", 9 + 3 + 7),
        ("{ name != `2` } | count_over_time()", 9 + 3 + 7 - 3),
        ("{ } && { } | count_over_time() by (name)", 9 + 3 + 7),
        // The first three traces have three spans.
        ("{ } | count() > 2 | count_over_time() by (name)", 9),
    ] {
        let run = |spans_max| {
            let (mut view, budget) = (view_of(pieces()), Budget::of(1 << 30));
            let (request, cancel) = (request(query), Cancel::default());
            let found = measure_within(&mut view, &request, &cancel, None, &budget, 2, spans_max);
            found.unwrap().series
        };
        let expected = run(usize::MAX);
        let all = expected.iter().flat_map(|series| &series.values).filter(|value| !value.is_nan());
        assert_eq!(all.sum::<f64>(), f64::from(spans), "{query}");
        for spans_max in 1..20 {
            let found = run(spans_max);
            let bare = |series: &[MeasuredSeries]| -> Vec<_> {
                series.iter().map(|of| (of.labels.clone(), of.values.clone())).collect()
            };
            assert_eq!(bare(&found), bare(&expected), "{query}: {spans_max}");
        }
    }
}

#[test]
fn what_is_counted_so_far_is_told_and_grows() {
    let of = |query: &str, threads| {
        let piece = |at| piece_lasting(&format!("{at}"), 40, at, |_| 1_000);
        let pieces = (1..=6).map(piece).collect();
        let (watcher, mut told) = tokio::sync::mpsc::channel(100);
        let teller = Teller::new(Arc::new(watcher), Duration::ZERO, Duration::ZERO);
        let (mut view, budget) = (view_of(pieces), Budget::of(usize::MAX));
        let (request, cancel) = (request(query), Cancel::default());
        let found = measure_within(
            &mut view,
            &request,
            &cancel,
            Some(&teller),
            &budget,
            threads,
            PASS_SPANS,
        );
        let news = std::iter::from_fn(|| told.try_recv().ok()).collect::<Vec<_>>();
        (found.unwrap(), news)
    };
    let spans =
        |found: &Measured| -> f64 { found.series.iter().flat_map(|series| &series.values).sum() };
    for threads in [1, 2] {
        let (found, news) = of("{ } | count_over_time() by (name)", threads);
        assert_eq!((found.series.len(), spans(&found)), (40, 240.0));
        assert!(news.len() >= 2, "{}", news.len());
        let counts: Vec<f64> = news.iter().map(|news| spans(&news.so_far)).collect();
        let done: Vec<f64> = news.iter().map(|news| news.spans_done as f64).collect();
        assert_eq!(counts, done);
        assert!(counts.is_sorted_by(|one, next| one < next), "{counts:?}");
        assert!(news.iter().all(|news| news.spans_all == 240 && news.share() < 1.0));
        let exemplars = |found: &Measured| -> usize {
            found.series.iter().map(|series| series.exemplars.len()).sum()
        };
        assert_eq!(exemplars(&found), 3);
        assert!(news.iter().all(|news| exemplars(&news.so_far) == 0));
        // What is told of a comparison could be wrong in the end; so many quantiles are too large
        // to be told twice.
        let quantiles =
            format!("{{ }} | quantile_over_time(duration{}) by (name)", ", .5".repeat(60));
        for query in ["{ } | compare({ name = `3` }, 100)", &quantiles] {
            let (_, news) = of(query, threads);
            assert!(news.len() >= 2 && news.iter().all(|news| news.so_far.series.is_empty()));
        }
    }
}

/// 200 spans of 5 ms that start together, but two: of 10 s and of 9 s.
#[test]
fn slow_spans_are_exemplars_of_the_series_that_they_are_in() {
    for (query, expected) in [
        ("histogram_over_time(duration)", vec![vec![0.005], vec![10.0]]),
        ("max_over_time(duration)", vec![vec![0.005, 10.0]]),
        ("quantile_over_time(duration, .5, 1)", vec![vec![0.005], vec![10.0]]),
        ("rate()", vec![vec![-1.0]]),
    ] {
        let lasting = |trace| match trace {
            150 => 10_000_000_000,
            151 => 9_000_000_000,
            _ => 5_000_000,
        };
        let pieces = vec![piece_lasting("1", 200, 1, lasting)];
        let (view, budget) = (&mut view_of(pieces), Budget::of(usize::MAX));
        let request = MeasureRequest { steps: 2, ..request(&format!("{{ }} | {query}")) };
        let found =
            measure_within(view, &request, &Cancel::default(), None, &budget, 1, PASS_SPANS);
        let values = |series: &MeasuredSeries| -> Vec<f64> {
            let values = series.exemplars.iter().map(|span| span.value);
            values.map(|value| if value.is_nan() { -1.0 } else { value }).collect()
        };
        let found: Vec<_> = found.unwrap().series.iter().map(values).collect();
        assert_eq!(found, expected, "{query}");
    }
}
