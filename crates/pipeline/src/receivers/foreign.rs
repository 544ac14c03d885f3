//! Formats that are not OTLP, as receivers take them.

use formats::jaeger::{
    json_span_to_otlp, post_spans_to_otlp, proto_span_to_otlp, thrift_batch_to_otlp,
    thrift_message_to_otlp,
};
use formats::thrift::Protocol;
use formats::zipkin::{TagTypes, json_to_otlp, proto_to_otlp, v1_json_to_otlp, v1_thrift_to_otlp};
use formats::{Converted, FormatError, Limits};

/// How a message that is not OTLP is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// Jaeger's `PostSpansRequest`.
    JaegerPostSpans,
    /// Jaeger's `Span` with its process.
    JaegerSpanProto,
    /// The same as JSON.
    JaegerSpanJson,
    /// Jaeger's `Batch` in Thrift's binary protocol.
    JaegerBatch,
    /// A call of Jaeger's `Agent.emitBatch`.
    JaegerEmitBatch(Protocol),
    /// A list of Zipkin's spans.
    Zipkin(ZipkinEncoding, TagTypes),
}

/// How a list of Zipkin's spans is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZipkinEncoding {
    V1Json,
    V1Thrift,
    V2Json,
    V2Proto,
}

impl Foreign {
    /// As a request of OTLP.
    pub(crate) fn to_otlp(self, bytes: &[u8]) -> Result<Converted, FormatError> {
        let limits = Limits::default();
        match self {
            Self::JaegerPostSpans => post_spans_to_otlp(bytes, limits),
            Self::JaegerSpanProto => proto_span_to_otlp(bytes, limits),
            Self::JaegerSpanJson => json_span_to_otlp(bytes, limits),
            Self::JaegerBatch => thrift_batch_to_otlp(bytes, Protocol::Binary, limits),
            Self::JaegerEmitBatch(protocol) => thrift_message_to_otlp(bytes, protocol, limits),
            Self::Zipkin(encoding, types) => {
                let to_otlp = match encoding {
                    ZipkinEncoding::V1Json => v1_json_to_otlp,
                    ZipkinEncoding::V1Thrift => v1_thrift_to_otlp,
                    ZipkinEncoding::V2Json => json_to_otlp,
                    ZipkinEncoding::V2Proto => proto_to_otlp,
                };
                to_otlp(bytes, types, limits)
            }
        }
    }
}
