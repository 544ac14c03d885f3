//! Exemplars: a few spans that stand for those that a metrics query counted. They are shared among
//! the groups, and in a group spread over values and over time, the greatest value among them.

use std::collections::BTreeMap;

use super::groups::bucket_of_float;
use crate::types::MeasuredSpan;

/// Exemplars that are held for one that is returned, so that they can be spread evenly.
pub(super) const HELD: usize = 4;

/// A span of a group and an interval.
#[derive(Debug, Clone)]
pub(super) struct Exemplar {
    pub(super) group: usize,
    pub(super) interval: usize,
    /// The class of its value.
    pub(super) class: u8,
    pub(super) span: MeasuredSpan,
}

/// The class of a value: its bucket in a histogram; half an octave elsewhere, those that are 64
/// octaves apart together. Less than 128.
pub(super) fn class(value: f64, is_histogram: bool) -> u8 {
    match is_histogram {
        true => bucket_of_float(value).unwrap_or(0) as u8,
        false => ((value.to_bits() >> 51) & 0x7f) as u8,
    }
}

/// Rows of a slab that stand for the others: of every group the greatest and the least, one of
/// each class, and one of each interval.
pub(super) struct Picker {
    /// The most rows that are picked for their class.
    classes_max: usize,
    /// The most rows that are picked for their time.
    times_max: usize,
    /// Of each group the classes that were seen.
    seen: Vec<u128>,
    times: hashbrown::HashSet<(usize, usize)>,
    /// Of each group the least and the greatest; of all together where there are too many groups.
    extremes: Vec<Option<[(f64, Row); 2]>>,
    rows: Vec<Row>,
}

/// A row, its group and its interval.
pub(super) type Row = (usize, usize, usize);

