//! How data enters and leaves: receivers, exporters, and the trait that joins them.
//!
//! Owns the network side: connections, limits, timeouts, compression, TLS, the answers that a
//! protocol prescribes, queues and retries. A receiver turns a request into a
//! [`model::SpanBatch`], gives it to a [`Consumer`] and translates the consumer's word into the
//! protocol's; an exporter is a consumer that hands it on. Knows nothing of the store or of
//! configuration syntax; its settings are plain structs.

pub mod component;
pub mod components;
pub mod connectors;
mod consumer;
mod data;
pub mod exporters;
pub mod extensions;
mod flow;
pub mod graph;
pub mod net;
mod panics;
mod private;
pub mod processors;
pub mod receivers;
pub mod telemetry;
mod tracestate;

pub use consumer::{Consumer, Refusal, Taken};
pub use data::{Client, Data, Encoded, Request, Signal};
pub use flow::{FanOut, Slot};
