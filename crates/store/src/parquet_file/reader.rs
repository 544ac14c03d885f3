//! A flat Parquet file that was written once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parquet::basic::{CompressionCodec, Encoding, LogicalType, Type as Physical};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::schema::types::ColumnDescriptor;

use super::cursor::{ChunkFacts, Cursor, GroupPages, PageSpot};
use super::decode::Dictionary;
use crate::column::Column;
use crate::columns::Kind;
use crate::files::CheckedFile;

/// Rows in a row group that is read: far beyond what is written.
const GROUP_ROWS_MAX: i64 = 1 << 24;

/// What is known of a file before its pages are read.
#[derive(Debug)]
pub(crate) struct TableFile {
    file: Arc<CheckedFile>,
    names: Vec<String>,
    places: HashMap<String, usize>,
    /// First row of each row group, and the number of rows at the end.
    groups: Vec<usize>,
    /// Of each row group, of each column.
    chunks: Vec<Chunk>,
    /// The data pages of all chunks.
    pages: Vec<PageSpot>,
}

#[derive(Debug)]
struct Chunk {
    facts: ChunkFacts,
    /// Which of the pages of the file.
    pages: Range<usize>,
    /// Offset and bytes.
    bloom: Option<(u64, u32)>,
    /// All values are in the dictionary.
    dictionary_alone: bool,
}

impl TableFile {
    /// Reads the footer.
    pub(crate) fn open(file: Arc<CheckedFile>) -> Result<Self, String> {
        let metadata = ParquetMetaDataReader::new()
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .parse_and_finish(&*file)
            .map_err(|error| error.to_string())?;
        let descriptors = metadata.file_metadata().schema_descr().columns();
        let names: Vec<String> =
            descriptors.iter().map(|descriptor| descriptor.name().to_owned()).collect();
        let kinds: Result<Vec<_>, String> =
            descriptors.iter().map(|descriptor| kind_of(descriptor)).collect();
        let kinds = kinds?;
        let places = names.iter().cloned().enumerate().map(|(place, name)| (name, place)).collect();
        let mut table =
            Self { file, names, places, groups: vec![0], chunks: Vec::new(), pages: Vec::new() };
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let rows = group.num_rows();
            if !(0..=GROUP_ROWS_MAX).contains(&rows) || group.num_columns() != kinds.len() {
                return Err(format!("row group {index} makes no sense"));
            }
            for (place, kind) in kinds.iter().enumerate() {
                table
                    .add_chunk(&metadata, index, place, *kind)
                    .map_err(|error| format!("column {}: {error}", table.names[place]))?;
            }
            table.groups.push(table.groups[index] + rows as usize);
        }
        table.pages.shrink_to_fit();
        Ok(table)
    }

    fn add_chunk(
        &mut self,
        metadata: &ParquetMetaData,
        group: usize,
        place: usize,
        kind: (Kind, bool),
    ) -> Result<(), String> {
        let rows = metadata.row_group(group).num_rows();
        let column = metadata.row_group(group).column(place);
        let compressed = match column.compression_codec() {
            CompressionCodec::UNCOMPRESSED => false,
            CompressionCodec::ZSTD => true,
            other => return Err(format!("pages compressed by {other} are not read")),
        };
        let start = self.pages.len();
        let index = metadata.page_index_for_row_group(group);
        let locations = index.page_locations(place).ok_or("there is no offset index")?;
        for location in locations {
            let spot = PageSpot {
                offset: unsigned(location.offset)?,
                bytes: unsigned(location.compressed_page_size)?,
                row: unsigned(location.first_row_index)?,
            };
            let last = self.pages[start..].last();
            let rows_ascend = match last {
                None => spot.row == 0,
                Some(last) => spot.row > last.row,
            };
            if !rows_ascend || location.first_row_index >= rows || spot.offset >= 1 << 48 {
                return Err("the offset index makes no sense".to_owned());
            }
            self.pages.push(spot);
        }
        if rows > 0 && self.pages.len() == start {
            return Err("the offset index is empty".to_owned());
        }
        let dictionary = match (column.dictionary_page_offset(), self.pages.get(start)) {
            (Some(offset), Some(first)) => {
                let offset: u64 = unsigned(offset)?;
                let bytes =
                    first.offset.checked_sub(offset).and_then(|bytes| bytes.try_into().ok());
                Some((offset, bytes.ok_or("the dictionary has no place")?))
            }
            _ => None,
        };
        let (kind, optional) = kind;
        self.chunks.push(Chunk {
            facts: ChunkFacts { kind, optional, compressed, dictionary },
            pages: start..self.pages.len(),
            bloom: bloom_place(column),
            dictionary_alone: is_dictionary_alone(column),
        });
        Ok(())
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// First row of each row group, and the number of rows at the end.
    pub(crate) fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// Bytes in memory, about.
    pub(crate) fn memory_size(&self) -> usize {
        let names: usize = self.names.iter().map(|name| 2 * name.len() + 80).sum();
        names
            + self.groups.len() * size_of::<usize>()
            + self.chunks.len() * size_of::<Chunk>()
            + self.pages.len() * size_of::<PageSpot>()
    }

    /// Where the last data page ends.
    #[cfg(test)]
    pub(super) fn pages_end(&self) -> usize {
        self.pages.iter().map(|page| page.offset + u64::from(page.bytes)).max().unwrap_or(0)
            as usize
    }

    fn chunk(&self, group: usize, place: usize) -> &Chunk {
        &self.chunks[group * self.names.len() + place]
    }

    fn group_rows(&self, group: usize) -> usize {
        self.groups[group + 1] - self.groups[group]
    }

    /// Rows of a column within a row group, from its start.
    pub(crate) fn read(
        &self,
        group: usize,
        place: usize,
        rows: Range<usize>,
    ) -> Result<Column, String> {
        let chunk = self.chunk(group, place);
        let group_rows = self.group_rows(group);
        if rows.start > rows.end || rows.end > group_rows {
            return Err(format!("rows {rows:?} of a row group of {group_rows}"));
        }
        let pages = &self.pages[chunk.pages.clone()];
        let first = pages.partition_point(|page| page.row as usize <= rows.start).saturating_sub(1);
        let last = pages.partition_point(|page| (page.row as usize) < rows.end).max(first);
        let end = pages.get(last).map_or(group_rows, |page| page.row as usize);
        let pages = pages[first..last].to_vec();
        Cursor::new(self.file.clone(), chunk.facts.clone(), pages, end)
            .take(rows)
            .map_err(|error| format!("column {}: {error}", self.names[place]))
    }

    /// False only when no row of a row group has this text.
    pub(crate) fn may_contain(&self, group: usize, place: usize, text: &[u8]) -> bool {
        let chunk = self.chunk(group, place);
        // A page that cannot be read is reported by the read that follows.
        self.check_contains(chunk, text).unwrap_or(true)
    }

    fn check_contains(&self, chunk: &Chunk, text: &[u8]) -> Option<bool> {
        if let Some((offset, bytes)) = chunk.bloom {
            let filter = Sbbf::from_bytes(&self.file.range(offset, bytes as usize).ok()?).ok()?;
            return (filter.num_blocks() > 0).then(|| filter.check(text));
        }
        let is_text = matches!(chunk.facts.kind, Kind::Text | Kind::Bytes);
        let (offset, bytes) =
            chunk.facts.dictionary.filter(|_| chunk.dictionary_alone && is_text)?;
        let page = self.file.range(offset, bytes as usize).ok()?;
        Dictionary::page_contains(&page, chunk.facts.compressed, text).ok()
    }

    /// A row group front to back.
    pub(crate) fn group_pages(&self, group: usize) -> Result<GroupPages, String> {
        if group + 1 >= self.groups.len() {
            return Err(format!("there is no row group {group}"));
        }
        let rows = self.group_rows(group);
        let cursors = (0..self.names.len()).map(|place| {
            let chunk = self.chunk(group, place);
            let pages = self.pages[chunk.pages.clone()].to_vec();
            Cursor::new(self.file.clone(), chunk.facts.clone(), pages, rows)
        });
        Ok(GroupPages::new(cursors.collect(), rows))
    }
}

