//! Where merged rows go: into the files of a block, or into columns in memory.

use std::path::PathBuf;
use std::sync::Arc;

use super::MergeError;
use crate::block::{BlockFacts, BlockMeta, BlockWriter, TableColumns};
use crate::catalog::Catalog;
use crate::column::Column;
use crate::columns::Table;
use crate::gather::Dictionary;
use crate::memory::MemoryPiece;
use crate::piece::{StartRanges, TableBatch};
use crate::scopes::ScopeRow;
use crate::summary::TraceTable;

/// Takes merged rows, table by table, front to back.
pub(super) trait Sink {
    /// The texts of a column, by its place in the table: codes of text are numbers in them.
    fn dictionary(&mut self, table: Table, place: usize) -> &mut Dictionary;

    /// Takes rows of a table, never none. A column that they lack is null.
    fn write(
        &mut self,
        table: Table,
        batch: TableBatch,
        scopes: &[Arc<ScopeRow>],
    ) -> Result<(), MergeError>;
}

/// A block, and its small tables, which are counted as it is written.
pub(super) struct BlockSink {
    writer: BlockWriter,
    catalog: Catalog,
}

impl BlockSink {
    pub(super) fn create(
        folder: PathBuf,
        columns: TableColumns,
        zstd_level: i32,
    ) -> Result<Self, MergeError> {
        let writer = BlockWriter::create(folder, columns, zstd_level).map_err(MergeError::Write)?;
        Ok(Self { writer, catalog: Catalog::default() })
    }

    pub(super) fn finish(
        self,
        traces: &TraceTable,
        scopes: &[Arc<ScopeRow>],
        facts: BlockFacts,
    ) -> Result<BlockMeta, MergeError> {
        self.writer.finish(traces, scopes, &self.catalog, facts).map_err(MergeError::Write)
    }
}

impl Sink for BlockSink {
    fn dictionary(&mut self, table: Table, place: usize) -> &mut Dictionary {
        self.writer.dictionary(table, place)
    }

    fn write(
        &mut self,
        table: Table,
        batch: TableBatch,
        scopes: &[Arc<ScopeRow>],
    ) -> Result<(), MergeError> {
        let writer = &self.writer;
        self.catalog.add(table, &batch, scopes, &|column| writer.texts(table, column));
        self.writer.write(table, &batch).map_err(MergeError::Write)
    }
}

/// Columns in memory, all rows of a table at once. Their small tables are counted when somebody
/// asks.
pub(super) struct MemorySink {
    columns: TableColumns,
    dictionaries: [Vec<Dictionary>; 6],
    tables: [TableBatch; 6],
}

impl MemorySink {
    pub(super) fn new(columns: TableColumns) -> Self {
        let dictionaries =
            columns.each_ref().map(|of| of.iter().map(|_| Dictionary::default()).collect());
        Self { columns, dictionaries, tables: Default::default() }
    }

    pub(super) fn finish(
        mut self,
        id: String,
        traces: TraceTable,
        scopes: Vec<Arc<ScopeRow>>,
        start_ranges: StartRanges,
    ) -> MemoryPiece {
        for (slot, table) in self.tables.iter_mut().enumerate() {
            let mut planned = self.columns[slot].iter().zip(&self.dictionaries[slot]);
            let with_texts = |(name, column): (Arc<str>, Column)| {
                // In the order of the plan, without those that have no value.
                match planned.find(|(planned, _)| **planned == name) {
                    Some((_, dictionary)) => (name, column.with_texts(dictionary)),
                    None => (name, column),
                }
            };
            table.columns =
                std::mem::take(&mut table.columns).into_iter().map(with_texts).collect();
        }
        MemoryPiece::new(id, self.tables, traces, scopes, start_ranges)
    }
}

impl Sink for MemorySink {
    fn dictionary(&mut self, table: Table, place: usize) -> &mut Dictionary {
        &mut self.dictionaries[table as usize][place]
    }

    fn write(
        &mut self,
        table: Table,
        batch: TableBatch,
        _: &[Arc<ScopeRow>],
    ) -> Result<(), MergeError> {
        let whole = &mut self.tables[table as usize];
        debug_assert_eq!(whole.rows, 0, "a merge in memory has one stretch");
        *whole = batch;
        Ok(())
    }
}
