//! How spans enter: receivers, and the trait that they hand batches to.
//!
//! Owns the network side of ingestion: connections, limits, timeouts, decompression, the answers
//! that a protocol prescribes. A receiver turns a request into a [`model::SpanBatch`], gives it to
//! a [`Consumer`] and translates the consumer's word into the protocol's. Knows nothing of storage,
//! files or configuration syntax; its settings are plain structs.

pub mod component;
pub mod components;
pub mod connectors;
mod consumer;
mod data;
pub mod exporters;
mod flow;
pub mod graph;
pub mod net;
pub mod processors;
pub mod receivers;
pub mod telemetry;
mod tracestate;

pub use consumer::{Consumer, Refusal};
pub use data::{Client, Data, Encoded, Request, Signal};
pub use flow::{FanOut, Slot};
