//! A sealed block as a [`Piece`].

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;
use model::TraceId;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::filter::TraceFilter;
use super::writer::is_searched_text;
use super::{BlockMeta, CATALOG_FILE, Cache, FILTER_FILE, SCOPES_FILE, TRACES_FILE, traces};
use crate::catalog::Catalog;
use crate::columns::{Table, attribute_column, data_type, name};
use crate::files::CheckedFile;
use crate::piece::{Damaged, Piece, StartRanges, TableBatch, TableStream};
use crate::scopes::ScopeRow;
use crate::summary::TraceTable;

/// Rows that a stream gives at a time.
const STREAM_ROWS: usize = 4 * 1024;

/// A folder of files that were written once.
pub(crate) struct Block {
    folder: PathBuf,
    meta: BlockMeta,
    filter: TraceFilter,
    cache: Arc<Cache>,
    files: Mutex<HashMap<String, SharedFile>>,
    /// Where the folder goes with the block, to be deleted there.
    bin: OnceLock<PathBuf>,
}

impl Drop for Block {
    fn drop(&mut self) {
        let Some(bin) = self.bin.get() else { return };
        self.forget();
        // Moved first: a block that is half deleted when the process ends would look damaged.
        let gone = bin.join(&self.meta.id);
        let removed =
            std::fs::rename(&self.folder, &gone).and_then(|()| std::fs::remove_dir_all(&gone));
        if let Err(error) = removed {
            tracing::warn!(block = self.meta.id, %error, "a block's folder was not deleted");
        }
    }
}

/// What is known of a Parquet file before its pages are read.
struct Opened {
    file: SharedFile,
    metadata: ArrowReaderMetadata,
    /// Column names to their places.
    places: HashMap<String, usize>,
    /// First row of each row group, and the number of rows at the end.
    group_rows: Vec<usize>,
}

#[derive(Clone, Debug)]
struct SharedFile(Arc<CheckedFile>);

impl Length for SharedFile {
    fn len(&self) -> u64 {
        Length::len(&*self.0)
    }
}

impl ChunkReader for SharedFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

impl Block {
    /// Opens a block. Reads its meta and trace filter, and that every file has its length; pages
    /// are checked when they are read.
    pub(crate) fn open(folder: &Path, meta: BlockMeta, cache: Arc<Cache>) -> Result<Self, Damaged> {
        let mut block = Self {
            folder: folder.to_owned(),
            meta,
            filter: TraceFilter::of(&[]),
            cache,
            files: Mutex::default(),
            bin: OnceLock::new(),
        };
        for (name, facts) in &block.meta.files {
            let length = std::fs::metadata(folder.join(name)).map(|metadata| metadata.len());
            match length {
                Ok(length) if length == facts.bytes => {}
                Ok(length) => {
                    let wrong = format!("{name} has {length} bytes, {} were written", facts.bytes);
                    return Err(block.damaged(wrong));
                }
                Err(error) => return Err(block.damaged(format!("{name}: {error}"))),
            }
        }
        let filter = block.whole(FILTER_FILE)?;
        block.filter = TraceFilter::from_bytes(filter)
            .ok_or_else(|| block.damaged(format!("{FILTER_FILE} is no filter")))?;
        Ok(block)
    }

    pub(crate) fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Drops what memory holds of it.
    pub(crate) fn forget(&self) {
        self.cache.forget(&self.meta.id);
    }

    /// Deletes the folder when the last reader lets go of the block. Until it is deleted it lies
    /// in `bin`, which is cleared at every start.
    pub(crate) fn remove_when_unused(&self, bin: PathBuf) {
        // Said twice it is said.
        let _ = self.bin.set(bin);
    }

    /// Reads every byte and compares it with its checksum. What the system could not do just now
    /// is no damage.
    pub(crate) fn damage(&self) -> Option<String> {
        let certain = |error: &io::Error| {
            [io::ErrorKind::InvalidData, io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof]
                .contains(&error.kind())
        };
        for (name, facts) in &self.meta.files {
            let check = || -> io::Result<()> {
                let file = CheckedFile::open(&self.folder.join(name), facts)?;
                let mut at = 0;
                while at < facts.bytes {
                    let length = (facts.bytes - at).min(1024 * 1024);
                    file.range(at, length as usize)?;
                    at += length;
                }
                Ok(())
            };
            match check() {
                Err(error) if certain(&error) => return Some(format!("{name}: {error}")),
                _ => {}
            }
        }
        None
    }

    fn damaged(&self, reason: impl ToString) -> Damaged {
        Damaged { block: self.meta.id.clone(), reason: reason.to_string() }
    }

