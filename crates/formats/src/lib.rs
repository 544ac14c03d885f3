//! Other tracing formats, to and from spans as OTLP carries them.
//!
//! Each module owns one format and maps it both ways; all of them meet in [`model::SpanBatch`].
//! Knows nothing of servers or storage.
//!
//! What comes from outside is read within [`Limits`] by functions that give a [`Converted`]: an
//! `ExportTraceServiceRequest`, and how many spans were left out. A span that cannot be is left
//! out; what breaks the encoding around it refuses the payload with a [`FormatError`].

mod groups;
pub mod jaeger;
mod payload;
pub mod thrift;
pub mod zipkin;

pub use payload::{Converted, FormatError, Limits};
