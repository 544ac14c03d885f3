//! Rates, errors and durations are those that a look at every span gives, in every layout.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use store::{RedRequest, Store};

use crate::bench::{NOW, SECOND};
use crate::layouts::{SERVICES, layouts, spans};
use crate::oracle::Oracle;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn counts_what_a_look_at_every_span_counts(
        spans in spans(),
        layout in layouts(),
        services in subsequence(&SERVICES[..], 0..=3),
        kinds in subsequence(vec![0, 1, 2, 3], 0..=4),
        start in select(vec![0, NOW, NOW + 3 * SECOND]),
        step_seconds in 1..4u64,
        by_operation in any::<bool>(),
    ) {
        let (bench, held) = layout.lay(&spans);
        let request = RedRequest {
            services: services.into_iter().map(str::to_owned).collect(),
            kinds,
            start_unix_nano: start,
            step_nano: step_seconds * SECOND,
            steps: 5,
            by_operation,
            series_max: usize::MAX,
        };
        let found = bench.wait(bench.engine().red(request.clone())).unwrap();
        prop_assert_eq!(found.series, Oracle(&held).red(&request), "{:?}", request);
        prop_assert!(!found.partial);
    }
}