fn unsigned<T: TryInto<U>, U>(number: T) -> Result<U, String> {
    number.try_into().map_err(|_| "the footer has a number that makes no sense".to_owned())
}

fn bloom_place(column: &ColumnChunkMetaData) -> Option<(u64, u32)> {
    let offset = column.bloom_filter_offset()?.try_into().ok()?;
    Some((offset, column.bloom_filter_length()?.try_into().ok()?))
}

/// Whether all data pages are coded by the dictionary.
fn is_dictionary_alone(column: &ColumnChunkMetaData) -> bool {
    column.page_encoding_stats_mask().is_some_and(|mask| {
        mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY)
    })
}

/// What a column's values are, and whether rows may lack them.
fn kind_of(column: &ColumnDescriptor) -> Result<(Kind, bool), String> {
    let wrong = |what: &str| Err(format!("column {} {what}", column.name()));
    if column.max_rep_level() > 0 || column.max_def_level() > 1 || column.path().parts().len() > 1 {
        return wrong("is nested");
    }
    let unsigned =
        matches!(column.logical_type_ref(), Some(LogicalType::Integer(int)) if !int.is_signed);
    let kind = match (column.physical_type(), column.type_length()) {
        (Physical::BYTE_ARRAY, _) => match column.logical_type_ref() {
            Some(LogicalType::String) => Kind::Text,
            _ => Kind::Bytes,
        },
        (Physical::INT32, _) if unsigned => Kind::Count,
        (Physical::INT32, _) => Kind::Int32,
        (Physical::INT64, _) => Kind::Int64,
        (Physical::DOUBLE, _) => Kind::Double,
        (Physical::BOOLEAN, _) => Kind::Bool,
        (Physical::FIXED_LEN_BYTE_ARRAY, 8) => Kind::Id8,
        (Physical::FIXED_LEN_BYTE_ARRAY, 16) => Kind::Id16,
        (other, _) => return wrong(&format!("has values of type {other}, which are not read")),
    };
    Ok((kind, column.max_def_level() == 1))
}
