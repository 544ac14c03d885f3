//! From a request's body to the consumer, for all transports and formats.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::request::Parts;
use hyper::body::Incoming;
use model::{DecodeError, Rejection, SpanBatch};
use tokio_util::task::TaskTracker;

use super::fault::Fault;
use crate::exporters::rarely::Rarely;
use crate::receivers::auth::Identity;
use crate::receivers::body::{BodyError, BodyLimits, Framing, collect};
use crate::receivers::budget::Reservation;
use crate::receivers::foreign::Foreign;
use crate::receivers::inflate::{Coding, Inflater};
use crate::receivers::{ByteBudget, ServerSettings, TransportCounters};
use crate::telemetry::incoming;
use crate::{Client, Consumer, Data, Refusal, Request};

/// Up to this many bytes are decompressed and decoded on the runtime's own threads: about a
/// millisecond of work. More goes to the blocking pool.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// The same of what is compressed. What comes out says little: parts without content (members of
/// gzip, blocks of deflate) take time, too, and put out nothing.
const INLINE_COMPRESSED_BYTES_MAX: usize = 128 << 10;

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
    Foreign(Foreign),
}

/// What the transports share. Clones share tasks and budget.
#[derive(Clone)]
pub(crate) struct Intake {
    consumer: Arc<dyn Consumer>,
    budget: ByteBudget,
    counters: Arc<TransportCounters>,
    limits: BodyLimits,
    identity: Identity,
    pub(crate) busy_retry_after: Duration,
    /// Batches with the consumer, some of whose clients may have gone.
    pub(crate) tasks: TaskTracker,
    /// Lines about spans left out of what has no answer that could say so.
    left_out: Arc<Rarely>,
}

/// A message as read from the network.
pub(crate) struct Message {
    pub(crate) encoding: Encoding,
    pub(crate) coding: Option<Coding>,
    pub(crate) client: Arc<Client>,
    pub(crate) bytes: Bytes,
    /// Covers `bytes` and what becomes of them, until the consumer has answered.
    pub(crate) reservation: Reservation,
}

impl Intake {
    pub(crate) fn new(
        settings: &ServerSettings,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: Arc<TransportCounters>,
    ) -> Arc<Self> {
        // Half, so that a body and what it inflates to fit together: a request that is refused as
        // "come again" must have a chance to get in.
        let bytes_max = settings.request_bytes_max.min(budget.bytes_max() / 2);
        Arc::new(Self {
            consumer,
            budget,
            counters,
            limits: BodyLimits { bytes_max, timeout: settings.body_timeout },
            identity: Identity {
                auth: settings.auth.clone(),
                include_metadata: settings.include_metadata,
            },
            busy_retry_after: settings.busy_retry_after,
            tasks: TaskTracker::new(),
            left_out: Arc::default(),
        })
    }

    /// The same for another kind of message on the same port, which is counted apart.
    pub(crate) fn counting(&self, counters: Arc<TransportCounters>) -> Arc<Self> {
        Arc::new(Self { counters, ..self.clone() })
    }

    pub(crate) fn counters(&self) -> &TransportCounters {
        &self.counters
    }

    /// The budget's next part.
    pub(crate) fn reservation(&self) -> Reservation {
        self.budget.reservation()
    }

    pub(crate) fn limits(&self) -> BodyLimits {
        self.limits
    }

    /// Who sends, if he may.
    pub(crate) async fn identify(
        &self,
        request: &Parts,
        connection: &Arc<Client>,
    ) -> Result<Arc<Client>, Fault> {
        self.identity.of(request, connection).await.map_err(Fault::Unauthenticated)
    }

    /// How a sender proves who he is, where that is asked.
    pub(crate) fn challenge(&self) -> Option<HeaderValue> {
        self.identity.auth.as_ref().map(|auth| auth.0.challenge())
    }

    /// Reads a body, framing included.
    pub(crate) async fn collect(
        &self,
        body: &mut Incoming,
        framing: Framing,
    ) -> Result<(Bytes, Reservation), Fault> {
        let mut reservation = self.budget.reservation();
        let bytes = collect(body, framing, self.limits, &mut reservation).await?;
        Ok((bytes, reservation))
    }

