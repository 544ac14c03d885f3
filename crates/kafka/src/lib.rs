//! A client of Kafka brokers: a producer, and a consumer that is a member of a group.
//!
//! Owns Kafka's protocol: messages, records and their compression, who leads which partition,
//! membership of groups, committing of offsets. Knows nothing of spans, of configuration or of TLS:
//! connections come from a [`Connect`], records go to a [`Handler`].
//!
//! # Why it is our own
//! The usual client binds a C library, which wants OpenSSL, and for its full build CMake. Of those
//! in Rust, `rskafka` has no groups; `krafka` is 125,000 lines, brings its own TLS and asks for a
//! newer compiler; `kafka-protocol` is 91,000 generated lines of messages, whose lists are allocated
//! by the length that a broker claims. What is needed is fifteen messages.
//! Each is spoken in the one version that Kafka 2.1 brought (a few in that of 2.3, for static
//! members), which all later brokers speak, too: Kafka 4 dropped what was older than 2.1.
//!
//! # Bounds
//! An answer is read as it arrives and at most [`ANSWER_BYTES_MAX`] long. A batch of records is
//! decompressed to at most [`records::BATCH_BYTES_MAX`] bytes. Lists are as long as the bytes that
//! hold them.

mod assignment;
mod cluster;
mod connection;
mod consumer;
mod error;
mod member;
mod partitioner;
mod producer;
mod protocol;
pub mod records;
mod sasl;
mod wire;

pub use assignment::Strategy;
pub use cluster::{Cluster, ClusterSettings, TopicView, parse_address};
pub use connection::{ANSWER_BYTES_MAX, Connect, Stream, Tcp};
pub use consumer::{
    Consumer, ConsumerSettings, ConsumerState, Handled, Handler, PartitionView, Place, Topics,
};
pub use error::{Code, Error};
pub use member::GroupSettings;
pub use partitioner::Partitioner;
pub use producer::{Producer, ProducerSettings, Unsent};
pub use sasl::{Mechanism, Sasl};
