//! One connection to a broker: requests behind each other, answers in their order.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::protocol::Request;
use crate::wire::{Reader, Writer};

/// No answer is longer. Those to fetches are as long as was asked for, or one batch.
pub const ANSWER_BYTES_MAX: usize = 128 << 20;

/// Requests on their way at a time; more wait.
const PIPELINE_MAX: usize = 32;

/// A connection's bytes, both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What makes connections, with TLS or without.
#[async_trait]
pub trait Connect: Send + Sync + 'static {
    /// To a host by its name or address.
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>>;
}

/// Connections without TLS.
pub struct Tcp;

#[async_trait]
impl Connect for Tcp {
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// A request on its way.
struct Job {
    frame: Bytes,
    waits: Waits,
}

/// Who waits for an answer.
struct Waits {
    correlation: i32,
    deadline: Instant,
    seconds: u64,
    answer: oneshot::Sender<Result<Bytes, Error>>,
    /// False for what brokers do not answer.
    is_answered: bool,
}

/// Open until it fails; then it stays closed.
pub(crate) struct Connection {
    broker: String,
    client_id: String,
    jobs: mpsc::Sender<Job>,
    correlation: AtomicI32,
    closed: CancellationToken,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>, broker: String, client_id: String) -> Self {
        let (jobs, todo) = mpsc::channel(1);
        let (waiting, waiters) = mpsc::channel(PIPELINE_MAX);
        let (read, write) = tokio::io::split(stream);
        let closed = CancellationToken::new();
        let (to, from) = (closed.clone(), closed.clone());
        let (name, same) = (broker.clone(), broker.clone());
        tokio::spawn(async move {
            let _closing = to.clone().drop_guard();
            tokio::select! {
                () = to.cancelled() => {}
                () = write_all(write, todo, waiting, &name) => {}
            }
        });
        tokio::spawn(async move {
            let _closing = from.clone().drop_guard();
            tokio::select! {
                () = from.cancelled() => {}
                () = read_all(read, waiters, &same) => {}
            }
        });
        Self { broker, client_id, jobs, correlation: AtomicI32::new(0), closed }
    }

    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.closed.is_cancelled()
    }

    /// Asks, and waits for the answer. A connection without an answer in time is closed: nothing
    /// that stands behind it would come, either. May be dropped at any time.
    pub(crate) async fn ask<R: Request>(
        &self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Answer, Error> {
        let bytes = self.send(request, timeout, true).await?;
        request.read(&mut Reader::new(bytes)).map_err(|error| {
            self.closed.cancel();
            Error::wire(&self.broker, error)
        })
    }

    /// Says what is not answered.
    pub(crate) async fn tell<R: Request>(
        &self,
        request: &R,
        timeout: Duration,
    ) -> Result<(), Error> {
        self.send(request, timeout, false).await.map(drop)
    }

    async fn send<R: Request>(
        &self,
        request: &R,
        timeout: Duration,
        is_answered: bool,
    ) -> Result<Bytes, Error> {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let mut out = Writer::default();
        out.i32(0);
        out.i16(R::KEY);
        out.i16(request.version());
        out.i32(correlation);
        out.text_or_null(Some(&self.client_id));
        request.write(&mut out);
        let mut frame = out.bytes;
        let length = i32::try_from(frame.len() - 4).map_err(|_| Error::Connection {
            broker: self.broker.clone(),
            reason: format!("a request of {} bytes is too long", frame.len()),
        })?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let (answer, result) = oneshot::channel();
        let seconds = timeout.as_secs();
        let waits =
            Waits { correlation, deadline: Instant::now() + timeout, seconds, answer, is_answered };
        let gone = || Error::Connection {
            broker: self.broker.clone(),
            reason: "the connection is closed".to_owned(),
        };
        self.jobs.send(Job { frame: frame.freeze(), waits }).await.map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn write_all(
    mut stream: WriteHalf<Box<dyn Stream>>,
    mut jobs: mpsc::Receiver<Job>,
    waiting: mpsc::Sender<Waits>,
    broker: &str,
) {
    while let Some(Job { frame, waits }) = jobs.recv().await {
        // Nobody waits for it any more.
        if waits.answer.is_closed() {
            continue;
        }
        let deadline = waits.deadline;
        let mut unanswered = None;
        if waits.is_answered {
            if waiting.send(waits).await.is_err() {
                return;
            }
        } else {
            unanswered = Some(waits);
        }
        let write = async {
            stream.write_all(&frame).await?;
            stream.flush().await
        };
        let written = tokio::time::timeout_at(deadline, write).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Some(waits) = unanswered {
            let told = match &written {
                Ok(()) => Ok(Bytes::new()),
                Err(error) => Err(Error::connection(broker, error)),
            };
            let _ = waits.answer.send(told);
        }
        if written.is_err() {
            return;
        }
    }
}

async fn read_all(
    mut stream: ReadHalf<Box<dyn Stream>>,
    mut waiting: mpsc::Receiver<Waits>,
    broker: &str,
) {
    while let Some(waits) = waiting.recv().await {
        let Waits { correlation, deadline, seconds, answer, .. } = waits;
        let read = tokio::time::timeout_at(deadline, frame(&mut stream)).await;
        let timeout = || Err(Error::Timeout { broker: broker.to_owned(), seconds });
        let result = match read {
            Ok(Ok(bytes)) => {
                let mut reader = Reader::new(bytes);
                if reader.i32() == Ok(correlation) {
                    Ok(reader.rest())
                } else {
                    let reason = "it answers what was not asked".to_owned();
                    Err(Error::Protocol { broker: broker.to_owned(), reason })
                }
            }
            Ok(Err(error)) => Err(Error::connection(broker, &error)),
            Err(_) => timeout(),
        };
        let is_broken = result.is_err();
        // Who has gone is not told.
        let _ = answer.send(result);
        if is_broken {
            return;
        }
    }
}

/// An answer. What it takes grows with what has arrived, not with what was announced.
async fn frame(stream: &mut ReadHalf<Box<dyn Stream>>) -> io::Result<Bytes> {
    let length = stream.read_i32().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("it announces an impossible answer"))?;
    let mut bytes = BytesMut::with_capacity(length.min(64 << 10));
    let mut limited = stream.take(length as u64);
    while bytes.len() < length {
        if limited.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes.freeze())
}
