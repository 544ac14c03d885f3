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
        Relation::Descendant => {
            keep(&|row| ancestors(parents, row).any(|above| holds(left, above)))
        }
        Relation::Parent => {
            let mut wanted: Vec<u32> =
                left.iter().map(|&row| parents[row as usize]).filter(|&row| row != NONE).collect();
            wanted.sort_unstable();
            keep(&|row| holds(&wanted, row))
        }
        Relation::Ancestor => {
            let mut wanted: Vec<u32> =
                left.iter().flat_map(|&row| ancestors(parents, row)).collect();
            wanted.sort_unstable();
            keep(&|row| holds(&wanted, row))
        }
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

/// The rows above a row, nearest first; each once.
fn ancestors(parents: &[u32], row: u32) -> impl Iterator<Item = u32> + '_ {
    // In a circle no span lies above another (Brent's cycle detection stops the walk).
    let (mut at, mut mark, mut steps, mut limit) = (row, row, 0u32, 1u32);
    std::iter::from_fn(move || {
        at = parents[at as usize];
        if at == NONE || at == mark {
            at = NONE;
            return None;
        }
        steps += 1;
        if steps == limit {
            (mark, steps, limit) = (at, 0, limit.saturating_mul(2));
        }
        Some(at)
    })
    .fuse()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_end_even_in_circles() {
        let parents = [NONE, 0, 1, 5, 3, 4];
        assert_eq!(ancestors(&parents, 2).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(ancestors(&parents, 0).count(), 0);
        let circle: Vec<u32> = ancestors(&parents, 4).collect();
        assert!(circle.contains(&3) && circle.contains(&5) && circle.len() < 10);
        // A tail that leads into a circle.
        let parents = [1, 2, 1];
        let tail: Vec<u32> = ancestors(&parents, 0).collect();
        assert!(tail.contains(&1) && tail.contains(&2) && tail.len() < 10);
        assert_eq!(ancestors(&[0], 0).count(), 0);
    }
}