impl Picker {
    pub(super) fn new(groups: usize, exemplars_max: usize) -> Self {
        let classes_max = exemplars_max.saturating_mul(HELD);
        let extremes = if groups <= classes_max { groups } else { 1 };
        Self {
            classes_max,
            times_max: exemplars_max,
            seen: vec![0; groups],
            times: hashbrown::HashSet::new(),
            extremes: vec![None; extremes],
            rows: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, row: Row, value: f64, class: u8) {
        let (_, group, interval) = row;
        let slot = if self.extremes.len() == self.seen.len() { group } else { 0 };
        match &mut self.extremes[slot] {
            _ if value.is_nan() => {}
            Some([least, _]) if value < least.0 => *least = (value, row),
            Some([_, greatest]) if value > greatest.0 => *greatest = (value, row),
            Some(_) => {}
            none => *none = Some([(value, row); 2]),
        }
        let bit = 1 << (class & 0x7f);
        let is_new = self.seen[group] & bit == 0 && self.rows.len() < self.classes_max;
        let has_room = self.times.len() < self.times_max;
        let is_new_time = has_room && self.times.insert((group, interval));
        if is_new || is_new_time {
            self.seen[group] |= bit;
            self.rows.push(row);
        }
    }

    /// The rows, in their order.
    pub(super) fn picked(mut self) -> Vec<Row> {
        let extremes = self.extremes.iter().flatten().flatten().map(|(_, row)| *row);
        self.rows.extend(extremes);
        self.rows.sort_unstable();
        self.rows.dedup();
        self.rows
    }
}

/// Leaves out some exemplars when they are many more than can be returned.
pub(super) fn limit(exemplars: &mut Vec<Exemplar>, exemplars_max: usize) {
    let held_max = exemplars_max.saturating_mul(HELD);
    if exemplars.len() > held_max.saturating_mul(2) {
        thin(exemplars, held_max);
    }
}

/// Sorts exemplars by group and time, and leaves as many as are wanted: the same share of every
/// group and, where there are too many groups even for one, of the groups.
pub(super) fn thin(exemplars: &mut Vec<Exemplar>, wanted: usize) {
    exemplars.sort_by_key(|of| (of.group, of.interval, of.span.start_unix_nano));
    if exemplars.len() <= wanted || wanted == 0 {
        exemplars.truncate(wanted);
        return;
    }
    let groups = exemplars.chunk_by(|one, other| one.group == other.group).count();
    let quota = (wanted / groups).max(1);
    let mut few = Vec::with_capacity(wanted.max(groups));
    for of_group in exemplars.chunk_by(|one, other| one.group == other.group) {
        let values = of_group.iter().map(|of| (of.class, of.span.value)).collect::<Vec<_>>();
        few.extend(spread(&values, quota).into_iter().map(|at| of_group[at].clone()));
    }
    let stride = few.len().div_ceil(wanted).max(1);
    let greatest = few.chunks(stride).filter_map(|some| {
        some.iter().reduce(|one, other| if other.span.value > one.span.value { other } else { one })
    });
    *exemplars = greatest.cloned().collect();
}

/// Leaves so many spans of a series, in their order.
pub(crate) fn thin_series(spans: &mut Vec<MeasuredSpan>, wanted: usize) {
    if spans.len() <= wanted {
        return;
    }
    let values: Vec<_> = spans.iter().map(|span| (class(span.value, false), span.value)).collect();
    *spans = spread(&values, wanted).into_iter().map(|at| spans[at].clone()).collect();
}

/// Places of so many among values with their classes, which are in the order of time: of every
/// class as many, and those spread over time; the greatest value first of all, then the least.
fn spread(values: &[(u8, f64)], wanted: usize) -> Vec<usize> {
    if values.len() <= wanted {
        return (0..values.len()).collect();
    }
    let mut classes: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for (at, (class, _)) in values.iter().enumerate() {
        classes.entry(*class).or_default().push(at);
    }
    let value = |at: usize| values[at].1;
    let greatest = |places: &Vec<usize>| {
        places.iter().copied().max_by(|&one, &other| {
            // The first of equal ones.
            value(one).total_cmp(&value(other)).then(other.cmp(&one))
        })
    };
    let mut classes: Vec<Vec<usize>> = classes.into_values().collect();
    let of_class = |places: &Vec<usize>| greatest(places).map_or(f64::NAN, value);
    classes.sort_by(|one, other| of_class(other).total_cmp(&of_class(one)));
    // The class of the least comes second, so that it has a share where there are few.
    let least = classes.len() - 1;
    if least > 1 {
        classes[1..].rotate_right(1);
    }
    let (mut shares, mut room) = (vec![0; classes.len()], wanted);
    while room > 0 {
        for (share, places) in shares.iter_mut().zip(&classes) {
            if room > 0 && *share < places.len() {
                *share += 1;
                room -= 1;
            }
        }
    }
    let mut chosen = Vec::with_capacity(wanted);
    for (order, (mut places, mut share)) in classes.into_iter().zip(shares).enumerate() {
        let extreme = match order {
            0 => greatest(&places),
            1 => places.iter().copied().min_by(|&one, &other| value(one).total_cmp(&value(other))),
            _ => None,
        };
        if let Some(extreme) = extreme.filter(|&at| share > 0 && !value(at).is_nan()) {
            chosen.push(extreme);
            places.retain(|&at| at != extreme);
            share -= 1;
        }
        chosen.extend((0..share).map(|at| places[at * places.len() / share]));
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use model::{SpanId, TraceId};

    use super::*;

    fn span(start_unix_nano: u64, value: f64) -> MeasuredSpan {
        let (trace_id, span_id) = (TraceId::from_number(1), SpanId::from_number(1));
        MeasuredSpan { trace_id, span_id, start_unix_nano, value }
    }

    fn exemplars(counts: &[usize]) -> Vec<Exemplar> {
        let one = |group, at: usize| {
            let span = span(at as u64, f64::NAN);
            Exemplar { group, interval: at / 10, class: 0, span }
        };
        let of_group = |(group, &count)| (0..count).rev().map(move |at| one(group, at));
        counts.iter().enumerate().flat_map(of_group).collect()
    }

    /// How many each group has.
    fn counts(exemplars: &[Exemplar], groups: usize) -> Vec<usize> {
        (0..groups).map(|group| exemplars.iter().filter(|of| of.group == group).count()).collect()
    }

    #[test]
    fn exemplars_are_shared_among_groups_and_no_more_than_wanted() {
        for (held, wanted, expected) in [
            (&[3, 2][..], 10, vec![3, 2]),
            (&[100, 2], 10, vec![5, 2]),
            (&[7, 0, 90], 4, vec![2, 0, 2]),
            // The second and the fourth are left out.
            (&[9, 9, 9, 9], 2, vec![1, 0, 1, 0]),
            (&[9, 9], 0, vec![0, 0]),
        ] {
            let mut some = exemplars(held);
            thin(&mut some, wanted);
            assert_eq!(counts(&some, held.len()), expected, "{wanted} of {held:?}");
            assert!(some.is_sorted_by_key(|of| (of.group, of.span.start_unix_nano)));
        }
        let mut some = exemplars(&[100]);
        thin(&mut some, 4);
        let starts: Vec<u64> = some.iter().map(|of| of.span.start_unix_nano).collect();
        assert_eq!(starts, [0, 25, 50, 75]);
    }

    #[test]
    fn exemplars_of_many_slabs_are_not_all_held() {
        let mut all = Vec::new();
        for _ in 0..1_000 {
            all.extend(exemplars(&[4, 6]));
            limit(&mut all, 10);
            assert!(all.len() <= 2 * HELD * 10, "{}", all.len());
        }
        assert!(counts(&all, 2).iter().all(|&count| count >= 10), "{:?}", counts(&all, 2));
    }

    /// What is left of many quick spans and a few slow ones, as value and how often.
    #[test]
    fn rare_values_have_their_share_and_extremes_are_never_left_out() {
        let mut values = vec![5.0; 1_000];
        (values[17], values[400], values[990]) = (90.0, 10_000.0, 10_001.0);
        values[801] = 4.5;
        for (wanted, expected) in [
            (1, vec![(10_001.0, 1)]),
            (2, vec![(4.5, 1), (10_001.0, 1)]),
            (3, vec![(4.5, 1), (90.0, 1), (10_001.0, 1)]),
            (6, vec![(4.5, 1), (5.0, 2), (90.0, 1), (10_000.0, 1), (10_001.0, 1)]),
            (9, vec![(4.5, 1), (5.0, 5), (90.0, 1), (10_000.0, 1), (10_001.0, 1)]),
        ] {
            let mut spans: Vec<_> = (0..).zip(&values).map(|(at, of)| span(at, *of)).collect();
            thin_series(&mut spans, wanted);
            assert!(spans.is_sorted_by_key(|span| span.start_unix_nano));
            let mut left: Vec<f64> = spans.iter().map(|span| span.value).collect();
            left.sort_by(f64::total_cmp);
            let left = left.chunk_by(|one, other| one == other).map(|of| (of[0], of.len()));
            assert_eq!(left.collect::<Vec<_>>(), expected, "{wanted}");
        }
    }

    #[test]
    fn the_greatest_of_all_is_left_where_there_are_too_many_groups() {
        let one = |group| {
            let value = if group == 63 { 9.0 } else { 1.0 };
            Exemplar { group, interval: 0, class: class(value, false), span: span(0, value) }
        };
        let mut all: Vec<_> = (0..100).map(one).collect();
        thin(&mut all, 7);
        assert!(all.len() <= 7 && all.iter().any(|of| of.span.value == 9.0), "{all:?}");
    }

    #[test]
    fn a_slab_gives_extremes_and_a_row_of_each_class_and_time() {
        let mut picker = Picker::new(2, 3);
        for row in 0..1_000 {
            let value = match row {
                400 => 4.0,
                900 => 70.0,
                901 => 71.0,
                _ => 5.0,
            };
            picker.add((row, 1, row / 100), value, class(value, false));
        }
        picker.add((1_000, 0, 9), f64::NAN, 0);
        let rows: Vec<usize> = picker.picked().into_iter().map(|row| row.0).collect();
        assert_eq!(rows, [0, 100, 200, 400, 900, 901, 1_000]);
        // Of more groups than are looked at one by one the greatest of all.
        let mut picker = Picker::new(1_000, 3);
        (0..1_000).for_each(|row| picker.add((row, row, 0), if row == 500 { 9.0 } else { 1.0 }, 3));
        let rows = picker.picked();
        assert!(rows.len() <= 14 && rows.contains(&(500, 500, 0)), "{rows:?}");
    }
}
