//! Records in batches (Kafka documentation, "Message Format", version 2).

mod compression;

use bytes::{BufMut, Bytes, BytesMut};

pub use compression::{BATCH_BYTES_MAX, Compression};

use crate::wire::{Reader, WireError, Writer};

/// Of the fields before the length is counted from: base offset and length.
const PREFIX_BYTES: usize = 12;
/// Up to the records.
const HEAD_BYTES: usize = 61;
/// Where the checksum stands, and where what it is of begins.
const CHECKSUM_AT: usize = 17;
const CHECKED_FROM: usize = 21;

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Of records with the same key, all go to the same partition.
    pub key: Option<Bytes>,
    /// The content.
    pub value: Bytes,
    /// Names and values beside it.
    pub headers: Vec<(String, Bytes)>,
}

impl NewRecord {
    /// Bytes that a batch of it alone takes before compression, at most.
    pub fn batch_bytes(&self) -> usize {
        HEAD_BYTES + self.bytes()
    }

    /// Bytes that it takes in a batch, at most.
    pub fn bytes(&self) -> usize {
        // Lengths, offsets and times are varints of five and ten bytes at most.
        let key = self.key.as_ref().map_or(0, Bytes::len);
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
        36 + key + self.value.len() + headers
    }
}

/// Writes a batch. The time is that of all its records.
pub fn encode<'a>(
    records: impl ExactSizeIterator<Item = &'a NewRecord>,
    compression: Compression,
    unix_ms: i64,
) -> std::io::Result<Bytes> {
    let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
    let mut content = Writer::default();
    let mut one = Writer::default();
    for (at, record) in records.enumerate() {
        one.bytes.clear();
        // Attributes, and the time's distance from the first.
        one.i8(0);
        one.varlong(0);
        one.varlong(at as i64);
        one.record_bytes(record.key.as_deref());
        one.record_bytes(Some(&record.value));
        one.varlong(record.headers.len() as i64);
        for (name, value) in &record.headers {
            one.record_bytes(Some(name.as_bytes()));
            one.record_bytes(Some(value));
        }
        content.record_bytes(Some(&one.bytes));
    }
    let content = compression.compress(content.bytes.freeze())?;
    let mut batch = BytesMut::with_capacity(HEAD_BYTES + content.len());
    batch.put_i64(0);
    let length = HEAD_BYTES - PREFIX_BYTES + content.len();
    batch.put_i32(i32::try_from(length).map_err(|_| std::io::ErrorKind::FileTooLarge)?);
    // No leader's epoch; the format's version; room for the checksum.
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0);
    batch.put_i16(compression.number());
    batch.put_i32(count - 1);
    batch.put_i64(unix_ms);
    batch.put_i64(unix_ms);
    // No idempotent producer.
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(count);
    batch.put_slice(&content);
    let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]);
    batch[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    Ok(batch.freeze())
}

/// The batches of a fetched partition. One that is cut off at the end is not given.
pub struct Batches {
    bytes: Bytes,
}

/// A batch, not yet decompressed.
#[derive(Debug)]
pub struct Batch {
    /// Of the first record that it may hold; after compaction by key it may not.
    pub base_offset: i64,
    /// Of the record behind its last.
    pub next_offset: i64,
    /// Its records, or what is wrong with it.
    pub content: Result<Content, RecordError>,
}

/// Why records cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not what was written.
    #[error("the batch's checksum is wrong")]
    Checksum,
    /// Of before Kafka 0.11.
    #[error("records in the format of before Kafka 0.11 (version {0}) are not read")]
    Format(i8),
    /// A compression that there is not.
    #[error("compression {0} is unknown")]
    Compression(i16),
    /// Its compressed content is broken or too large.
    #[error("the batch cannot be decompressed: {0}")]
    Decompress(String),
    /// A record in it is cut off or the like.
    #[error("a record is broken: {0}")]
    Wire(#[from] WireError),
}

/// What a batch holds.
#[derive(Debug)]
pub struct Content {
    compression: Compression,
    compressed: Bytes,
    base_offset: i64,
    count: i32,
    /// Markers of transactions, not records.
    is_control: bool,
}

impl Batches {
    /// In the bytes of a partition.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut reader = Reader::new(self.bytes.clone());
        let base_offset = reader.i64().ok()?;
        let length = usize::try_from(reader.i32().ok()?).ok()?;
        let whole = reader.take(length).ok()?;
        self.bytes = reader.rest();
        Some(batch(base_offset, whole))
    }
}

fn batch(base_offset: i64, whole: Bytes) -> Batch {
    let broken = |error: WireError| {
        let next_offset = base_offset.saturating_add(1);
        Batch { base_offset, next_offset, content: Err(error.into()) }
    };
    read(base_offset, whole).unwrap_or_else(broken)
}

fn read(base_offset: i64, whole: Bytes) -> Result<Batch, WireError> {
    let mut reader = Reader::new(whole);
    let _leader_epoch = reader.i32()?;
    let version = reader.i8()?;
    if version != 2 {
        // An older message begins alike; its offset is that of the last record in it.
        let content = Err(RecordError::Format(version));
        return Ok(Batch { base_offset, next_offset: base_offset.saturating_add(1), content });
    }
    let checksum = reader.u32()?;
    let checked = reader.clone().rest();
    let attributes = reader.i16()?;
    let last = i64::from(reader.i32()?.max(0));
    let _first_time = reader.i64()?;
    let _last_time = reader.i64()?;
    let _producer = (reader.i64()?, reader.i16()?, reader.i32()?);
    let count = reader.i32()?;
    let next_offset = base_offset.saturating_add(last).saturating_add(1);
    let content = if crc32c::crc32c(&checked) != checksum {
        Err(RecordError::Checksum)
    } else {
        Compression::from_number(attributes & 7).ok_or(RecordError::Compression(attributes & 7))
    };
    let content = content.map(|compression| Content {
        compression,
        compressed: reader.rest(),
        base_offset,
        count,
        is_control: attributes & 0x20 != 0,
    });
    Ok(Batch { base_offset, next_offset, content })
}

