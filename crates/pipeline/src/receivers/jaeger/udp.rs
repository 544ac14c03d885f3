//! Thrift over UDP, as Jaeger's agent takes it: one call of `Agent.emitBatch` a datagram.
//!
//! Nobody hears an answer. A datagram that cannot be taken is dropped, counted by reason, and told
//! in the log every few seconds at most. What the kernel drops because its buffer is full is not
//! seen here; `socket_buffer_size` makes that buffer larger.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use formats::thrift::Protocol;
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exporters::rarely::Rarely;
use crate::receivers::auth::connected;
use crate::receivers::budget::Reservation;
use crate::receivers::foreign::Foreign;
use crate::receivers::otlp::fault::Fault;
use crate::receivers::otlp::intake::{Encoding, Intake, Message};
use crate::receivers::{ByteBudget, Drained, ServerSettings, TransportCounters};
use crate::{Consumer, Refusal};

/// How long reading rests after a failure of the kernel's.
const RECEIVE_BACKOFF: Duration = Duration::from_millis(100);

/// Between lines of one kind in the log.
const LINE_PAUSE: Duration = Duration::from_secs(5);

/// Settings of a UDP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpSettings {
    /// Datagrams that may wait to be decoded. Default 1,000.
    pub queue_size: usize,
    /// Largest datagram in bytes. Default 65,000, which is what Jaeger's clients send at most.
    pub max_packet_size: usize,
    /// Datagrams that are decoded and handed on at once. Default 10.
    pub workers: usize,
    /// The kernel's buffer in bytes; it gives twice that, up to its own limit (`rmem_max`). Zero
    /// leaves it as it is. Default 0.
    pub socket_buffer_size: usize,
    /// How long datagrams that have come may take after shutdown began. Default 9 s.
    pub drain_timeout: Duration,
}

impl Default for UdpSettings {
    fn default() -> Self {
        Self {
            queue_size: 1000,
            max_packet_size: 65_000,
            workers: 10,
            socket_buffer_size: 0,
            drain_timeout: Duration::from_secs(9),
        }
    }
}

/// A UDP port of Jaeger's agent.
pub struct UdpReceiver {
    socket: UdpSocket,
    settings: UdpSettings,
    shared: Arc<Shared>,
}

struct Shared {
    intake: Arc<Intake>,
    protocol: Protocol,
    max_packet_size: usize,
    /// Datagrams that wait or are with the consumer.
    held: AtomicUsize,
    dropped: Rarely,
    undecodable: Rarely,
    refused: Rarely,
}

struct Packet {
    bytes: Bytes,
    from: SocketAddr,
    reservation: Reservation,
}

