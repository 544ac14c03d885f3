//! Writing a flat Parquet file, row group by row group.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::ColumnPlan;
use super::chunk::ChunkWriter;
use super::page::Tools;
use crate::column::Column;
use crate::columns::Kind;
use crate::files::{CheckedWriter, FileFacts};
use crate::texts::Texts;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// A file in the making. Pages are encoded as soon as they are full; a row group is in memory,
/// compressed, until it ends.
pub(crate) struct TableWriter {
    file: SerializedFileWriter<CheckedWriter>,
    chunks: Vec<ChunkWriter>,
    tools: Tools,
    rows: u64,
}

impl TableWriter {
    pub(crate) fn create(
        path: &Path,
        plans: Vec<ColumnPlan>,
        zstd_level: i32,
    ) -> Result<Self, Error> {
        let fields: Result<Vec<_>, Error> =
            plans.iter().map(|plan| Ok(Arc::new(field(plan)?))).collect();
        let schema = Type::group_type_builder("schema").with_fields(fields?).build()?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("spanfall ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = CheckedWriter::create(path)?;
        Ok(Self {
            file: SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?,
            chunks: plans.into_iter().map(ChunkWriter::new).collect(),
            tools: Tools::new(zstd_level)?,
            rows: 0,
        })
    }

    /// Appends rows to a column. The codes of text are numbers in `texts`, which is the column's
    /// dictionary for the whole row group and only grows; what the column itself has is ignored.
    pub(crate) fn push(
        &mut self,
        place: usize,
        column: &Column,
        texts: &Texts,
    ) -> Result<(), Error> {
        self.chunks[place].push(column, texts, &mut self.tools)
    }

    /// Appends rows without a value.
    pub(crate) fn push_nulls(&mut self, place: usize, rows: usize) {
        self.chunks[place].push_nulls(rows);
    }

    /// Ends the row group, in which all columns have equally many rows. `texts` has the dictionary
    /// of each column, an empty one for those without.
    pub(crate) fn end_group(&mut self, texts: &[&Texts]) -> Result<(), Error> {
        let rows = self.chunks.first().map_or(0, ChunkWriter::rows);
        if self.chunks.iter().any(|chunk| chunk.rows() != rows) || texts.len() != self.chunks.len()
        {
            return Err("the columns of a row group differ in length".into());
        }
        if rows == 0 {
            return Ok(());
        }
        let descriptors = self.file.schema_descr().columns().to_vec();
        let mut group = self.file.next_row_group()?;
        for ((chunk, descriptor), texts) in self.chunks.iter_mut().zip(descriptors).zip(texts) {
            let closed = chunk.close(descriptor, texts, &mut self.tools)?;
            group.append_column(&Parts(closed.front, closed.pages), closed.result)?;
            chunk.clear();
        }
        group.close()?;
        self.rows += rows as u64;
        Ok(())
    }

    /// Makes the file durable. Gives what it must be, and its rows.
    pub(crate) fn finish(self) -> Result<(FileFacts, u64), Error> {
        if self.chunks.iter().any(|chunk| chunk.rows() > 0) {
            return Err("the last row group was not ended".into());
        }
        Ok((self.file.into_inner()?.finish()?, self.rows))
    }
}

fn field(plan: &ColumnPlan) -> Result<Type, Error> {
    let (physical, length, logical) = match plan.kind {
        Kind::Text => (Physical::BYTE_ARRAY, -1, Some(LogicalType::String)),
        Kind::Bytes => (Physical::BYTE_ARRAY, -1, None),
        Kind::Int32 => (Physical::INT32, -1, None),
        Kind::Count => (Physical::INT32, -1, Some(LogicalType::integer(32, false))),
        Kind::Int64 => (Physical::INT64, -1, None),
        Kind::Double => (Physical::DOUBLE, -1, None),
        Kind::Bool => (Physical::BOOLEAN, -1, None),
        Kind::Id8 => (Physical::FIXED_LEN_BYTE_ARRAY, 8, None),
        Kind::Id16 => (Physical::FIXED_LEN_BYTE_ARRAY, 16, None),
    };
    let repetition = if plan.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Ok(Type::primitive_type_builder(&plan.name, physical)
        .with_repetition(repetition)
        .with_length(length)
        .with_logical_type(logical)
        .build()?)
}

/// A chunk in two parts.
struct Parts<'a>(&'a [u8], &'a [u8]);

impl Length for Parts<'_> {
    fn len(&self) -> u64 {
        (self.0.len() + self.1.len()) as u64
    }
}

impl<'a> ChunkReader for Parts<'a> {
    type T = std::io::Chain<&'a [u8], &'a [u8]>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let start = (start as usize).min(self.0.len() + self.1.len());
        let (front, rest) = (start.min(self.0.len()), start.saturating_sub(self.0.len()));
        Ok(self.0[front..].chain(&self.1[rest..]))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}
