//! Records from a partition's leader.

use bytes::Bytes;

use super::{Request, code};
use crate::error::Code;
use crate::wire::{Reader, WireError, Writer};

/// Asks for what lies behind some offsets.
pub struct Fetch<'a> {
    /// How long the leader may wait for `bytes_min`.
    pub wait_ms_max: i32,
    /// What makes it answer earlier.
    pub bytes_min: i32,
    /// About how much it may answer: the first batch comes whole.
    pub bytes_max: i32,
    /// The same for each partition.
    pub partition_bytes_max: i32,
    /// By topic: a partition and the offset of its first record.
    pub topics: Vec<(&'a str, Vec<(i32, i64)>)>,
}

/// What a partition holds.
#[derive(Debug)]
pub struct Fetched {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Whether it could be read.
    pub code: Code,
    /// The offset that its next record will have.
    pub end_offset: i64,
    /// Batches, the last of which may be cut off.
    pub records: Bytes,
}

impl Request for Fetch<'_> {
    const KEY: i16 = 1;
    const NAME: &'static str = "Fetch";
    type Answer = (Code, Vec<Fetched>);

    fn version(&self) -> i16 {
        10
    }

    fn write(&self, out: &mut Writer) {
        // Not a replica.
        out.i32(-1);
        out.i32(self.wait_ms_max);
        out.i32(self.bytes_min);
        out.i32(self.bytes_max);
        // Also of transactions that are not committed, as the Collector reads.
        out.i8(0);
        // Without a session (KIP-227): every request names all it asks for.
        out.i32(0);
        out.i32(-1);
        out.list(self.topics.iter(), |out, (topic, partitions)| {
            out.text(topic);
            out.list(partitions.iter(), |out, (index, offset)| {
                out.i32(*index);
                // No leader's epoch is known.
                out.i32(-1);
                out.i64(*offset);
                // Of replicas.
                out.i64(-1);
                out.i32(self.partition_bytes_max);
            });
        });
        // Nothing to forget.
        out.i32(0);
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        let whole = code(from)?;
        let _session = from.i32()?;
        let topics = from.list(|from| {
            let topic = from.text()?;
            from.list(|from| {
                let (partition, code, end_offset) = (from.i32()?, code(from)?, from.i64()?);
                let _last_stable_offset = from.i64()?;
                let _log_start_offset = from.i64()?;
                let _aborted = from.list(|from| Ok((from.i64()?, from.i64()?)))?;
                let records = from.bytes()?.unwrap_or_default();
                Ok(Fetched { topic: topic.clone(), partition, code, end_offset, records })
            })
        })?;
        Ok((whole, topics.into_iter().flatten().collect()))
    }
}
