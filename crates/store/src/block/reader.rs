//! A sealed block as a [`Piece`].

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use bytes::Bytes;
use model::TraceId;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::filter::TraceFilter;
use super::writer::is_searched_text;
use super::{BlockMeta, CATALOG_FILE, Cache, FILTER_FILE, SCOPES_FILE, TRACES_FILE, traces};
use crate::catalog::Catalog;
use crate::column::Column;
use crate::columns::{Table, attribute_column, name};
use crate::files::CheckedFile;
use crate::parquet_file::{GroupPages, TableFile};
use crate::piece::{Damaged, Piece, StartRanges, TableBatch, TableStream};
use crate::scopes::ScopeRow;
use crate::summary::{TraceIndex, TraceTable};

/// A folder of files that were written once.
pub(crate) struct Block {
    folder: PathBuf,
    meta: BlockMeta,
    filter: TraceFilter,
    cache: Arc<Cache>,
    files: Mutex<HashMap<String, Arc<CheckedFile>>>,
    /// Found when first asked for.
    latest_end: OnceLock<u64>,
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
            latest_end: OnceLock::new(),
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

    fn file(&self, name: &str) -> Result<Arc<CheckedFile>, Damaged> {
        let mut files = self.files.lock();
        if let Some(file) = files.get(name) {
            return Ok(file.clone());
        }
        let facts = self.meta.files.get(name);
        let facts = facts.ok_or_else(|| self.damaged(format!("it has no {name}")))?;
        let file = CheckedFile::open(&self.folder.join(name), facts)
            .map_err(|error| self.damaged(format!("{name}: {error}")))?;
        let file = Arc::new(file);
        files.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn whole(&self, name: &str) -> Result<Bytes, Damaged> {
        self.file(name)?.all().map_err(|error| self.damaged(format!("{name}: {error}")))
    }

    /// A table's file; `None` when it has no rows.
    fn table(&self, table: Table) -> Result<Option<Arc<TableFile>>, Damaged> {
        if self.row_count(table) == 0 {
            return Ok(None);
        }
        let name = table.file_name();
        let open = || {
            let opened = TableFile::open(self.file(name)?);
            let opened = opened.map_err(|error| self.damaged(format!("{name}: {error}")))?;
            if opened.groups().last() != Some(&self.row_count(table)) {
                return Err(self.damaged(format!("{name} does not have the rows it should")));
            }
            let bytes = opened.memory_size();
            Ok((opened, bytes))
        };
        self.cache.get(&self.meta.id, name, open).map(Some)
    }

    /// The rows of one of the small files; of some columns, or of all.
    fn batches(
        &self,
        name: &'static str,
        columns: impl Fn(&str) -> bool,
    ) -> Result<Vec<RecordBatch>, Damaged> {
        let fail = |error: String| self.damaged(format!("{name}: {error}"));
        ParquetRecordBatchReaderBuilder::try_new(self.whole(name)?)
            .and_then(|reader| {
                let schema = reader.parquet_schema();
                let fields = schema.root_schema().get_fields().iter().enumerate();
                let wanted = fields.filter(|(_, field)| columns(field.name())).map(|(at, _)| at);
                let mask = ProjectionMask::roots(schema, wanted.collect::<Vec<_>>());
                reader.with_projection(mask).build()
            })
            .map_err(|error| fail(error.to_string()))?
            .map(|batch| batch.map_err(|error| fail(error.to_string())))
            .collect()
    }
}

impl Piece for Block {
    fn id(&self) -> &str {
        &self.meta.id
    }

    fn start_ranges(&self) -> StartRanges {
        self.meta.start_ranges
    }

    fn latest_end(&self) -> Result<u64, Damaged> {
        if let Some(&end) = self.latest_end.get() {
            return Ok(end);
        }
        let end = self.index()?.end.iter().copied().max().unwrap_or(0);
        Ok(*self.latest_end.get_or_init(|| end))
    }

    fn may_hold(&self, trace: TraceId) -> bool {
        self.filter.may_hold(trace)
    }

    fn row_count(&self, table: Table) -> usize {
        self.meta.rows.get(table.file_name()).copied().unwrap_or(0) as usize
    }

    fn columns(&self, table: Table) -> Result<Vec<String>, Damaged> {
        let Some(file) = self.table(table)? else { return Ok(Vec::new()) };
        Ok(file.columns().map(str::to_owned).collect())
    }

    fn has_column(&self, table: Table, column: &str) -> Result<bool, Damaged> {
        Ok(self.table(table)?.is_some_and(|file| file.place(column).is_some()))
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
        let Some(file) = self.table(table)? else { return Ok(Vec::new()) };
        Ok(file.groups().windows(2).map(|pair| pair[0]..pair[1]).collect())
    }

    fn may_contain(&self, table: Table, group: usize, column: &str, text: &str) -> bool {
        let Ok(Some(file)) = self.table(table) else { return true };
        let Some(place) = file.place(column) else { return false };
        // A page that cannot be read is reported by the read that follows.
        !is_searched_text(column) || file.may_contain(group, place, text.as_bytes())
    }

