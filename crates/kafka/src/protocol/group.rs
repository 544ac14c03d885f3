//! Membership of a group.

use bytes::Bytes;

use super::{Request, code};
use crate::error::Code;
use crate::wire::{Reader, WireError, Writer};

/// Becomes or stays a member. Answered when all members have said so, or are out of time.
pub struct JoinGroup<'a> {
    /// The group.
    pub group: &'a str,
    /// How long the coordinator waits for a sign of life.
    pub session_timeout_ms: i32,
    /// How long it waits for members to join when the group changes.
    pub rebalance_timeout_ms: i32,
    /// Empty for who is new.
    pub member: &'a str,
    /// A lasting name, with which a member that comes back is the same (KIP-345).
    pub instance: Option<&'a str>,
    /// How partitions may be spread, by preference, and what the leader must know for it.
    pub strategies: Vec<(&'a str, Bytes)>,
}

/// A place in a generation.
#[derive(Debug)]
pub struct Joined {
    /// Whether.
    pub code: Code,
    /// The group's generation.
    pub generation: i32,
    /// How partitions are spread.
    pub strategy: String,
    /// The member that spreads them.
    pub leader: String,
    /// Who we are.
    pub member: String,
    /// For the leader: all members, and what each said with the strategy.
    pub members: Vec<(String, Bytes)>,
}

impl Request for JoinGroup<'_> {
    const KEY: i16 = 11;
    const NAME: &'static str = "JoinGroup";
    type Answer = Joined;

    fn version(&self) -> i16 {
        if self.instance.is_some() { 5 } else { 3 }
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.group);
        out.i32(self.session_timeout_ms);
        out.i32(self.rebalance_timeout_ms);
        out.text(self.member);
        if let Some(instance) = self.instance {
            out.text(instance);
        }
        out.text("consumer");
        out.list(self.strategies.iter(), |out, (name, metadata)| {
            out.text(name);
            out.bytes(metadata);
        });
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        Ok(Joined {
            code: code(from)?,
            generation: from.i32()?,
            strategy: from.text()?,
            leader: from.text()?,
            member: from.text()?,
            members: from.list(|from| {
                let member = from.text()?;
                if self.instance.is_some() {
                    from.text_or_null()?;
                }
                Ok((member, from.bytes()?.unwrap_or_default()))
            })?,
        })
    }
}

/// Says (as the leader) and hears what each member has to do.
pub struct SyncGroup<'a> {
    /// The group.
    pub group: &'a str,
    /// Its generation.
    pub generation: i32,
    /// Who asks.
    pub member: &'a str,
    /// Its lasting name.
    pub instance: Option<&'a str>,
    /// From the leader.
    pub assignments: Vec<(String, Bytes)>,
}

impl Request for SyncGroup<'_> {
    const KEY: i16 = 14;
    const NAME: &'static str = "SyncGroup";
    type Answer = (Code, Bytes);

    fn version(&self) -> i16 {
        if self.instance.is_some() { 3 } else { 2 }
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.group);
        out.i32(self.generation);
        out.text(self.member);
        if let Some(instance) = self.instance {
            out.text(instance);
        }
        out.list(self.assignments.iter(), |out, (member, assignment)| {
            out.text(member);
            out.bytes(assignment);
        });
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        Ok((code(from)?, from.bytes()?.unwrap_or_default()))
    }
}

/// A sign of life, whose answer tells of changes.
pub struct Heartbeat<'a> {
    /// The group.
    pub group: &'a str,
    /// Its generation.
    pub generation: i32,
    /// Whose.
    pub member: &'a str,
    /// Its lasting name.
    pub instance: Option<&'a str>,
}

impl Request for Heartbeat<'_> {
    const KEY: i16 = 12;
    const NAME: &'static str = "Heartbeat";
    type Answer = Code;

    fn version(&self) -> i16 {
        if self.instance.is_some() { 3 } else { 2 }
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.group);
        out.i32(self.generation);
        out.text(self.member);
        if let Some(instance) = self.instance {
            out.text(instance);
        }
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        code(from)
    }
}

/// Is no member any more.
pub struct LeaveGroup<'a> {
    /// The group.
    pub group: &'a str,
    /// Who.
    pub member: &'a str,
}

impl Request for LeaveGroup<'_> {
    const KEY: i16 = 13;
    const NAME: &'static str = "LeaveGroup";
    type Answer = Code;

    fn version(&self) -> i16 {
        2
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.group);
        out.text(self.member);
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        code(from)
    }
}
