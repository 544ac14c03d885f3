//! Writing a block's files into a folder that is renamed into place when they are durable.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::filter::TraceFilter;
use super::{
    BlockMeta, CATALOG_FILE, FILTER_FILE, FORMAT_VERSION, SCOPES_FILE, TRACES_FILE, traces,
};
use crate::catalog::Catalog;
use crate::columns::{Kind, Table, kind, name, parse_attribute_column, required};
use crate::files::{CheckedWriter, FileFacts, sync_folder};
use crate::gather::Dictionary;
use crate::parquet_file::{Coding, ColumnPlan, TableWriter};
use crate::piece::{StartRanges, TableBatch};
use crate::scopes::ScopeRow;
use crate::summary::TraceTable;
use crate::texts::Texts;
use crate::types::ValueType;

/// The columns of each table in the order they are written, in the order of [`Table::ALL`].
pub(crate) type TableColumns = [Vec<Arc<str>>; 6];

/// Rows of a row group, at least: what a search decodes of a column at a time. More where a trace
/// goes on.
const GROUP_ROWS: usize = 128 * 1024;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a block's meta says beyond what its files show.
pub(crate) struct BlockFacts {
    pub(crate) id: String,
    pub(crate) created_unix_nano: u64,
    pub(crate) received_min_unix_nano: u64,
    pub(crate) received_max_unix_nano: u64,
    pub(crate) start_ranges: StartRanges,
    pub(crate) log_through: u64,
    pub(crate) replaces: Vec<String>,
}

/// A table in the making.
struct OpenTable {
    writer: TableWriter,
    /// Rows of the row group that is being written.
    group_rows: usize,
}

/// A block in the making.
pub(crate) struct BlockWriter {
    folder: PathBuf,
    zstd_level: i32,
    columns: TableColumns,
    /// The texts of each column in its row group.
    dictionaries: [Vec<Dictionary>; 6],
    tables: [Option<OpenTable>; 6],
}

impl BlockWriter {
    /// Creates the folder. Files are made when their table gets its first row.
    pub(crate) fn create(
        folder: PathBuf,
        columns: TableColumns,
        zstd_level: i32,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder)?;
        let dictionaries = columns.each_ref().map(|of| dictionaries(of.len()));
        Ok(Self { folder, zstd_level, columns, dictionaries, tables: Default::default() })
    }

    /// The texts of a column so far: codes of rows that are written are numbers in them.
    pub(crate) fn dictionary(&mut self, table: Table, place: usize) -> &mut Dictionary {
        &mut self.dictionaries[table as usize][place]
    }

    /// The same by the column's name.
    pub(crate) fn texts(&self, table: Table, column: &str) -> Option<&Texts> {
        let place = self.columns[table as usize].iter().position(|of| **of == *column)?;
        Some(self.dictionaries[table as usize][place].texts())
    }

    /// Appends rows to a table. A column that they lack is null.
    pub(crate) fn write(&mut self, table: Table, batch: &TableBatch) -> Result<(), Error> {
        let slot = table as usize;
        let open = match &mut self.tables[slot] {
            Some(open) => open,
            empty => {
                let plans = self.columns[slot].iter().map(|column| plan(table, column)).collect();
                let path = self.folder.join(table.file_name());
                let writer = TableWriter::create(&path, plans, self.zstd_level)?;
                empty.insert(OpenTable { writer, group_rows: 0 })
            }
        };
        for (place, name) in self.columns[slot].iter().enumerate() {
            match batch.column(name) {
                Some(column) => {
                    open.writer.push(place, column, self.dictionaries[slot][place].texts())?;
                }
                None => open.writer.push_nulls(place, batch.rows),
            }
        }
        open.group_rows += batch.rows;
        if open.group_rows >= GROUP_ROWS {
            self.end_group(slot)?;
        }
        Ok(())
    }

    fn end_group(&mut self, slot: usize) -> Result<(), Error> {
        let Some(open) = self.tables[slot].as_mut().filter(|open| open.group_rows > 0) else {
            return Ok(());
        };
        let texts: Vec<&Texts> = self.dictionaries[slot].iter().map(Dictionary::texts).collect();
        open.writer.end_group(&texts)?;
        open.group_rows = 0;
        self.dictionaries[slot] = dictionaries(self.columns[slot].len());
        Ok(())
    }

    /// Writes the rest and makes all of it durable. The folder is not yet in its place.
    pub(crate) fn finish(
        mut self,
        traces: &TraceTable,
        scopes: &[Arc<ScopeRow>],
        catalog: &Catalog,
        facts: BlockFacts,
    ) -> Result<BlockMeta, Error> {
        let mut files: BTreeMap<String, FileFacts> = BTreeMap::new();
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        for table in Table::ALL {
            self.end_group(table as usize)?;
            let Some(open) = self.tables[table as usize].take() else { continue };
            let (facts, count) = open.writer.finish()?;
            files.insert(table.file_name().to_owned(), facts);
            rows.insert(table.file_name().to_owned(), count);
        }
        let compression = Compression::ZSTD(ZstdLevel::try_new(self.zstd_level)?);
        for (file_name, batch) in
            [(TRACES_FILE, traces::to_arrow(traces)?), (SCOPES_FILE, scopes_to_arrow(scopes)?)]
        {
            let file = CheckedWriter::create(&self.folder.join(file_name))?;
            let properties = properties(compression)
                .set_column_dictionary_enabled(ColumnPath::from(name::TRACE_ID), false)
                .set_column_compression(ColumnPath::from(name::TRACE_ID), Compression::UNCOMPRESSED)
                .build();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            files.insert(file_name.to_owned(), writer.into_inner()?.finish()?);
            rows.insert(file_name.to_owned(), batch.num_rows() as u64);
        }
        let filter = TraceFilter::of(&traces.ids);
        let catalog = serde_json::to_vec(&catalog.to_stored())?;
        let catalog = zstd::encode_all(catalog.as_slice(), 1)?;
        for (file_name, content) in [(FILTER_FILE, filter.bytes()), (CATALOG_FILE, &catalog)] {
            let mut file = CheckedWriter::create(&self.folder.join(file_name))?;
            file.write_all(content)?;
            files.insert(file_name.to_owned(), file.finish()?);
        }
        let meta = BlockMeta {
            format_version: FORMAT_VERSION,
            id: facts.id,
            created_unix_nano: facts.created_unix_nano,
            received_min_unix_nano: facts.received_min_unix_nano,
            received_max_unix_nano: facts.received_max_unix_nano,
            span_count: rows.get(Table::Spans.file_name()).copied().unwrap_or(0),
            trace_count: traces.len() as u64,
            start_ranges: facts.start_ranges,
            log_through: facts.log_through,
            replaces: facts.replaces,
            rows,
            files,
        };
        meta.write(&self.folder)?;
        sync_folder(&self.folder)?;
        Ok(meta)
    }
}

