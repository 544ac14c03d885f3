//! Connections: accepting, serving HTTP/1.1 and HTTP/2 by prior knowledge, draining.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::connected;
use super::counters::ConnectionCounters;
use super::listener::{Listener, Socket};
use super::settings::ServerSettings;
use super::write_timeout::WriteTimeout;
use crate::Client;
use crate::net::ServerTls;
use crate::telemetry::{self as work, OwnTraces};

/// How long accepting rests after a failure of the kernel's, such as too many open files.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Received but unread bytes of an HTTP/2 stream and of a connection: what keeps a sender busy over
/// a round trip without holding much for those who were refused.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// How long a client may take to come to terms over TLS. It takes two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Fewer, larger frames cost less for each byte.
const FRAME_BYTES_MAX: u32 = 128 << 10;

/// What a connection too many is told. A client of HTTP/2 knows no more than that it broke.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    connection: close\r\n\
    retry-after: 1\r\n\
    content-type: text/plain\r\n\
    content-length: 45\r\n\
    \r\n\
    too many connections are open; come back soon";

/// How a receiver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut and batches left with the consumer when the drain timeout passed.
    pub abandoned: usize,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one; `client` is who made the connection.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<Client>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// What is counted of its connections.
    fn connections(&self) -> &ConnectionCounters;

    /// Work that outlives a connection.
    fn tasks(&self) -> &TaskTracker;
}

/// Serves HTTP/1.1, and HTTP/2 by prior knowledge, until shutdown, then drains.
pub async fn serve<H: Handler>(
    listener: impl Into<Listener>,
    settings: &ServerSettings,
    handler: Arc<H>,
    shutdown: CancellationToken,
) -> Drained {
    let listener = listener.into();
    let connection = Arc::new(ConnectionSettings {
        builder: builder(settings),
        head_timeout: settings.head_timeout,
        write_timeout: settings.write_timeout,
        tls: settings.tls.clone(),
        age_max: settings.connection_age_max,
        age_grace: settings.connection_age_grace,
        own_traces: settings.own_traces.clone(),
        shutdown: shutdown.clone(),
        cut: CancellationToken::new(),
    });
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(settings.connections_max));
    let accepting = async {
        loop {
            let (stream, address) = accept(&listener).await;
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                handler.connections().refused.fetch_add(1, Ordering::Relaxed);
                if settings.tls.is_none() {
                    turn_away(stream);
                }
                continue;
            };
            let (handler, connection) = (Arc::clone(&handler), Arc::clone(&connection));
            connections.spawn(async move {
                handler.connections().open.fetch_add(1, Ordering::Relaxed);
                let _closed = OnDrop(|| {
                    handler.connections().open.fetch_sub(1, Ordering::Relaxed);
                });
                connection.run(stream, address, Arc::clone(&handler)).await;
                drop(permit);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown.cancelled() => {}
    }
    drop(listener);

    let tasks = handler.tasks();
    connections.close();
    tasks.close();
    let finished = async {
        connections.wait().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(settings.drain_timeout, finished).await.is_ok() {
        return Drained { abandoned: 0 };
    }
    let abandoned = connections.len() + tasks.len();
    connection.cut.cancel();
    connections.wait().await;
    tracing::warn!(abandoned, "requests were still in flight when the drain timeout passed");
    Drained { abandoned }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

async fn accept(listener: &Listener) -> (Socket, Option<SocketAddr>) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Says why, if that can be done without waiting, and closes.
fn turn_away(stream: Socket) {
    // An error means that the client has gone already.
    let _ = match stream {
        Either::Left(stream) => stream.into_std().and_then(|mut own| own.write_all(FULL)),
        Either::Right(stream) => stream.into_std().and_then(|mut own| own.write_all(FULL)),
    };
}

fn builder(settings: &ServerSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .half_close(settings.answers_half_closed);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.concurrent_streams_max)
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX);
    builder
}

/// Plain, or with TLS.
type Stream = Either<Socket, Box<TlsStream<Socket>>>;

struct ConnectionSettings {
    builder: auto::Builder<TokioExecutor>,
    head_timeout: Duration,
    write_timeout: Duration,
    tls: Option<ServerTls>,
    age_max: Option<Duration>,
    age_grace: Option<Duration>,
    own_traces: OwnTraces,
    shutdown: CancellationToken,
    /// Ends connections that outlast the drain timeout.
    cut: CancellationToken,
}

impl ConnectionSettings {
    async fn run<H: Handler>(&self, stream: Socket, address: Option<SocketAddr>, handler: Arc<H>) {
        let client = connected(address);
        let Some(tls) = &self.tls else {
            return self.serve(Either::Left(stream), client, handler).await;
        };
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        let stream = tokio::select! {
            stream = timeout(HANDSHAKE_TIMEOUT, handshake) => stream,
            () = self.shutdown.cancelled() => return,
        };
        match stream {
            Ok(Ok(stream)) => {
                self.serve(Either::Right(Box::new(stream)), client, handler).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn serve<H: Handler>(&self, stream: Stream, client: Arc<Client>, handler: Arc<H>) {
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let asked = Arc::clone(&asked);
            move |request| {
                asked.store(true, Ordering::Relaxed);
                let (handler, client) = (Arc::clone(&handler), Arc::clone(&client));
                let incoming = work::Incoming::of(&self.own_traces, request.headers());
                async move {
                    let Some(incoming) = incoming else {
                        return Ok::<_, Infallible>(handler.handle(request, client).await);
                    };
                    // Boxed, so that no connection takes more where own traces are off.
                    Ok(Box::pin(incoming.scope(handler.handle(request, client))).await)
                }
            }
        });
        let stream = TokioIo::new(WriteTimeout::new(stream, self.write_timeout));
        let mut connection = pin!(self.builder.serve_connection(stream, service));
        let mut closing = false;
        // hyper times a head only once it knows the version, which takes bytes to tell.
        let mut first_head = pin!(tokio::time::sleep(self.head_timeout));
        let mut timed = true;
        let mut aged = pin!(after(self.age_max));
        let mut young = true;
        let mut spared = pin!(after(None));
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection ended");
                    }
                    return;
                }
                () = self.shutdown.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = first_head.as_mut(), if timed => {
                    timed = false;
                    if !asked.load(Ordering::Relaxed) {
                        connection.as_mut().graceful_shutdown();
                    }
                }
                () = aged.as_mut(), if young => {
                    young = false;
                    connection.as_mut().graceful_shutdown();
                    spared.set(after(self.age_grace));
                }
                () = spared.as_mut(), if !young => return,
                () = self.cut.cancelled() => return,
            }
        }
    }
}

/// Ends after a while, or never.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