    fn file(&self, name: &str) -> Result<SharedFile, Damaged> {
        let mut files = self.files.lock();
        if let Some(file) = files.get(name) {
            return Ok(file.clone());
        }
        let facts = self.meta.files.get(name);
        let facts = facts.ok_or_else(|| self.damaged(format!("it has no {name}")))?;
        let file = CheckedFile::open(&self.folder.join(name), facts)
            .map_err(|error| self.damaged(format!("{name}: {error}")))?;
        let file = SharedFile(Arc::new(file));
        files.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn whole(&self, name: &str) -> Result<Bytes, Damaged> {
        self.file(name)?.0.all().map_err(|error| self.damaged(format!("{name}: {error}")))
    }

    fn opened(&self, name: &'static str) -> Result<Arc<Opened>, Damaged> {
        self.cache.get(&self.meta.id, name, || {
            let file = self.file(name)?;
            let options =
                ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
            let metadata = ArrowReaderMetadata::load(&file, options)
                .map_err(|error| self.damaged(format!("{name}: {error}")))?;
            let places = metadata
                .schema()
                .fields()
                .iter()
                .enumerate()
                .map(|(place, field)| (field.name().clone(), place))
                .collect();
            let mut group_rows = vec![0];
            for group in metadata.metadata().row_groups() {
                group_rows.push(group_rows[group_rows.len() - 1] + group.num_rows() as usize);
            }
            let bytes = metadata.metadata().memory_size() * 2;
            Ok((Opened { file, metadata, places, group_rows }, bytes))
        })
    }

    fn table(&self, table: Table) -> Result<Option<Arc<Opened>>, Damaged> {
        if self.row_count(table) == 0 {
            return Ok(None);
        }
        self.opened(table.file_name()).map(Some)
    }

    fn batches(&self, name: &'static str) -> Result<Vec<RecordBatch>, Damaged> {
        let opened = self.opened(name)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
            opened.file.clone(),
            opened.metadata.clone(),
        )
        .with_batch_size(STREAM_ROWS)
        .build();
        reader
            .map_err(|error| self.damaged(format!("{name}: {error}")))?
            .map(|batch| batch.map_err(|error| self.damaged(format!("{name}: {error}"))))
            .collect()
    }

    /// Whether a text is in a column of a row group, by its Bloom filter or its dictionary.
    fn holds_text(
        &self,
        opened: &Opened,
        group: usize,
        place: usize,
        text: &str,
    ) -> parquet::errors::Result<bool> {
        let metadata = opened.metadata.metadata();
        let rows = metadata.row_group(group).num_rows() as usize;
        let column = metadata.row_group(group).column(place);
        if let Some(filter) = Sbbf::read_from_column_chunk(column, &opened.file)? {
            return Ok(filter.check(text));
        }
        if column.dictionary_page_offset().is_none() {
            return Ok(column.num_values() > 0);
        }
        // Without a filter every page is coded by the dictionary, which is the first page.
        let file = Arc::new(opened.file.clone());
        let mut pages = SerializedPageReader::new(file, column, rows, None)?;
        match pages.get_next_page()? {
            Some(Page::DictionaryPage { buf, num_values, .. }) => {
                Ok(plain_texts_contain(&buf, num_values, text.as_bytes()))
            }
            _ => Ok(true),
        }
    }
}

/// Whether a page of PLAIN byte arrays (Parquet format, "Plain") has this one.
fn plain_texts_contain(page: &[u8], values: u32, text: &[u8]) -> bool {
    let mut rest = page;
    for _ in 0..values {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { return true };
        let length = u32::from_le_bytes(*length) as usize;
        if length > after.len() {
            return true;
        }
        let (value, after) = after.split_at(length);
        if value == text {
            return true;
        }
        rest = after;
    }
    false
}

impl Piece for Block {
    fn id(&self) -> &str {
        &self.meta.id
    }

    fn start_ranges(&self) -> StartRanges {
        self.meta.start_ranges
    }

    fn may_hold(&self, trace: TraceId) -> bool {
        self.filter.may_hold(trace)
    }

    fn row_count(&self, table: Table) -> usize {
        self.meta.rows.get(table.file_name()).copied().unwrap_or(0) as usize
    }

    fn columns(&self, table: Table) -> Result<Vec<String>, Damaged> {
        let Some(opened) = self.table(table)? else { return Ok(Vec::new()) };
        Ok(opened.metadata.schema().fields().iter().map(|field| field.name().clone()).collect())
    }

    fn has_column(&self, table: Table, column: &str) -> Result<bool, Damaged> {
        Ok(self.table(table)?.is_some_and(|opened| opened.places.contains_key(column)))
    }