fn dictionaries(columns: usize) -> Vec<Dictionary> {
    std::iter::repeat_with(Dictionary::default).take(columns).collect()
}

fn properties(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(concat!("spanfall ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::None)
}

/// How a column is written.
fn plan(table: Table, column: &str) -> ColumnPlan {
    let coding = match column {
        name::START | name::ROW => Coding::Delta,
        name::DURATION | name::TIME => Coding::ByteStreamSplit,
        _ => match kind(column) {
            Kind::Id8 | Kind::Id16 | Kind::Bool => Coding::Plain,
            _ => Coding::Dictionary,
        },
    };
    ColumnPlan {
        name: column.to_owned(),
        kind: kind(column),
        optional: !required(table).contains(&column),
        coding,
        // Random bytes neither repeat nor compress, and packed differences hardly.
        compressed: kind(column) != Kind::Id8 && column != name::START,
        bloom: is_searched_text(column),
    }
}

/// Text columns that searches compare for equality.
pub(crate) fn is_searched_text(column: &str) -> bool {
    column == name::NAME
        || column == name::KEY
        || column == ValueType::String.name()
        || matches!(parse_attribute_column(column), Some((ValueType::String, _)))
}

/// The scopes by number: the two messages as OTLP, and their names for other readers.
fn scopes_to_arrow(scopes: &[Arc<ScopeRow>]) -> Result<RecordBatch, Error> {
    let texts = |get: &dyn Fn(&ScopeRow) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(scopes.iter().map(|row| get(row))))
    };
    Ok(RecordBatch::try_from_iter([
        ("service_name", texts(&|row| row.service().to_owned())),
        ("scope_name", texts(&|row| row.batch().text(row.scope().name).to_owned())),
        ("scope_version", texts(&|row| row.batch().text(row.scope().version).to_owned())),
        ("otlp_json", texts(&|row| model::json::encode(row.message()).unwrap_or_default())),
        ("otlp", Arc::new(BinaryArray::from_iter_values(scopes.iter().map(|row| row.message())))),
    ])?)
}