impl UdpReceiver {
    /// A receiver on a socket that is bound already. Nothing is read before [`Self::run`].
    ///
    /// # Errors
    ///
    /// When the kernel refuses the buffer size.
    pub fn new(
        socket: UdpSocket,
        protocol: Protocol,
        settings: UdpSettings,
        budget: ByteBudget,
        consumer: Arc<dyn Consumer>,
        counters: Arc<TransportCounters>,
    ) -> io::Result<Self> {
        if settings.socket_buffer_size > 0 {
            let bytes = settings.socket_buffer_size;
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
        }
        let max_packet_size = settings.max_packet_size;
        let server =
            ServerSettings { request_bytes_max: max_packet_size, ..ServerSettings::default() };
        let shared = Arc::new(Shared {
            intake: Intake::new(&server, budget, consumer, counters),
            protocol,
            max_packet_size,
            held: AtomicUsize::new(0),
            dropped: Rarely::every(LINE_PAUSE),
            undecodable: Rarely::every(LINE_PAUSE),
            refused: Rarely::every(LINE_PAUSE),
        });
        Ok(Self { socket, settings, shared })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Reads until `shutdown` is cancelled; then takes what has arrived by then, for up to
    /// [`UdpSettings::drain_timeout`], and returns.
    pub async fn run(self, shutdown: CancellationToken) -> Drained {
        let Self { socket, settings, shared } = self;
        let (queue, packets) = mpsc::channel(settings.queue_size.max(1));
        let packets = Arc::new(Mutex::new(packets));
        let mut workers = JoinSet::new();
        for _ in 0..settings.workers.max(1) {
            workers.spawn(work(Arc::clone(&shared), Arc::clone(&packets)));
        }
        // One more, by which a datagram that was cut is known.
        let mut buffer = vec![0; settings.max_packet_size + 1];
        loop {
            let received = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                received = socket.recv_from(&mut buffer) => received,
            };
            match received {
                Ok((length, from)) => {
                    let Some(packet) = shared.admit(&buffer[..length], from) else { continue };
                    if queue.try_send(packet).is_err() {
                        shared.held.fetch_sub(1, Ordering::Relaxed);
                        TransportCounters::add(&shared.intake.counters().dropped_requests, 1);
                        shared.drop_one("the queue is full");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a datagram could not be read");
                    tokio::time::sleep(RECEIVE_BACKOFF).await;
                }
            }
        }
        let finish = async {
            for _ in 0..settings.queue_size {
                let Ok((length, from)) = socket.try_recv_from(&mut buffer) else { break };
                if let Some(packet) = shared.admit(&buffer[..length], from) {
                    let _ = queue.send(packet).await;
                }
            }
            drop(socket);
            drop(queue);
            while workers.join_next().await.is_some() {}
        };
        let in_time = tokio::time::timeout(settings.drain_timeout, finish).await.is_ok();
        shared.tell_rest();
        if in_time {
            return Drained { abandoned: 0 };
        }
        let abandoned = shared.held.load(Ordering::Relaxed);
        tracing::warn!(abandoned, "datagrams were left when the drain timeout passed");
        Drained { abandoned }
    }
}

async fn work(shared: Arc<Shared>, packets: Arc<Mutex<mpsc::Receiver<Packet>>>) {
    loop {
        let packet = packets.lock().await.recv().await;
        let Some(packet) = packet else { return };
        shared.take(packet).await;
        shared.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// A datagram to be queued, if it is not too large and there is memory for it.
    fn admit(&self, bytes: &[u8], from: SocketAddr) -> Option<Packet> {
        let counters = self.intake.counters();
        if bytes.len() > self.max_packet_size {
            TransportCounters::add(&counters.oversize_requests, 1);
            self.drop_one("it is larger than max_packet_size");
            return None;
        }
        let mut reservation = self.intake.reservation();
        if reservation.resize(bytes.len()).is_err() {
            TransportCounters::add(&counters.busy_requests, 1);
            self.drop_one("too many bytes of requests are in flight");
            return None;
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(Packet { bytes: Bytes::copy_from_slice(bytes), from, reservation })
    }

    async fn take(&self, packet: Packet) {
        let Packet { bytes, from, reservation } = packet;
        let message = Message {
            encoding: Encoding::Foreign(Foreign::JaegerEmitBatch(self.protocol)),
            coding: None,
            client: connected(Some(from)),
            bytes,
            reservation,
        };
        let Err(fault) = self.intake.take(message).await else { return };
        fault.count(self.intake.counters());
        match &fault {
            Fault::Refused(refusal) => self.refuse(refusal),
            Fault::Undecodable(_) => {
                if let Some(sum) = self.undecodable.add(1) {
                    let packets = sum.requests;
                    tracing::warn!(packets, last_from = %from, "datagrams were dropped: {fault}");
                }
            }
            _ => self.drop_one(&fault.to_string()),
        }
    }

    fn drop_one(&self, why: &str) {
        if let Some(sum) = self.dropped.add(1) {
            tracing::warn!(packets = sum.requests, "datagrams were dropped, the last: {why}");
        }
    }

    fn refuse(&self, refusal: &Refusal) {
        if let Some(sum) = self.refused.add(1) {
            let packets = sum.requests;
            tracing::warn!(packets, "datagrams were dropped that the pipeline refused: {refusal}");
        }
    }

    /// What no line has told yet.
    fn tell_rest(&self) {
        let kinds = [&self.dropped, &self.undecodable, &self.refused];
        let packets: u64 =
            kinds.iter().filter_map(|kind| kind.rest()).map(|sum| sum.requests).sum();
        if packets > 0 {
            tracing::warn!(packets, "more datagrams were dropped");
        }
    }
}