    fn attribute_counts(&self, table: Table) -> Result<Vec<(String, u64)>, Damaged> {
        let Some(level) = table.level() else { return Ok(Vec::new()) };
        let rows = self.catalog()?.attributes();
        Ok(rows
            .into_iter()
            .filter(|row| row.level == level)
            .map(|row| (attribute_column(row.value_type, &row.key), row.count))
            .collect())
    }

    fn groups(&self, table: Table) -> Result<Vec<Range<usize>>, Damaged> {
        let Some(opened) = self.table(table)? else { return Ok(Vec::new()) };
        Ok(opened.group_rows.windows(2).map(|pair| pair[0]..pair[1]).collect())
    }

    fn may_contain(&self, table: Table, group: usize, column: &str, text: &str) -> bool {
        let Ok(Some(opened)) = self.table(table) else { return true };
        let Some(&place) = opened.places.get(column) else { return false };
        // A page that cannot be read is reported by the read that follows.
        !is_searched_text(column) || self.holds_text(&opened, group, place, text).unwrap_or(true)
    }

    fn read(
        &self,
        table: Table,
        rows: Range<usize>,
        columns: &[&str],
    ) -> Result<Vec<Option<ArrayRef>>, Damaged> {
        let Some(opened) = self.table(table)? else { return Ok(vec![None; columns.len()]) };
        let places: Vec<Option<usize>> =
            columns.iter().map(|column| opened.places.get(*column).copied()).collect();
        if places.iter().all(Option::is_none) || rows.is_empty() {
            let empty = |place: &Option<usize>, column: &&str| {
                place.map(|_| arrow_array::new_empty_array(&data_type(column)))
            };
            return Ok(places
                .iter()
                .zip(columns)
                .map(|(place, column)| empty(place, column))
                .collect());
        }
        let fail = |error: String| self.damaged(format!("{}: {error}", table.file_name()));
        let first = opened.group_rows.partition_point(|&start| start <= rows.start) - 1;
        let last = opened.group_rows.partition_point(|&start| start < rows.end);
        let base = opened.group_rows[first];
        let mask = ProjectionMask::roots(
            opened.metadata.parquet_schema(),
            places.iter().flatten().copied(),
        );
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            opened.file.clone(),
            opened.metadata.clone(),
        )
        .with_projection(mask)
        .with_row_groups((first..last).collect())
        .with_batch_size(rows.len());
        if rows.len() < opened.group_rows[last] - base {
            builder = builder.with_row_selection(RowSelection::from(vec![
                RowSelector::skip(rows.start - base),
                RowSelector::select(rows.len()),
            ]));
        }
        let reader = builder.build().map_err(|error| fail(error.to_string()))?;
        let batches: Result<Vec<RecordBatch>, _> = reader.collect();
        let batches = batches.map_err(|error| fail(error.to_string()))?;
        let got: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if got != rows.len() {
            return Err(fail(format!("{got} rows where {} were written", rows.len())));
        }
        columns
            .iter()
            .zip(&places)
            .map(|(column, place)| {
                if place.is_none() {
                    return Ok(None);
                }
                let parts: Vec<ArrayRef> = batches
                    .iter()
                    .filter_map(|batch| batch.column_by_name(column).cloned())
                    .collect();
                if let [whole] = parts.as_slice() {
                    return Ok(Some(whole.clone()));
                }
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                arrow_select::concat::concat(&parts)
                    .map(Some)
                    .map_err(|error| fail(error.to_string()))
            })
            .collect()
    }

    fn stream(&self, table: Table) -> Result<Box<dyn TableStream>, Damaged> {
        let Some(opened) = self.table(table)? else {
            return Ok(Box::new(BlockStream { block: self.meta.id.clone(), reader: None }));
        };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
            opened.file.clone(),
            opened.metadata.clone(),
        )
        .with_batch_size(STREAM_ROWS)
        .build()
        .map_err(|error| self.damaged(format!("{}: {error}", table.file_name())))?;
        Ok(Box::new(BlockStream { block: self.meta.id.clone(), reader: Some(reader) }))
    }

    fn owners(&self, table: Table) -> Result<Arc<Vec<u32>>, Damaged> {
        let part = match table {
            Table::Spans | Table::Events => "event owners",
            Table::Links => "link owners",
            Table::SpansRest => "span rest owners",
            Table::EventsRest => "event rest owners",
            Table::LinksRest => "link rest owners",
        };
        self.cache.get(&self.meta.id, part, || {
            let rows = self.read(table, 0..self.row_count(table), &[name::ROW])?;
            let owners: Vec<u32> =
                rows.into_iter().flatten().next().map_or_else(Vec::new, |array| {
                    array
                        .as_primitive::<Int32Type>()
                        .values()
                        .iter()
                        .map(|&row| row as u32)
                        .collect()
                });
            let bytes = owners.len() * 4;
            Ok((owners, bytes))
        })
    }

    fn traces(&self) -> Result<Arc<TraceTable>, Damaged> {
        self.cache.get(&self.meta.id, "traces", || {
            let mut table = TraceTable {
                first_row: vec![0],
                service_offsets: vec![0],
                ..TraceTable::default()
            };
            for batch in self.batches(TRACES_FILE)? {
                traces::add_arrow(&mut table, &batch)
                    .ok_or_else(|| self.damaged(format!("{TRACES_FILE} lacks columns")))?;
            }
            if table.first_row.last().copied().unwrap_or(0) as usize != self.span_count() {
                return Err(self.damaged(format!("{TRACES_FILE} does not add up to its spans")));
            }
            let bytes = table.len() * 64 + table.services.len() * 12;
            Ok((table, bytes))
        })
    }

    fn scopes(&self) -> Result<Arc<Vec<Arc<ScopeRow>>>, Damaged> {
        self.cache.get(&self.meta.id, "scopes", || {
            let mut rows = Vec::new();
            let mut bytes = 0;
            for batch in self.batches(SCOPES_FILE)? {
                let messages =
                    batch.column_by_name("otlp").and_then(|column| column.as_binary_opt::<i32>());
                let messages =
                    messages.ok_or_else(|| self.damaged(format!("{SCOPES_FILE} lacks columns")))?;
                for message in messages.iter().flatten() {
                    bytes += message.len() * 4;
                    let row = ScopeRow::new(Bytes::copy_from_slice(message));
                    let row =
                        row.ok_or_else(|| self.damaged(format!("{SCOPES_FILE} has no scope")))?;
                    rows.push(Arc::new(row));
                }
            }
            Ok((rows, bytes))
        })
    }

    fn catalog(&self) -> Result<Arc<Catalog>, Damaged> {
        self.cache.get(&self.meta.id, "catalog", || {
            let content = self.whole(CATALOG_FILE)?;
            let fail = |error: String| self.damaged(format!("{CATALOG_FILE}: {error}"));
            let json = zstd::decode_all(&content[..]).map_err(|error| fail(error.to_string()))?;
            let stored = serde_json::from_slice(&json).map_err(|error| fail(error.to_string()))?;
            Ok((Catalog::from_stored(stored), json.len() * 3))
        })
    }
}