    fn read(
        &self,
        table: Table,
        rows: Range<usize>,
        columns: &[&str],
    ) -> Result<Vec<Option<Column>>, Damaged> {
        let Some(file) = self.table(table)? else { return Ok(vec![None; columns.len()]) };
        let groups = file.groups();
        let first = groups.partition_point(|&start| start <= rows.start).saturating_sub(1);
        let last = groups.partition_point(|&start| start < rows.end);
        let fail = |error: String| self.damaged(format!("{}: {error}", table.file_name()));
        let read = |column: &&str| {
            let Some(place) = file.place(column) else { return Ok(None) };
            let mut parts = Vec::new();
            for group in first..last {
                let (start, end) = (groups[group], groups[group + 1]);
                let part = rows.start.max(start) - start..rows.end.min(end) - start;
                parts.push(file.read(group, place, part).map_err(fail)?);
            }
            Ok(Column::concat(parts))
        };
        columns.iter().map(read).collect()
    }

    fn stream(&self, table: Table) -> Result<Box<dyn TableStream>, Damaged> {
        let file = self.table(table)?;
        let names = file.iter().flat_map(|file| file.columns()).map(Arc::from).collect();
        let block = self.meta.id.clone();
        Ok(Box::new(BlockStream { block, names, file, group: 0, pages: None }))
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
            let rows = rows.into_iter().flatten().next();
            let owners: Vec<u32> =
                rows.iter().flat_map(|rows| rows.int32s().iter().map(|&row| row as u32)).collect();
            let bytes = owners.len() * 4;
            Ok((owners, bytes))
        })
    }

    fn index(&self) -> Result<Arc<TraceIndex>, Damaged> {
        self.cache.get(&self.meta.id, "trace index", || {
            let mut index = TraceIndex::default();
            for batch in self.batches(TRACES_FILE, |name| traces::INDEX_COLUMNS.contains(&name))? {
                traces::add_index(&mut index, &batch)
                    .ok_or_else(|| self.damaged(format!("{TRACES_FILE} lacks columns")))?;
            }
            if index.first_row.last().copied().unwrap_or(0) as usize != self.span_count() {
                return Err(self.damaged(format!("{TRACES_FILE} does not add up to its spans")));
            }
            index.ids.shrink_to_fit();
            index.start.shrink_to_fit();
            index.end.shrink_to_fit();
            index.first_row.shrink_to_fit();
            let bytes = index.bytes();
            Ok((index, bytes))
        })
    }

    fn traces(&self) -> Result<Arc<TraceTable>, Damaged> {
        let index = self.index()?;
        self.cache.get(&self.meta.id, "traces", || {
            let mut table = TraceTable {
                index: index.clone(),
                service_offsets: vec![0],
                ..TraceTable::default()
            };
            for batch in self.batches(TRACES_FILE, |name| !traces::INDEX_COLUMNS.contains(&name))? {
                traces::add_facts(&mut table, &batch)
                    .ok_or_else(|| self.damaged(format!("{TRACES_FILE} lacks columns")))?;
            }
            if table.root_name.len() != index.len() {
                return Err(self.damaged(format!("{TRACES_FILE} lacks values")));
            }
            let bytes = table.root_name.len() * 24 + table.services.len() * 12;
            Ok((table, bytes))
        })
    }

    fn scopes(&self) -> Result<Arc<Vec<Arc<ScopeRow>>>, Damaged> {
        self.cache.get(&self.meta.id, "scopes", || {
            let mut rows = Vec::new();
            let mut bytes = 0;
            for batch in self.batches(SCOPES_FILE, |_| true)? {
                let messages =
                    batch.column_by_name("otlp").and_then(|column| column.as_binary_opt::<i32>());
                let messages =
                    messages.ok_or_else(|| self.damaged(format!("{SCOPES_FILE} lacks columns")))?;
                for message in messages.iter().flatten() {
                    let row = self.cache.scope(message);
                    let (row, own) =
                        row.ok_or_else(|| self.damaged(format!("{SCOPES_FILE} has no scope")))?;
                    bytes += own + size_of::<Arc<ScopeRow>>();
                    rows.push(row);
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
    names: Vec<Arc<str>>,
    file: Option<Arc<TableFile>>,
    /// The row group to be read next.
    group: usize,
    pages: Option<GroupPages>,
}

impl TableStream for BlockStream {
    fn next(&mut self) -> Result<Option<TableBatch>, Damaged> {
        let damaged = |reason: String| Damaged { block: self.block.clone(), reason };
        loop {
            if let Some(columns) = self.pages.as_mut().and_then(GroupPages::next) {
                let columns = columns.map_err(damaged)?;
                let rows = columns.first().map_or(0, Column::len);
                let columns = self.names.iter().cloned().zip(columns).collect();
                return Ok(Some(TableBatch { rows, columns }));
            }
            let Some(file) = self.file.as_ref().filter(|file| self.group + 1 < file.groups().len())
            else {
                return Ok(None);
            };
            self.pages = Some(file.group_pages(self.group).map_err(damaged)?);
            self.group += 1;
        }
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