    /// Decodes a message and has it consumed; gives what was left out of it. In a task of its own,
    /// so that a panic stays there and a disconnect does not stop the consumer half-way.
    pub(crate) async fn take(self: &Arc<Self>, message: Message) -> Result<Rejection, Fault> {
        let intake = Arc::clone(self);
        let work = async move { intake.take_here(message).await };
        let task = match incoming() {
            None => self.tasks.spawn(work),
            Some(incoming) => self.tasks.spawn(incoming.scope(work)),
        };
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request was lost to a panic");
            Err(Fault::Panicked)
        })
    }

    async fn take_here(&self, message: Message) -> Result<Rejection, Fault> {
        let client = Arc::clone(&message.client);
        let can_tell = !matches!(message.encoding, Encoding::Foreign(_));
        let decoded = self.decode(message).await?;
        let rejection = decoded.rejection;
        if !decoded.batch.is_empty() {
            let spans = decoded.batch.len() as u64;
            let batch = Arc::new(decoded.batch);
            let request = Request { data: Data::Traces(vec![batch]), client };
            if let Err(refusal) = self.consumer.consume(request).await {
                TransportCounters::add(&self.counters.refused_spans, spans);
                return Err(refusal.into());
            }
            TransportCounters::add(&self.counters.accepted_spans, spans);
        } else if rejection.spans > 0 && !can_tell {
            TransportCounters::add(&self.counters.rejected_spans, rejection.spans);
            let Rejection { spans, reason } = &rejection;
            return Err(Fault::Undecodable(format!("all {spans} spans are invalid: {reason}")));
        }
        if rejection.spans > 0 {
            TransportCounters::add(&self.counters.rejected_spans, rejection.spans);
            if !can_tell && let Some(sum) = self.left_out.add(rejection.spans) {
                let (spans, reason) = (sum.items, &rejection.reason);
                tracing::warn!(spans, reason, "invalid spans were left out of what came");
            }
        }
        Ok(rejection)
    }

    /// Hands over what was decoded, in a task of its own as [`Self::take`] does, and counts nothing:
    /// for what comes again by itself.
    pub(crate) async fn offer(&self, batch: Arc<SpanBatch>) -> Result<(), Refusal> {
        let consumer = Arc::clone(&self.consumer);
        let request = Request { data: Data::Traces(vec![batch]), client: Arc::default() };
        let task = self.tasks.spawn(async move { consumer.consume(request).await });
        match task.await {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => Err(Refusal::Unavailable {
                reason: "the process ends".to_owned(),
                retry_after: self.busy_retry_after,
            }),
            Err(error) => {
                tracing::error!(%error, "a request was lost to a panic");
                Err(Refusal::Internal { reason: Fault::Panicked.to_string() })
            }
        }
    }

    /// What a message holds.
    pub(crate) async fn decode(&self, message: Message) -> Result<Decoded, Fault> {
        let bytes_max = self.limits.bytes_max;
        let Message { encoding, coding, bytes, mut reservation, .. } = message;
        let Some(coding) = coding else {
            if bytes.len() < INLINE_BYTES_MAX {
                return parse(encoding, bytes, reservation);
            }
            return blocking(move || parse(encoding, bytes, reservation)).await;
        };
        let is_small = bytes.len() <= INLINE_COMPRESSED_BYTES_MAX;
        let mut inflater = Inflater::new(coding, bytes, bytes_max)?;
        if is_small && inflater.run(INLINE_BYTES_MAX, bytes_max, &mut reservation)? {
            let bytes = inflater.finish(&mut reservation);
            return parse(encoding, bytes, reservation);
        }
        blocking(move || {
            // Pausing at the limit again would never end; it is checked there as it is.
            inflater.run(usize::MAX, bytes_max, &mut reservation)?;
            let bytes = inflater.finish(&mut reservation);
            parse(encoding, bytes, reservation)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Fault::Panicked),
    }
}

/// What a message held.
pub(crate) struct Decoded {
    pub(crate) batch: SpanBatch,
    /// What was left out of it.
    pub(crate) rejection: Rejection,
    /// Covers the batch.
    pub(crate) _reservation: Reservation,
}

fn parse(encoding: Encoding, bytes: Bytes, mut reservation: Reservation) -> Result<Decoded, Fault> {
    let mut left_out = Rejection::default();
    let bytes = match encoding {
        Encoding::Protobuf => bytes,
        Encoding::Json => {
            let protobuf = model::json::decode(&bytes)
                .map_err(|error| Fault::Undecodable(error.to_string()))?;
            drop(bytes);
            reservation.resize(protobuf.len()).map_err(BodyError::from)?;
            Bytes::from(protobuf)
        }
        Encoding::Foreign(foreign) => {
            let converted =
                foreign.to_otlp(&bytes).map_err(|error| Fault::Undecodable(error.to_string()))?;
            drop(bytes);
            left_out = converted.rejection;
            hold(&mut reservation, converted.otlp.len())?;
            converted.otlp
        }
    };
    let body_bytes = reservation.bytes();
    let bytes_max = reservation.budget().bytes_max();
    let room = |index_bytes| reservation.resize(body_bytes + index_bytes).is_ok();
    match SpanBatch::decode_within(bytes, room) {
        Ok(batch) => {
            let mut rejection = batch.rejection().clone();
            if left_out.spans > 0 {
                left_out.spans += rejection.spans;
                rejection = left_out;
            }
            Ok(Decoded { batch, rejection, _reservation: reservation })
        }
        // To come again would not help.
        Err(DecodeError::NoRoom { index_bytes }) if body_bytes + index_bytes > bytes_max => {
            Err(BodyError::TooManySpans { bytes_max }.into())
        }
        Err(DecodeError::NoRoom { .. }) => Err(BodyError::Busy.into()),
        Err(error) => Err(Fault::Undecodable(error.to_string())),
    }
}

/// Makes the reservation cover so many bytes.
fn hold(reservation: &mut Reservation, bytes: usize) -> Result<(), BodyError> {
    let bytes_max = reservation.budget().bytes_max();
    if bytes > bytes_max {
        return Err(BodyError::TooManySpans { bytes_max });
    }
    Ok(reservation.resize(bytes)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    struct Nobody;

    #[async_trait::async_trait]
    impl Consumer for Nobody {
        async fn consume(&self, _: Request) -> Result<(), Refusal> {
            Ok(())
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_takes_long_to_decompress_holds_up_nobody() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // The only thread that may take its time is busy.
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || is_done.recv());
        let _within = runtime.enter();
        let settings = ServerSettings::default();
        let intake =
            Intake::new(&settings, ByteBudget::default(), Arc::new(Nobody), Arc::default());
        for (bytes, is_quick) in [
            (gzip(b""), true),
            // Both put out nothing that would be too much.
            (gzip(b"").repeat(10_000), false),
            (gzip(&vec![0; 2 * INLINE_BYTES_MAX]), false),
        ] {
            let message = Message {
                encoding: Encoding::Protobuf,
                coding: Some(Coding::Gzip),
                client: Arc::default(),
                bytes: bytes.into(),
                reservation: intake.reservation(),
            };
            let decoded =
                pin!(intake.decode(message)).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(decoded.is_ready(), is_quick);
        }
        drop(done);
    }
}
