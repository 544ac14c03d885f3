//! Records on their way to a partition's leader.

use bytes::Bytes;

use super::{Request, code};
use crate::error::Code;
use crate::wire::{Reader, WireError, Writer};

/// Batches, one for each partition.
pub struct Produce<'a> {
    /// Who must have them before the leader answers: nobody (0, no answer at all), the leader (1),
    /// or all replicas that are in sync (-1).
    pub acks: i16,
    /// How long the leader may wait for them.
    pub timeout_ms: i32,
    /// By topic, by partition.
    pub topics: Vec<(&'a str, Vec<(i32, Bytes)>)>,
}

/// What became of a batch.
pub struct Produced {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Whether it was written.
    pub code: Code,
}

impl Request for Produce<'_> {
    const KEY: i16 = 0;
    const NAME: &'static str = "Produce";
    type Answer = Vec<Produced>;

    fn version(&self) -> i16 {
        7
    }

    fn write(&self, out: &mut Writer) {
        // No transaction.
        out.text_or_null(None);
        out.i16(self.acks);
        out.i32(self.timeout_ms);
        out.list(self.topics.iter(), |out, (topic, partitions)| {
            out.text(topic);
            out.list(partitions.iter(), |out, (index, batch)| {
                out.i32(*index);
                out.bytes(batch);
            });
        });
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let topics = from.list(|from| {
            let topic = from.text()?;
            from.list(|from| {
                let (partition, code) = (from.i32()?, code(from)?);
                let _base_offset = from.i64()?;
                let _log_append_time = from.i64()?;
                let _log_start_offset = from.i64()?;
                Ok(Produced { topic: topic.clone(), partition, code })
            })
        })?;
        Ok(topics.into_iter().flatten().collect())
    }
}
