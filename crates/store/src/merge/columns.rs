//! Which columns a merged block has, and which attributes lose theirs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::MergeError;
use crate::block::TableColumns;
use crate::columns::{Table, parse_attribute_column, required};
use crate::piece::{Damaged, Piece};
use crate::types::ValueType;

/// The most attribute columns of a table in a block.
const ATTRIBUTE_COLUMNS_MAX: usize = 256;

/// An attribute that fewer than one in so many rows have goes to the rest table.
const DENSE_SHARE: u64 = 500;

/// Which columns the block will have.
pub(super) struct Columns {
    pub(super) kept: TableColumns,
    /// Attribute columns that go to the rest tables, for spans, events and links.
    pub(super) demoted: [Vec<Arc<str>>; 3],
}

impl Columns {
    pub(super) fn of(pieces: &[Arc<dyn Piece>]) -> Result<Self, MergeError> {
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
                .take(ATTRIBUTE_COLUMNS_MAX)
                .take_while(|column| count(column) * DENSE_SHARE >= rows as u64)
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
