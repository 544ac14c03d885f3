//! From a request of OTLP to another format's, for exporters that speak one.

use model::{Rejection, SpanBatch};

use super::ExportError;
use crate::{Encoded, Signal};

/// Up to this many bytes are translated on the runtime's own threads: a few milliseconds of work.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// What `write` makes of the spans, and those that could not be read, which it does not see.
pub(super) async fn translate<T: Send + 'static>(
    signal: Signal,
    encoded: &Encoded,
    write: impl FnOnce(&SpanBatch) -> T + Send + 'static,
) -> Result<(T, Rejection), ExportError> {
    if signal != Signal::Traces {
        return Err(ExportError::permanent(format!(
            "this format has spans alone, and no {signal}"
        )));
    }
    let bytes = encoded.joined();
    let is_small = bytes.len() <= INLINE_BYTES_MAX;
    let work = move || {
        let batch = SpanBatch::decode(bytes)?;
        Ok((write(&batch), batch.rejection().clone()))
    };
    let done: Result<_, model::DecodeError> = if is_small {
        work()
    } else {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| ExportError::permanent(error.to_string()))?
    };
    done.map_err(|error| ExportError::permanent(error.to_string()))
}
