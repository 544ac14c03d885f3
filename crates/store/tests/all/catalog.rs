//! Series and the small tables count what a look at every span counts, and outlive no data.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use store::{Level, SeriesBy, SeriesRequest, Store};

use crate::bench::{Bench, HOUR, NOW, SECOND, eventually};
use crate::layouts::{KEYS, SERVICES, layouts, spans};
use crate::oracle::Oracle;
use crate::search::filter;
use crate::sent::{Sent, int, request, text};

fn series() -> impl Strategy<Value = SeriesRequest> {
    let by = option::of(select(vec![SeriesBy::Service, SeriesBy::Operation]));
    let start = select(vec![0, NOW - SECOND, NOW, NOW + 4 * SECOND]);
    let step = select(vec![1, SECOND, 3 * SECOND, NOW, u64::MAX]);
    (filter(), start, step, 0..20usize, by, select(vec![0, 1, 100])).prop_map(
        |(filter, start_unix_nano, step_nano, steps, by, series_max)| SeriesRequest {
            filter,
            start_unix_nano,
            step_nano,
            steps,
            by,
            series_max,
        },
    )
}

/// All small tables are those of these spans.
fn assert_tables(bench: &Bench, held: &[Sent]) {
    let (engine, oracle) = (bench.engine(), Oracle(held));
    assert_eq!(bench.wait(engine.services()).unwrap(), oracle.services());
    assert_eq!(bench.wait(engine.operations(None)).unwrap(), oracle.operations(None));
    for service in SERVICES {
        let operations = bench.wait(engine.operations(Some(service.to_owned()))).unwrap();
        assert_eq!(operations, oracle.operations(Some(service)));
    }
    assert_eq!(bench.wait(engine.attributes()).unwrap(), oracle.attributes());
    for level in Level::ALL.into_iter().map(Some).chain([None]) {
        for key in KEYS.into_iter().chain(["service.name", "absent"]) {
            for limit in [1, 100] {
                let values = bench.wait(engine.attribute_values(level, key.to_owned(), limit));
                assert_eq!(values.unwrap(), oracle.values(level, key, limit), "{level:?} {key:?}");
            }
        }
    }
    assert_eq!(engine.status().span_count, held.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn series_count_every_span(
        spans in spans(),
        layout in layouts(),
        requests in prop::collection::vec(series(), 1..12),
    ) {
        let (bench, held) = layout.lay(&spans);
        for request in requests {
            let expected = Oracle(&held).series(&request);
            let set = bench.wait(bench.engine().series(request.clone())).unwrap();
            prop_assert!(!set.partial);
            prop_assert_eq!(set.series, expected, "{:?}", request);
        }
    }

    #[test]
    fn small_tables_count_every_span(spans in spans(), layout in layouts()) {
        let (bench, held) = layout.lay(&spans);
        assert_tables(&bench, &held);
    }
}

#[test]
fn nothing_outlives_its_data() {
    let bench = Bench::with(|options| options.merge_blocks = 100);
    let old = Sent::new(1, 1).service("cart").name("gone").attribute(text("k", "gone"));
    let new = Sent::new(2, 2).service("api").name("kept").attribute(int("http.status", 200));
    bench.append(&request(&[old]));
    bench.settle();
    bench.clock.set(NOW + 13 * 24 * HOUR);
    bench.append(&request(std::slice::from_ref(&new)));
    bench.settle();
    bench.clock.set(NOW + 15 * 24 * HOUR);
    let head = Sent::new(3, 3).service("api");
    bench.append(&request(std::slice::from_ref(&head)));
    bench.settle();
    eventually("the old block leaves", || bench.engine().status().block_count == 2);
    assert_tables(&bench, &[new, head]);
}

/// A stretch of the merge cannot hold all values, nor can a table of values: the most frequent
/// are there and the list says that it is not complete.
#[test]
fn too_many_values_are_said_to_be_incomplete() {
    let bench = Bench::new();
    let spans: Vec<Sent> = (0..1_500u64)
        .map(|at| {
            let value = if at % 3 == 0 { "often".to_owned() } else { format!("value {at}") };
            Sent::new(at % 7, at + 1).attribute(text("k", &value)).attribute(int("n", at as i64))
        })
        .collect();
    bench.append(&request(&spans));
    for sealed in [false, true] {
        if sealed {
            bench.settle();
        }
        for key in ["k", "n"] {
            let values = bench.engine().attribute_values(None, key.to_owned(), 10_000);
            let list = bench.wait(values).unwrap();
            assert!(!list.complete, "{key}, sealed: {sealed}");
            assert!(list.values.len() <= 1_000);
        }
        let values = bench.engine().attribute_values(Some(Level::Span), "k".to_owned(), 1);
        let first = &bench.wait(values).unwrap().values[0];
        assert_eq!((first.value.as_str(), first.count), ("often", 500), "sealed: {sealed}");
        let rows = bench.wait(bench.engine().attributes()).unwrap();
        let count = |key| rows.iter().find(|row| row.key == key).unwrap().count;
        assert_eq!((count("k"), count("n")), (1_500, 1_500));
    }
}
