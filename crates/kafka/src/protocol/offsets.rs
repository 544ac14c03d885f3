//! Where a partition begins and ends, and how far a group has come in it.

use super::{Request, code};
use crate::error::Code;
use crate::wire::{Reader, WireError, Writer};

/// Asks a partition's leader for its first or next offset.
pub struct ListOffsets<'a> {
    /// True for the first record that is still there, false for the next that will be.
    pub earliest: bool,
    /// By topic.
    pub topics: Vec<(&'a str, Vec<i32>)>,
}

/// An offset of a partition.
pub struct Offset {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Whether there is one.
    pub code: Code,
    /// -1 is none.
    pub offset: i64,
}

impl Request for ListOffsets<'_> {
    const KEY: i16 = 2;
    const NAME: &'static str = "ListOffsets";
    type Answer = Vec<Offset>;

    fn version(&self) -> i16 {
        4
    }

    fn write(&self, out: &mut Writer) {
        // Not a replica; also of transactions that are not committed.
        out.i32(-1);
        out.i8(0);
        let time = if self.earliest { -2 } else { -1 };
        out.list(self.topics.iter(), |out, (topic, partitions)| {
            out.text(topic);
            out.list(partitions.iter(), |out, index| {
                out.i32(*index);
                // No leader's epoch is known.
                out.i32(-1);
                out.i64(time);
            });
        });
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        let topics = from.list(|from| {
            let topic = from.text()?;
            from.list(|from| {
                let (partition, code) = (from.i32()?, code(from)?);
                let _time = from.i64()?;
                let offset = from.i64()?;
                let _leader_epoch = from.i32()?;
                Ok(Offset { topic: topic.clone(), partition, code, offset })
            })
        })?;
        Ok(topics.into_iter().flatten().collect())
    }
}

/// Asks a group's coordinator how far it has come.
pub struct OffsetFetch<'a> {
    /// The group.
    pub group: &'a str,
    /// By topic.
    pub topics: Vec<(&'a str, Vec<i32>)>,
}

impl Request for OffsetFetch<'_> {
    const KEY: i16 = 9;
    const NAME: &'static str = "OffsetFetch";
    /// The offset of a partition is that of the next record to handle.
    type Answer = (Code, Vec<Offset>);

    fn version(&self) -> i16 {
        5
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.group);
        out.list(self.topics.iter(), |out, (topic, partitions)| {
            out.text(topic);
            out.list(partitions.iter(), |out, index| out.i32(*index));
        });
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        let topics = from.list(|from| {
            let topic = from.text()?;
            from.list(|from| {
                let (partition, offset) = (from.i32()?, from.i64()?);
                let _leader_epoch = from.i32()?;
                let _metadata = from.text_or_null()?;
                Ok(Offset { topic: topic.clone(), partition, code: code(from)?, offset })
            })
        })?;
        Ok((code(from)?, topics.into_iter().flatten().collect()))
    }
}

/// Tells a group's coordinator how far it has come.
pub struct OffsetCommit<'a> {
    /// The group.
    pub group: &'a str,
    /// Of the group's members.
    pub generation: i32,
    /// Who says so.
    pub member: &'a str,
    /// Its lasting name.
    pub instance: Option<&'a str>,
    /// By topic: a partition and the offset of the next record to handle.
    pub topics: Vec<(&'a str, Vec<(i32, i64)>)>,
}

impl Request for OffsetCommit<'_> {
    const KEY: i16 = 8;
    const NAME: &'static str = "OffsetCommit";
    type Answer = Vec<(String, i32, Code)>;

    fn version(&self) -> i16 {
        if self.instance.is_some() { 7 } else { 6 }
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.group);
        out.i32(self.generation);
        out.text(self.member);
        if let Some(instance) = self.instance {
            out.text(instance);
        }
        out.list(self.topics.iter(), |out, (topic, partitions)| {
            out.text(topic);
            out.list(partitions.iter(), |out, (index, offset)| {
                out.i32(*index);
                out.i64(*offset);
                // No leader's epoch is known, and there is nothing to note.
                out.i32(-1);
                out.text_or_null(None);
            });
        });
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        let topics = from.list(|from| {
            let topic = from.text()?;
            from.list(|from| Ok((topic.clone(), from.i32()?, code(from)?)))
        })?;
        Ok(topics.into_iter().flatten().collect())
    }
}
