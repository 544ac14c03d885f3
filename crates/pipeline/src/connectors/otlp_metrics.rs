//! Metrics as `ExportMetricsServiceRequest` (`metrics.proto`), for connectors that count.

use model::encode_key_value;
use model::wire::{
    put_bytes_field, put_bytes_unless_empty, put_fixed64_field, put_message, put_varint_field,
};

/// `AggregationTemporality.DELTA`.
const DELTA: u64 = 1;

/// A number of things since the point before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeltaPoint {
    /// Keys and texts.
    pub(super) attributes: Vec<(String, String)>,
    /// How many.
    pub(super) count: u64,
}

/// A monotonic sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeltaSum {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) points: Vec<DeltaPoint>,
}

/// Appends a `ResourceMetrics` under the resource message of spans.
pub(super) fn put_resource_metrics(
    out: &mut Vec<u8>,
    resource: &[u8],
    scope: &str,
    time_unix_nano: u64,
    sums: &[DeltaSum],
) {
    put_message(out, 1, |out| {
        put_bytes_field(out, 1, resource);
        put_message(out, 2, |out| {
            put_message(out, 1, |out| put_bytes_field(out, 1, scope.as_bytes()));
            for sum in sums {
                put_message(out, 2, |out| put_sum(out, sum, time_unix_nano));
            }
        });
    });
}

fn put_sum(out: &mut Vec<u8>, sum: &DeltaSum, time_unix_nano: u64) {
    put_bytes_field(out, 1, sum.name.as_bytes());
    put_bytes_unless_empty(out, 2, sum.description.as_bytes());
    put_message(out, 7, |out| {
        for point in &sum.points {
            put_message(out, 1, |out| {
                put_fixed64_field(out, 3, time_unix_nano);
                put_fixed64_field(out, 6, point.count);
                for (key, value) in &point.attributes {
                    encode_key_value(out, 7, key.as_bytes(), |out| {
                        put_bytes_field(out, 1, value.as_bytes());
                    });
                }
            });
        }
        put_varint_field(out, 2, DELTA);
        put_varint_field(out, 3, 1);
    });
}
