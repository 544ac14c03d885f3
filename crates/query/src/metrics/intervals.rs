//! The intervals that a metrics query counts in.

use crate::SearchError;

/// The most intervals of an answer.
pub const INTERVALS_MAX: usize = 10_000;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How many intervals a range has when nobody says how long they are, roughly.
const INTERVALS_DEFAULT: u64 = 240;
/// Default intervals are whole multiples of the greatest of these that is not longer.
const GRANULARITIES: [u64; 6] = [HOUR, 5 * MINUTE, MINUTE, 15 * SECOND, 5 * SECOND, SECOND];
/// The default interval of ranges below a minute.
const SHORT_STEP: u64 = 50_000_000;

/// Intervals of one length that follow each other, open at their start and closed at their end. A
/// point has the time of its interval's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Where the first starts, nanoseconds since the epoch.
    pub start_unix_nano: u64,
    /// Their length in nanoseconds; not 0.
    pub step_nano: u64,
    /// How many; at least 1.
    pub count: usize,
}

impl Intervals {
    /// The intervals of a range, on multiples of their length: the first is the one that holds the
    /// start, the last the one that holds the end.
    ///
    /// # Errors
    /// A range that is empty, and one of more than [`INTERVALS_MAX`] intervals.
    pub fn of_range(start: u64, end: u64, step: Option<u64>) -> Result<Self, SearchError> {
        not_empty(start, end)?;
        let step = step.unwrap_or_else(|| default_step(end - start));
        if step == 0 {
            return Err(wrong("step", "step has to be more than 0".to_owned()));
        }
        let first = (start / step * step).max(step);
        let last = end.div_ceil(step);
        let count = last - first / step + 1;
        let fits = usize::try_from(count).ok().filter(|count| *count <= INTERVALS_MAX);
        // The end of the last interval is a time, too.
        let (Some(count), Some(_)) = (fits, last.checked_mul(step)) else {
            let shortest = (end - start) / (INTERVALS_MAX as u64 - 2) + 1;
            return Err(wrong(
                "step",
                format!(
                    "from start to end there are {count} intervals of this step; at most \
                     {INTERVALS_MAX} are answered, which a step of {} allows",
                    crate::duration_text(i64::try_from(shortest).unwrap_or(i64::MAX))
                ),
            ));
        };
        Ok(Self { start_unix_nano: first - step, step_nano: step, count })
    }

    /// One interval for the whole of a range.
    ///
    /// # Errors
    /// A range that is empty.
    pub fn instant(start: u64, end: u64) -> Result<Self, SearchError> {
        not_empty(start, end)?;
        Ok(Self { start_unix_nano: start, step_nano: end - start, count: 1 })
    }

    /// Where each ends, nanoseconds since the epoch.
    pub fn ends(self) -> impl Iterator<Item = u64> {
        (1..=self.count as u64).map(move |number| self.start_unix_nano + number * self.step_nano)
    }

    /// Which holds a time.
    pub fn index(self, time: u64) -> Option<usize> {
        let after = time.checked_sub(self.start_unix_nano)?.checked_sub(1)?;
        usize::try_from(after / self.step_nano).ok().filter(|index| *index < self.count)
    }
}

fn not_empty(start: u64, end: u64) -> Result<(), SearchError> {
    match start < end {
        true => Ok(()),
        false => Err(wrong("start", "start must be before end".to_owned())),
    }
}

fn wrong(parameter: &'static str, problem: String) -> SearchError {
    SearchError { parameter, problem }
}

fn default_step(range: u64) -> u64 {
    if range < MINUTE {
        return SHORT_STEP;
    }
    let step = range / INTERVALS_DEFAULT;
    let granularity = GRANULARITIES.into_iter().find(|granularity| *granularity <= step);
    granularity.map_or(SECOND, |granularity| step / granularity * granularity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_lie_on_multiples_of_their_length() {
        for (start, end, step, first, count) in [
            // Both on a boundary: the interval that ends at the start is the first.
            (100, 130, 10, 90, 4),
            (101, 130, 10, 90, 4),
            (109, 121, 10, 90, 4),
            (100, 101, 10, 90, 2),
            // Nothing lies before 1970.
            (0, 30, 10, 0, 3),
            (5, 30, 10, 0, 3),
            (5, 7, 10, 0, 1),
            (1, 2, 1, 0, 2),
        ] {
            let intervals = Intervals::of_range(start, end, Some(step)).unwrap();
            let expected = Intervals { start_unix_nano: first, step_nano: step, count };
            assert_eq!(intervals, expected, "{start} to {end} by {step}");
            let ends: Vec<u64> = intervals.ends().collect();
            assert!(ends.last().is_some_and(|last| *last >= end), "{ends:?}");
            assert!(intervals.index(start.max(1)).is_some() && intervals.index(end).is_some());
        }
    }

    #[test]
    fn an_interval_holds_its_end() {
        let intervals = Intervals { start_unix_nano: 90, step_nano: 10, count: 2 };
        for (time, index) in
            [(0, None), (90, None), (91, Some(0)), (100, Some(0)), (101, Some(1)), (111, None)]
        {
            assert_eq!(intervals.index(time), index, "{time}");
        }
        assert_eq!(intervals.ends().collect::<Vec<_>>(), [100, 110]);
    }

    #[test]
    fn default_steps() {
        for (range, step) in [
            (1, SHORT_STEP),
            (59 * SECOND, SHORT_STEP),
            (MINUTE, SECOND),
            (5 * MINUTE, SECOND),
            (15 * MINUTE, 3 * SECOND),
            (HOUR, 15 * SECOND),
            (6 * HOUR, MINUTE),
            (24 * HOUR, 5 * MINUTE),
            (7 * 24 * HOUR, 40 * MINUTE),
            (30 * 24 * HOUR, 3 * HOUR),
        ] {
            assert_eq!(default_step(range), step, "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let parameter = |start, end, step| {
            Intervals::of_range(start, end, step).map_err(|error| error.parameter)
        };
        for (start, end, step, expected) in [
            (5, 5, None, "start"),
            (6, 5, Some(1), "start"),
            (5, 6, Some(0), "step"),
            (0, 10_001, Some(1), "step"),
            (0, u64::MAX, Some(1), "step"),
            (0, u64::MAX, Some(u64::MAX - 1), "step"),
        ] {
            assert_eq!(parameter(start, end, step), Err(expected), "{start} {end} {step:?}");
        }
        assert_eq!(Intervals::of_range(0, 10_000, Some(1)).map(|it| it.count), Ok(10_000));
        assert!(Intervals::of_range(0, u64::MAX, None).is_err());
        assert!(Intervals::instant(7, 7).is_err());
        assert_eq!(
            Intervals::instant(7, 9),
            Ok(Intervals { start_unix_nano: 7, step_nano: 2, count: 1 })
        );
    }

    #[test]
    fn the_step_that_is_offered_is_taken() {
        for (start, end) in [(0, 20_000_000), (17, 1_234_567_891), (99_999, 100_000 * SECOND)] {
            let shortest = (end - start) / (INTERVALS_MAX as u64 - 2) + 1;
            assert!(Intervals::of_range(start, end, Some(shortest)).is_ok(), "{start} {end}");
        }
    }
}
