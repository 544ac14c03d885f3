//! The time that a waterfall's bars lie on.

use model::Span;

/// Spans that start further than this from most others have a broken clock, and would squeeze all
/// other bars into nothing.
const FAR_NANO: u64 = 366 * 86_400 * 1_000_000_000;

/// From the earliest to the latest of the spans whose times make sense together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    middle: u64,
    start: u64,
    end: u64,
}

/// Where a span lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From and to, in the units asked for; at least one unit long.
    At(usize, usize),
    /// The start was not sent.
    NoStart,
    /// Years away from the rest.
    Far,
}

impl Axis {
    /// The axis of these spans.
    pub fn new(spans: &[Span]) -> Self {
        let mut starts: Vec<u64> = starts(spans).collect();
        if starts.is_empty() {
            return Self { middle: 0, start: 0, end: 0 };
        }
        let half = starts.len() / 2;
        let middle = *starts.select_nth_unstable(half).1;
        let near = |time: u64| time.abs_diff(middle) <= FAR_NANO;
        let start = starts.iter().copied().filter(|start| near(*start)).min().unwrap_or(middle);
        let ends = spans.iter().filter(|span| near(span.start_unix_nano)).map(|span| {
            if near(span.end_unix_nano) { span.end_unix_nano } else { span.start_unix_nano }
        });
        Self { middle, start, end: ends.max().unwrap_or(start).max(start) }
    }

    /// When it begins; 0 when no span has a start.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How long it is.
    pub fn nanos(&self) -> u64 {
        self.end - self.start
    }

    /// Where a span lies if the axis is so many units long. What ends before it starts is a
    /// moment.
    pub fn place(&self, span: &Span, units: usize) -> Place {
        if span.start_unix_nano == 0 {
            return Place::NoStart;
        }
        if span.start_unix_nano.abs_diff(self.middle) > FAR_NANO {
            return Place::Far;
        }
        let scale = |time: u64, round_up: bool| {
            let passed = u128::from(time.clamp(self.start, self.end) - self.start) * units as u128;
            let length = u128::from(self.nanos().max(1));
            (if round_up { passed.div_ceil(length) } else { passed / length }) as usize
        };
        let from = scale(span.start_unix_nano, false).min(units.saturating_sub(1));
        let to = scale(span.end_unix_nano.max(span.start_unix_nano), true);
        // All spans being moments, all of them are as long as the axis.
        let to = if self.nanos() == 0 { units } else { to };
        Place::At(from, to.max(from + 1))
    }
}

fn starts(spans: &[Span]) -> impl Iterator<Item = u64> {
    spans.iter().map(|span| span.start_unix_nano).filter(|start| *start != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span((start, end): (u64, u64)) -> Span {
        let mut span = Span::default();
        span.start_unix_nano = start;
        span.end_unix_nano = end;
        span
    }

    #[test]
    fn absurd_times_do_not_stretch_it() {
        const T: u64 = 1_700_000_000_000_000_000;
        let times = [(T, T + 100), (T + 50, T + 80), (0, 0), (1, 2), (T + 20, u64::MAX)];
        let spans: Vec<Span> = times.into_iter().map(span).collect();
        let axis = Axis::new(&spans);
        assert_eq!((axis.start(), axis.nanos()), (T, 100));
        let places: Vec<Place> = spans.iter().map(|span| axis.place(span, 1000)).collect();
        assert_eq!(
            places,
            [
                Place::At(0, 1000),
                Place::At(500, 800),
                Place::NoStart,
                Place::Far,
                Place::At(200, 1000)
            ]
        );
    }

    #[test]
    fn every_place_is_on_it() {
        const T: u64 = 1_000;
        for (times, units, places) in [
            (&[(T, T + 10), (T + 10, T + 10)][..], 8, &[(0, 8), (7, 8)][..]),
            (&[(T, T + 10), (T + 5, T + 1)], 1, &[(0, 1), (0, 1)]),
            (&[(T, T), (T, T)], 8, &[(0, 8), (0, 8)]),
            (&[(T, 0)], 8, &[(0, 8)]),
            (&[(u64::MAX, u64::MAX), (u64::MAX - 1, 0)], 8, &[(7, 8), (0, 1)]),
        ] {
            let spans: Vec<Span> = times.iter().copied().map(span).collect();
            let axis = Axis::new(&spans);
            for (span, (from, to)) in spans.iter().zip(places) {
                assert_eq!(axis.place(span, units), Place::At(*from, *to), "{times:?}");
            }
        }
        assert_eq!(Axis::new(&[span((0, 5))]).place(&span((0, 5)), 8), Place::NoStart);
    }
}
