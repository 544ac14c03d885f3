//! Other tracing formats, to and from spans as OTLP carries them.
//!
//! Each module owns one format and maps it both ways; all of them meet in [`model::SpanBatch`].
//! Knows nothing of servers or storage.

pub mod jaeger;
pub mod zipkin;