/// Front to back through one file.
struct BlockStream {
    block: String,
    reader: Option<ParquetRecordBatchReader>,
}

impl TableStream for BlockStream {
    fn next(&mut self) -> Result<Option<TableBatch>, Damaged> {
        let Some(batch) = self.reader.as_mut().and_then(Iterator::next) else { return Ok(None) };
        let batch = batch
            .map_err(|error| Damaged { block: self.block.clone(), reason: error.to_string() })?;
        let columns = batch
            .schema()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| (field.name().clone(), array.clone()))
            .collect();
        Ok(Some(TableBatch { rows: batch.num_rows(), columns }))
    }
}

/// Rows of a stream by their number, forwards only.
pub(crate) struct Forward {
    stream: Box<dyn TableStream>,
    batches: VecDeque<TableBatch>,
    /// Row number of the first row held.
    start: usize,
    /// Row number behind the last row held.
    end: usize,
}

impl Forward {
    pub(crate) fn new(stream: Box<dyn TableStream>) -> Self {
        Self { stream, batches: VecDeque::new(), start: 0, end: 0 }
    }

    /// The rows of a range, in one or several batches. Rows before it are let go.
    pub(crate) fn take(&mut self, rows: Range<usize>) -> Result<Vec<TableBatch>, Damaged> {
        while self.end < rows.end {
            let Some(batch) = self.stream.next()? else { break };
            self.end += batch.rows;
            self.batches.push_back(batch);
        }
        while let Some(first) = self.batches.front() {
            if self.start + first.rows > rows.start {
                break;
            }
            self.start += first.rows;
            self.batches.pop_front();
        }
        let mut at = self.start;
        let mut parts = Vec::new();
        for batch in &self.batches {
            let from = rows.start.max(at);
            let to = rows.end.min(at + batch.rows);
            if from < to {
                parts.push(batch.slice(from - at..to - at));
            }
            at += batch.rows;
        }
        Ok(parts)
    }
}
