//! How spans of a trace lie to each other. Parents that are missing and circles of parents are
//! endured: a circle is walked once.

use traceql::Relation;

use super::slab::{NONE, Slab};
use crate::piece::Damaged;

/// Of `right`, the rows that have a partner in `left`, which are rows of the same trace; all
/// ascending.
pub(super) fn partners(
    slab: &Slab<'_>,
    relation: Relation,
    left: &[u32],
    right: &[u32],
) -> Result<Vec<u32>, Damaged> {
    let parents = slab.parents()?;
    let holds = |set: &[u32], row: u32| set.binary_search(&row).is_ok();
    let keep =
        |keep: &dyn Fn(u32) -> bool| right.iter().copied().filter(|&row| keep(row)).collect();
    Ok(match relation {
        Relation::Child => keep(&|row| {
            let parent = parents[row as usize];
            parent != NONE && holds(left, parent)
        }),
        Relation::Descendant => below(slab, parents, left, right),
        Relation::Parent => {
            let mut wanted: Vec<u32> =
                left.iter().map(|&row| parents[row as usize]).filter(|&row| row != NONE).collect();
            wanted.sort_unstable();
            keep(&|row| holds(&wanted, row))
        }
        Relation::Ancestor => above(slab, parents, left, right),
        Relation::Sibling => {
            // Spans whose parent is missing are siblings by its id; roots have no siblings.
            let family = |row: u32| -> Result<Option<(bool, u64)>, Damaged> {
                Ok(match parents[row as usize] {
                    NONE => Some((true, slab.parent_id(row as usize)?)).filter(|of| of.1 != 0),
                    parent => Some((false, u64::from(parent))),
                })
            };
            let mut families = Vec::new();
            for &row in left {
                families.extend(family(row)?.map(|of| (of, row)));
            }
            families.sort_unstable();
            let mut kept = Vec::new();
            for &row in right {
                let Some(of) = family(row)? else { continue };
                let from = families.partition_point(|(other, _)| *other < of);
                let mut same = families[from..].iter().take_while(|(other, _)| *other == of);
                if same.any(|&(_, other)| other != row) {
                    kept.push(row);
                }
            }
            kept
        }
    })
}

/// The relation seen from the other side.
pub(super) fn inverse(relation: Relation) -> Relation {
    match relation {
        Relation::Child => Relation::Parent,
        Relation::Parent => Relation::Child,
        Relation::Descendant => Relation::Ancestor,
        Relation::Ancestor => Relation::Descendant,
        Relation::Sibling => Relation::Sibling,
    }
}

/// Of `right`, what lies below a row of `left`. No row is climbed from twice, however deep the
/// trace; in a circle every span lies above all others and itself.
fn below(slab: &Slab<'_>, parents: &[u32], left: &[u32], right: &[u32]) -> Vec<u32> {
    let Some(&any) = right.first() else { return Vec::new() };
    let rows = slab.rows_beside(any);
    // Whether a row of `left` is above; of rows on the way, that none was met yet.
    let mut known: Vec<Option<bool>> = vec![None; rows.len()];
    let mut way = Vec::new();
    let mut is_below = |row: u32| {
        let mut at = row;
        let answer = loop {
            at = parents[at as usize];
            if at == NONE {
                break false;
            }
            if left.binary_search(&at).is_ok() {
                break true;
            }
            let known = &mut known[at as usize - rows.start];
            match *known {
                Some(answer) => break answer,
                None => *known = Some(false),
            }
            way.push(at);
        };
        way.drain(..).for_each(|at| known[at as usize - rows.start] = Some(answer));
        answer
    };
    right.iter().copied().filter(|&row| is_below(row)).collect()
}

/// Of `right`, what lies above a row of `left`.
fn above(slab: &Slab<'_>, parents: &[u32], left: &[u32], right: &[u32]) -> Vec<u32> {
    let Some(&any) = right.first() else { return Vec::new() };
    let rows = slab.rows_beside(any);
    let mut is_above = vec![false; rows.len()];
    for &row in left {
        let mut at = parents[row as usize];
        while at != NONE && !std::mem::replace(&mut is_above[at as usize - rows.start], true) {
            at = parents[at as usize];
        }
    }
    right.iter().copied().filter(|&row| is_above[row as usize - rows.start]).collect()
}

/// A span's bounds in the nested set: left, right and the parent's left, which is -1 for roots and
/// spans whose parent is missing.
pub(super) type Bounds = (i64, i64, i64);

/// The bounds of a trace's spans.
pub(super) fn nested_set(slab: &Slab<'_>, trace: usize) -> Result<Vec<Bounds>, Damaged> {
    let rows = slab.trace_rows(trace);
    let parents = &slab.parents()?[rows.clone()];
    let local = |row: u32| row as usize - rows.start;
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let mut roots = Vec::new();
    for (at, &parent) in parents.iter().enumerate() {
        if parent == NONE { roots.push(at) } else { children[local(parent)].push(at) }
    }
    let mut bounds = vec![(0, 0, -1); rows.len()];
    let mut next = 1;
    // What no root leads to is a circle: its earliest span stands in for a root.
    let starts: Vec<usize> = roots.into_iter().chain(0..rows.len()).collect();
    for start in starts {
        if bounds[start].0 != 0 {
            continue;
        }
        let mut stack = vec![(start, 0)];
        bounds[start].0 = next;
        next += 1;
        while let Some((at, child)) = stack.pop() {
            match children[at].get(child) {
                Some(&below) => {
                    stack.push((at, child + 1));
                    if bounds[below].0 == 0 {
                        bounds[below] = (next, 0, bounds[at].0);
                        next += 1;
                        stack.push((below, 0));
                    }
                }
                None => {
                    bounds[at].1 = next;
                    next += 1;
                }
            }
        }
    }
    Ok(bounds)
}
