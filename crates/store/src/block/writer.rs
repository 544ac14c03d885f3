//! Writing a block's files into a folder that is renamed into place when they are durable.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, new_null_array};
use arrow_schema::{Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::filter::TraceFilter;
use super::{
    BlockMeta, CATALOG_FILE, FILTER_FILE, FORMAT_VERSION, SCOPES_FILE, TRACES_FILE, traces,
};
use crate::catalog::Catalog;
use crate::columns::{Table, data_type, name, parse_attribute_column, required};
use crate::files::{CheckedWriter, FileFacts, sync_folder};
use crate::piece::{StartRanges, TableBatch};
use crate::scopes::ScopeRow;
use crate::summary::TraceTable;
use crate::types::ValueType;

/// The columns of each table, in the order of [`Table::ALL`].
pub(crate) type TableColumns = [Vec<String>; 6];

/// Rows in a row group: enough for a dictionary to pay, few enough to read one for a trace.
const GROUP_ROWS: usize = 128 * 1024;

/// Rows in a page: what a trace by id decodes of every column.
const PAGE_ROWS: usize = 4 * 1024;

/// A column chunk with more distinct text than this is written plain, with a Bloom filter.
const DICTIONARY_BYTES_MAX: usize = 64 * 1024;

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

struct TableWriter {
    writer: ArrowWriter<CheckedWriter>,
    schema: SchemaRef,
    rows: u64,
}

/// A block in the making.
pub(crate) struct BlockWriter {
    folder: PathBuf,
    compression: Compression,
    columns: TableColumns,
    tables: [Option<TableWriter>; 6],
}

impl BlockWriter {
    /// Creates the folder. Files are made when their table gets its first row.
    pub(crate) fn create(
        folder: PathBuf,
        columns: TableColumns,
        zstd_level: i32,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder)?;
        let compression = Compression::ZSTD(ZstdLevel::try_new(zstd_level)?);
        Ok(Self { folder, compression, columns, tables: Default::default() })
    }

    /// Appends rows to a table. A column that they lack is null.
    pub(crate) fn write(&mut self, table: Table, batch: &TableBatch) -> Result<(), Error> {
        if batch.rows == 0 {
            return Ok(());
        }
        let slot = table as usize;
        if self.tables[slot].is_none() {
            self.tables[slot] = Some(self.open(table)?);
        }
        let Some(writer) = &mut self.tables[slot] else { return Ok(()) };
        let arrays = self.columns[slot]
            .iter()
            .map(|column| {
                batch
                    .column(column)
                    .cloned()
                    .unwrap_or_else(|| new_null_array(&data_type(column), batch.rows))
            })
            .collect();
        writer.writer.write(&RecordBatch::try_new(writer.schema.clone(), arrays)?)?;
        writer.rows += batch.rows as u64;
        Ok(())
    }

    fn open(&self, table: Table) -> Result<TableWriter, Error> {
        let columns = &self.columns[table as usize];
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| {
                let nullable = !required(table).contains(&column.as_str());
                Field::new(column, data_type(column), nullable)
            })
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut properties = properties(self.compression);
        for column in columns {
            properties = tune(properties, table, column);
        }
        let file = CheckedWriter::create(&self.folder.join(table.file_name()))?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties.build()))?;
        Ok(TableWriter { writer, schema, rows: 0 })
    }

    /// Writes the rest and makes all of it durable. The folder is not yet in its place.
    pub(crate) fn finish(
        self,
        traces: &TraceTable,
        scopes: &[Arc<ScopeRow>],
        catalog: &Catalog,
        facts: BlockFacts,
    ) -> Result<BlockMeta, Error> {
        let mut files: BTreeMap<String, FileFacts> = BTreeMap::new();
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        for (table, writer) in Table::ALL.into_iter().zip(self.tables) {
            let Some(writer) = writer else { continue };
            let file = writer.writer.into_inner()?;
            files.insert(table.file_name().to_owned(), file.finish()?);
            rows.insert(table.file_name().to_owned(), writer.rows);
        }
        for (file_name, batch) in
            [(TRACES_FILE, traces::to_arrow(traces)?), (SCOPES_FILE, scopes_to_arrow(scopes)?)]
        {
            let file = CheckedWriter::create(&self.folder.join(file_name))?;
            let properties = properties(self.compression)
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

fn properties(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(concat!("spanfall ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_bloom_filter_for_dictionary_encoded_chunks(false)
}

/// What suits a column better than a dictionary and the common compression.
fn tune(
    properties: WriterPropertiesBuilder,
    table: Table,
    column: &str,
) -> WriterPropertiesBuilder {
    // The parts are one name: dots in it are not levels.
    let path = || ColumnPath::new(vec![column.to_owned()]);
    match column {
        // Random bytes: neither repeats nor compresses.
        name::SPAN_ID | name::PARENT_SPAN_ID => properties
            .set_column_dictionary_enabled(path(), false)
            .set_column_compression(path(), Compression::UNCOMPRESSED),
        name::TRACE_ID if table == Table::Spans => {
            properties.set_column_statistics_enabled(path(), EnabledStatistics::Page)
        }
        name::START | name::ROW => properties
            .set_column_dictionary_enabled(path(), false)
            .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED),
        name::DURATION | name::TIME => properties
            .set_column_dictionary_enabled(path(), false)
            .set_column_encoding(path(), Encoding::BYTE_STREAM_SPLIT),
        _ if is_searched_text(column) => properties
            .set_column_bloom_filter_enabled(path(), true)
            .set_column_bloom_filter_fpp(path(), 0.05)
            .set_column_bloom_filter_max_ndv(path(), GROUP_ROWS as u64),
        _ => properties,
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
