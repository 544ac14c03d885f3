//! `compare()`: which values the attributes of selected spans have, and those of the others.

use hashbrown::HashMap;
use traceql::{Attribute, Field, Intrinsic, Scope, Static};

use super::groups::Groups;
use super::lanes::{NO, coded};
use super::mask::Mask;
use super::slab::Slab;
use crate::columns::{Table, parse_attribute_column};
use crate::piece::Damaged;
use crate::types::MeasuredSeries;

/// An attribute with more values is not told value by value.
const VALUES_MAX: usize = 10_000;

/// The name under which a group says which spans it counts.
const TYPE: &str = "__meta_type";

const TYPES: [&str; 2] = ["baseline", "selection"];

/// Adds the rows' values to groups of: type, attribute, value.
pub(super) fn compare(
    slab: &Slab<'_>,
    rows: &Mask,
    selected: &Mask,
    range: Option<(i64, i64)>,
    intervals: &[u32],
    groups: &mut Groups,
) -> Result<(), Damaged> {
    let mut chosen = selected.clone();
    if let Some((start, end)) = range {
        let mut late = Mask::none(slab.len());
        for row in selected.iter() {
            let time = i64::try_from(slab.start(row)?).unwrap_or(i64::MAX);
            if time < start || time >= end {
                late.set(row);
            }
        }
        chosen.minus(&late);
    }
    for field in fields(slab)? {
        let lane = coded(slab, &field, rows)?;
        let mut numbers: HashMap<(bool, u32), usize> = HashMap::new();
        for row in rows.iter() {
            let (code, interval) = (lane.codes[row], intervals[row]);
            let value = &lane.values[code as usize];
            if interval == NO || *value == Static::Nil {
                continue;
            }
            let side = chosen.get(row);
            let group = *numbers.entry((side, code)).or_insert_with(|| {
                let name = TYPES[usize::from(side)].to_owned();
                let key = [Static::String(name), Static::String(field.to_string()), value.clone()];
                groups.number(key.into())
            });
            let sums = groups.sums;
            sums.add(groups.cell_mut(group, interval as usize), f64::NAN);
        }
    }
    Ok(())
}

/// Everything that spans of the slab could differ in.
fn fields(slab: &Slab<'_>) -> Result<Vec<Field>, Damaged> {
    let mut fields: Vec<Field> = [
        Intrinsic::Name,
        Intrinsic::Kind,
        Intrinsic::Status,
        Intrinsic::StatusMessage,
        Intrinsic::RootName,
        Intrinsic::RootServiceName,
    ]
    .map(Field::Intrinsic)
    .into();
    let mut add = |scope: Scope, name: &str| {
        let field = Field::Attribute(Attribute { scope, parent: false, name: name.to_owned() });
        if !fields.contains(&field) {
            fields.push(field);
        }
    };
    for column in slab.piece.columns(Table::Spans)? {
        if let Some((_, key)) = parse_attribute_column(&column) {
            add(Scope::Span, key);
        }
    }
    for row in slab.scopes.iter() {
        let batch = row.batch();
        for attribute in batch.resource_attributes(row.resource()) {
            add(Scope::Resource, batch.text(attribute.key));
        }
    }
    Ok(fields)
}

/// The most frequent values of every attribute on both sides, and the totals.
pub(super) fn series(groups: &Groups, top_n: usize) -> Vec<MeasuredSeries> {
    let mut attributes: HashMap<(String, String), Vec<(f64, usize)>> = HashMap::new();
    for (group, key) in groups.keys.iter().enumerate() {
        let [Static::String(side), Static::String(attribute), _] = &key[..] else { continue };
        let total: f64 = (0..groups.steps).map(|step| groups.cell(group, step)[0]).sum();
        let of = attributes.entry((attribute.clone(), side.clone())).or_default();
        of.push((total, group));
    }
    let mut out = Vec::new();
    for ((attribute, side), mut values) in attributes {
        let points = |members: &[(f64, usize)]| -> Vec<f64> {
            let sum = |step| members.iter().map(|&(_, group)| groups.cell(group, step)[0]).sum();
            (0..groups.steps).map(sum).collect()
        };
        let mut push = |side: String, value: Static, error: bool, values: Vec<f64>| {
            let mut labels = vec![(TYPE.to_owned(), Static::String(side))];
            labels.push((attribute.clone(), value));
            if error {
                let text = Static::String("__too_many_values__".to_owned());
                labels.push(("__meta_error".to_owned(), text));
            }
            out.push(MeasuredSeries { labels, values, exemplars: Vec::new() });
        };
        push(format!("{side}_total"), Static::Nil, false, points(&values));
        if values.len() > VALUES_MAX {
            push(side.clone(), Static::Nil, true, points(&[]));
            continue;
        }
        values.sort_by(|a, b| {
            let text = |group: usize| format!("{:?}", groups.keys[group]);
            b.0.total_cmp(&a.0).then_with(|| text(a.1).cmp(&text(b.1)))
        });
        for &(total, group) in values.iter().take(top_n) {
            push(side.clone(), groups.keys[group][2].clone(), false, points(&[(total, group)]));
        }
    }
    out.sort_by_cached_key(|series| format!("{:?}", series.labels));
    out
}
