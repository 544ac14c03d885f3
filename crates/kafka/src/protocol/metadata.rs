//! Which brokers there are, who leads which partition, who coordinates which group.

use super::{Request, code};
use crate::error::Code;
use crate::wire::{Reader, WireError, Writer};

/// Asks for topics.
pub struct Metadata {
    /// `None` is all of them.
    pub topics: Option<Vec<String>>,
    /// Whether the broker may make those that are missing, if it is set to.
    pub may_create: bool,
}

/// What a broker knows of its cluster.
#[derive(Debug, Clone)]
pub struct MetadataAnswer {
    /// All that are up.
    pub brokers: Vec<Broker>,
    /// What was asked for.
    pub topics: Vec<Topic>,
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub id: i32,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Whether there is anything to know.
    pub code: Code,
    /// Its name.
    pub name: String,
    /// Kafka's own, such as that of offsets.
    pub is_internal: bool,
    /// In no order.
    pub partitions: Vec<Partition>,
}

/// A partition of a topic.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Whether it has a leader.
    pub code: Code,
    /// Its number in the topic.
    pub index: i32,
    /// The broker that leads it; -1 is none.
    pub leader: i32,
}

fn port(from: &mut Reader) -> Result<u16, WireError> {
    u16::try_from(from.i32()?).map_err(|_| WireError::Length)
}

impl Request for Metadata {
    const KEY: i16 = 3;
    const NAME: &'static str = "Metadata";
    type Answer = MetadataAnswer;

    fn version(&self) -> i16 {
        7
    }

    fn write(&self, out: &mut Writer) {
        match &self.topics {
            Some(topics) => out.list(topics.iter(), |out, name| out.text(name)),
            None => out.i32(-1),
        }
        out.bool(self.may_create);
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        let brokers = from.list(|from| {
            let broker = Broker { id: from.i32()?, host: from.text()?, port: port(from)? };
            let _rack = from.text_or_null()?;
            Ok(broker)
        })?;
        let _cluster = from.text_or_null()?;
        let _controller = from.i32()?;
        let topics = from.list(|from| {
            Ok(Topic {
                code: code(from)?,
                name: from.text()?,
                is_internal: from.bool()?,
                partitions: from.list(|from| {
                    let partition =
                        Partition { code: code(from)?, index: from.i32()?, leader: from.i32()? };
                    let _leader_epoch = from.i32()?;
                    let _replicas = from.list(Reader::i32)?;
                    let _in_sync = from.list(Reader::i32)?;
                    let _offline = from.list(Reader::i32)?;
                    Ok(partition)
                })?,
            })
        })?;
        Ok(MetadataAnswer { brokers, topics })
    }
}

/// Asks for a group's coordinator.
pub struct FindCoordinator<'a> {
    /// The group.
    pub group: &'a str,
}

impl Request for FindCoordinator<'_> {
    const KEY: i16 = 10;
    const NAME: &'static str = "FindCoordinator";
    type Answer = (Code, Broker);

    fn version(&self) -> i16 {
        2
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.group);
        // A group; transactions have coordinators, too.
        out.i8(0);
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let _throttle_ms = from.i32()?;
        let code = code(from)?;
        let _reason = from.text_or_null()?;
        let (id, host, port) = (from.i32()?, from.text()?, from.i32()?);
        // There is no broker, and its port is -1, where there is an error.
        let port = if code == Code::NONE {
            u16::try_from(port).map_err(|_| WireError::Length)?
        } else {
            0
        };
        Ok((code, Broker { id, host, port }))
    }
}
