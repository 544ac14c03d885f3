//! A piece of the store: spans of a stretch of time, sorted by trace id and start, as columns.
//!
//! A chunk of the head and a sealed block are pieces alike, so that reading, searching and merging
//! are written once.

use std::ops::Range;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::column::Column;
use crate::columns::{Table, name};
use crate::memory::MemoryPiece;
use crate::scopes::ScopeRow;
use crate::summary::{TraceIndex, TraceTable};
use model::TraceId;

/// A file of a block is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {block} is damaged: {reason}")]
pub(crate) struct Damaged {
    pub(crate) block: String,
    pub(crate) reason: String,
}

/// When the spans of a piece start. Spans that claim to be far from the time they came at are kept
/// apart, so that one wrong clock does not make every search read the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct StartRange {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl StartRange {
    fn with(range: &mut Option<Self>, start: u64) {
        match range {
            None => *range = Some(Self { min: start, max: start }),
            Some(range) => {
                range.min = range.min.min(start);
                range.max = range.max.max(start);
            }
        }
    }
}

/// The starts of a piece's spans: before, near and after the time they were received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct StartRanges {
    pub(crate) past: Option<StartRange>,
    pub(crate) near: Option<StartRange>,
    pub(crate) future: Option<StartRange>,
}

/// How far from its arrival a start may be and count as near.
const NEAR_NANO: u64 = 24 * 3600 * 1_000_000_000;

impl StartRanges {
    pub(crate) fn add(&mut self, start: u64, received_unix_nano: u64) {
        let range = if start.saturating_add(NEAR_NANO) < received_unix_nano {
            &mut self.past
        } else if start > received_unix_nano.saturating_add(NEAR_NANO) {
            &mut self.future
        } else {
            &mut self.near
        };
        StartRange::with(range, start);
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.past, other.past),
            (&mut self.near, other.near),
            (&mut self.future, other.future),
        ] {
            if let Some(theirs) = theirs {
                StartRange::with(mine, theirs.min);
                StartRange::with(mine, theirs.max);
            }
        }
    }

    /// The latest start; `None` when there are no spans.
    pub(crate) fn latest(&self) -> Option<u64> {
        self.all().map(|range| range.max).max()
    }

    /// Whether a start from `first` to `last` is possible.
    pub(crate) fn overlap(&self, first: u64, last: u64) -> bool {
        self.all().any(|range| range.min <= last && range.max >= first)
    }

    /// Whether all starts are from `first` to `last`.
    pub(crate) fn inside(&self, first: u64, last: u64) -> bool {
        self.all().all(|range| range.min >= first && range.max <= last)
    }

    fn all(&self) -> impl Iterator<Item = StartRange> {
        [self.past, self.near, self.future].into_iter().flatten()
    }
}

/// Spans as columns, sorted by trace id, start and span id.
pub(crate) trait Piece: Send + Sync {
    /// Unique among the pieces of a store.
    fn id(&self) -> &str;

    /// The piece, when it is in memory and not a sealed block.
    fn memory(&self) -> Option<&MemoryPiece> {
        None
    }

    fn span_count(&self) -> usize {
        self.row_count(Table::Spans)
    }

    fn start_ranges(&self) -> StartRanges;

    /// When the last of its spans ends.
    fn latest_end(&self) -> Result<u64, Damaged> {
        Ok(self.index()?.end.iter().copied().max().unwrap_or(0))
    }

    /// False only when no span of the trace is here.
    fn may_hold(&self, trace: TraceId) -> bool;

    fn row_count(&self, table: Table) -> usize;

    /// The names of a table's columns.
    fn columns(&self, table: Table) -> Result<Vec<String>, Damaged>;

    fn has_column(&self, table: Table, column: &str) -> Result<bool, Damaged>;

    /// In how many rows each attribute column has a value.
    fn attribute_counts(&self, table: Table) -> Result<Vec<(String, u64)>, Damaged>;

    /// Rows that are stored together: reading one such range costs least.
    fn groups(&self, table: Table) -> Result<Vec<Range<usize>>, Damaged>;

    /// False only when no row of that group has this text in that column.
    fn may_contain(&self, table: Table, group: usize, column: &str, text: &str) -> bool;

    /// Columns of a range of rows; `None` for a column that the piece does not have.
    fn read(
        &self,
        table: Table,
        rows: Range<usize>,
        columns: &[&str],
    ) -> Result<Vec<Option<Column>>, Damaged>;

    /// All columns of a table from front to back, for merging.
    fn stream(&self, table: Table) -> Result<Box<dyn TableStream>, Damaged>;

    /// The rows' owners, ascending, in tables of events, links and rest.
    fn owners(&self, table: Table) -> Result<Arc<Vec<u32>>, Damaged> {
        let rows = self.read(table, 0..self.row_count(table), &[name::ROW])?;
        let rows = rows.into_iter().flatten().next();
        let owners = rows.iter().flat_map(|rows| rows.int32s().iter().map(|&row| row as u32));
        Ok(Arc::new(owners.collect()))
    }

    /// Which traces there are, by trace id, and when: cheaper than all that is known of them.
    fn index(&self) -> Result<Arc<TraceIndex>, Damaged> {
        Ok(self.traces()?.index.clone())
    }

    /// One row per trace, by trace id.
    fn traces(&self) -> Result<Arc<TraceTable>, Damaged>;

    /// Scopes by number.
    fn scopes(&self) -> Result<Arc<Vec<Arc<ScopeRow>>>, Damaged>;

    fn catalog(&self) -> Result<Arc<Catalog>, Damaged>;
}

/// Rows one after the other.
pub(crate) trait TableStream {
    /// The next rows, by column name; `None` at the end. Never empty.
    fn next(&mut self) -> Result<Option<TableBatch>, Damaged>;
}

/// Some rows of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableBatch {
    pub(crate) rows: usize,
    pub(crate) columns: Vec<(Arc<str>, Column)>,
}

impl TableBatch {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(column, _)| **column == *name).map(|(_, column)| column)
    }

    pub(crate) fn slice(&self, rows: Range<usize>) -> Self {
        Self {
            rows: rows.len(),
            columns: self
                .columns
                .iter()
                .map(|(name, column)| (name.clone(), column.slice(rows.clone())))
                .collect(),
        }
    }
}
