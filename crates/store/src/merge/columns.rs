//! Which columns a merged piece has, and which attributes lose theirs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::MergeError;
use crate::attributes::COLUMNS_MAX;
use crate::block::TableColumns;
use crate::columns::{Table, parse_attribute_column, required};
use crate::piece::{Damaged, Piece};
use crate::types::ValueType;

/// Which attributes have a column of their own; the others go to the rest tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most attribute columns of a table.
    columns_max: usize,
    /// One in so many rows has an attribute with a column, at least.
    dense_share: u64,
}

impl Limits {
    pub(super) const BLOCK: Self = Self { columns_max: 256, dense_share: 500 };

    /// As in a chunk. What is rare among a few rows need not be in the block that they come to.
    pub(super) const MEMORY: Self = Self { columns_max: COLUMNS_MAX, dense_share: u64::MAX };
}

/// Which columns the merged piece will have.
pub(super) struct Columns {
    pub(super) kept: TableColumns,
    /// Attribute columns that go to the rest tables, for spans, events and links.
    pub(super) demoted: [Vec<Arc<str>>; 3],
}

impl Columns {
    pub(super) fn of(pieces: &[Arc<dyn Piece>], limits: Limits) -> Result<Self, MergeError> {
        let mut kept = TableColumns::default();
        let mut demoted: [Vec<Arc<str>>; 3] = Default::default();
        for table in [Table::Spans, Table::Events, Table::Links] {
            let mut counts: HashMap<String, u64> = HashMap::new();
            for piece in pieces {
                for (column, count) in piece.attribute_counts(table)? {
                    *counts.entry(column).or_default() += count;
                }
            }
            let rows: usize = pieces.iter().map(|piece| piece.row_count(table)).sum();
            let union = union_of_columns(pieces, table)?;
            let (mut attributes, own): (Vec<String>, Vec<String>) =
                union.into_iter().partition(|column| parse_attribute_column(column).is_some());
            let count = |column: &String| counts.get(column).copied().unwrap_or(0);
            attributes.sort_by_key(|column| std::cmp::Reverse(count(column)));
            let dense = attributes
                .iter()
                .take(limits.columns_max)
                .take_while(|column| {
                    count(column).saturating_mul(limits.dense_share) >= rows as u64
                })
                .count();
            demoted[table as usize] =
                attributes.split_off(dense).into_iter().map(Arc::from).collect();
            attributes.sort();

            let columns = &mut kept[table as usize];
            columns.extend(required(table).iter().map(|&column| Arc::from(column)));
            let own = own.into_iter().filter(|column| !required(table).contains(&column.as_str()));
            columns.extend(own.chain(attributes).map(Arc::from));

            let rest = table.rest();
            let mut value_types = union_of_columns(pieces, rest)?;
            value_types.retain(|column| ValueType::from_name(column).is_some());
            value_types.extend(
                demoted[table as usize]
                    .iter()
                    .filter_map(|column| parse_attribute_column(column))
                    .map(|(value_type, _)| value_type.name().to_owned()),
            );
            let columns = &mut kept[rest as usize];
            columns.extend(required(rest).iter().map(|&column| Arc::from(column)));
            columns.extend(value_types.into_iter().map(Arc::from));
        }
        Ok(Self { kept, demoted })
    }
}

fn union_of_columns(pieces: &[Arc<dyn Piece>], table: Table) -> Result<BTreeSet<String>, Damaged> {
    let mut union = BTreeSet::new();
    for piece in pieces {
        union.extend(piece.columns(table)?);
    }
    Ok(union)
}