/// What may be decompressed where others wait: it becomes a few MiB at the most.
const INLINE_BYTES_MAX: usize = 4 << 10;

impl Content {
    /// Whether decompressing it takes next to no time.
    pub fn is_quick(&self) -> bool {
        self.compression == Compression::None || self.compressed.len() <= INLINE_BYTES_MAX
    }

    /// Decompresses it. What it takes is bounded by [`BATCH_BYTES_MAX`].
    ///
    /// # Errors
    /// Content that is not what its compression makes, or more than the bound.
    pub fn records(self) -> Result<Records, RecordError> {
        if self.is_control {
            return Ok(Records { reader: Reader::new(Bytes::new()), base_offset: 0, left: 0 });
        }
        let bytes = self
            .compression
            .decompress(self.compressed)
            .map_err(|error| RecordError::Decompress(error.to_string()))?;
        let (base_offset, left) = (self.base_offset, self.count);
        Ok(Records { reader: Reader::new(bytes), base_offset, left })
    }
}

/// The records of a batch, one after the other, without a copy.
pub struct Records {
    reader: Reader,
    base_offset: i64,
    left: i32,
}

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its place in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its content; none where a key is to be forgotten.
    pub value: Option<Bytes>,
    headers: Reader,
}

impl Record {
    /// Names and values beside the content, the first so many.
    pub fn headers(&self, most: usize) -> Vec<(String, Bytes)> {
        let mut reader = self.headers.clone();
        let mut headers = Vec::new();
        while headers.len() < most
            && let Ok(Some(name)) = reader.record_bytes()
            && let Ok(value) = reader.record_bytes()
        {
            let name = String::from_utf8_lossy(&name).into_owned();
            headers.push((name, value.unwrap_or_default()));
        }
        headers
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
        }
        Some(record.map_err(RecordError::Wire))
    }
}

impl Records {
    fn record(&mut self) -> Result<Record, WireError> {
        let bytes = self.reader.record_bytes()?.ok_or(WireError::Length)?;
        let mut reader = Reader::new(bytes);
        let _attributes = reader.i8()?;
        let _time_delta = reader.varlong()?;
        let offset = self.base_offset.saturating_add(reader.varint()?.into());
        let (key, value) = (reader.record_bytes()?, reader.record_bytes()?);
        let _count = reader.varint()?;
        Ok(Record { offset, key, value, headers: reader })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<NewRecord> {
        let text = "the same text again and again ".repeat(4000);
        vec![
            NewRecord {
                key: Some(Bytes::from_static(b"key")),
                value: Bytes::from(text),
                headers: vec![("name".to_owned(), Bytes::from_static(b"value"))],
            },
            NewRecord { key: None, value: Bytes::new(), headers: Vec::new() },
            NewRecord { key: None, value: Bytes::from_static(b"last"), headers: Vec::new() },
        ]
    }

    fn read(batch: Batch) -> Vec<NewRecord> {
        let records = batch.content.unwrap().records().unwrap();
        let records: Vec<_> = records.map(Result::unwrap).collect();
        let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [0, 1, 2]);
        let new = |record: &Record| NewRecord {
            key: record.key.clone(),
            value: record.value.clone().unwrap(),
            headers: record.headers(10),
        };
        records.iter().map(new).collect()
    }

    const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    #[test]
    fn what_is_written_is_read_with_every_compression() {
        for compression in ALL {
            let bytes = encode(records().iter(), compression, 5).unwrap();
            let is_small = bytes.len() < 20_000;
            assert_eq!(is_small, compression != Compression::None, "{compression:?}");
            // Two batches, and the beginning of a third.
            let three = [&bytes[..], &bytes[..], &bytes[..bytes.len() - 1]].concat();
            let batches: Vec<_> = Batches::new(three.into()).collect();
            assert_eq!(batches.len(), 2, "{compression:?}");
            for batch in batches {
                assert_eq!((batch.base_offset, batch.next_offset), (0, 3));
                assert_eq!(read(batch), records(), "{compression:?}");
            }
        }
    }

    #[test]
    fn a_record_is_no_larger_than_it_says() {
        for record in records() {
            let batch = encode([&record].into_iter(), Compression::None, i64::MAX).unwrap();
            assert!(batch.len() <= record.batch_bytes(), "{record:?}");
        }
    }

    #[test]
    fn damage_is_found_and_the_batch_passed_over() {
        let bytes = encode(records().iter(), Compression::None, 5).unwrap();
        let mut damaged = bytes.to_vec();
        damaged[HEAD_BYTES + 9] ^= 1;
        let mut older = bytes.to_vec();
        older[16] = 1;
        let mut batches = Batches::new([damaged, older, bytes.to_vec()].concat().into());
        let batch = batches.next().unwrap();
        assert_eq!((batch.content.unwrap_err(), batch.next_offset), (RecordError::Checksum, 3));
        assert_eq!(batches.next().unwrap().content.unwrap_err(), RecordError::Format(1));
        assert_eq!(read(batches.next().unwrap()).len(), 3);
        assert!(batches.next().is_none());
    }
}
