//! OTLP exporters against our own receivers and against servers that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::SpanBatch;
use pipeline::exporters::otlp::{
    HttpEncoding, OtlpGrpc, OtlpGrpcSettings, OtlpHttp, OtlpHttpSettings,
};
use pipeline::exporters::{Export, ExportError, QueueSettings, RetrySettings, SenderSettings};
use pipeline::net::{Algorithm, ClientSettings, Compression, Headers, TlsClientSettings};
use pipeline::receivers::otlp::{GrpcReceiver, GrpcSettings};
use pipeline::receivers::{ByteBudget, ServerSettings};
use pipeline::{Consumer, Data, Encoded, Request, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::exporters_jaeger::{Stub, taken};
use crate::exporters_sender::{spans, started};
use crate::support::{Behaviour, PATIENCE, Recorder, Server, count, protobuf, refusals, until};

pub fn plain(compression: Algorithm) -> ClientSettings {
    ClientSettings {
        tls: TlsClientSettings { insecure: true, ..TlsClientSettings::default() },
        compression: Compression { algorithm: compression, level: None },
        ..ClientSettings::default()
    }
}

pub fn grpc(addr: SocketAddr, client: ClientSettings) -> OtlpGrpc {
    OtlpGrpc::new(&OtlpGrpcSettings { endpoint: addr.to_string(), client }).unwrap()
}

pub fn http(addr: SocketAddr, client: ClientSettings) -> OtlpHttp {
    let endpoint = format!("http://{addr}");
    OtlpHttp::new(&OtlpHttpSettings { endpoint, client, ..OtlpHttpSettings::default() }).unwrap()
}

/// A request in two parts.
fn two_parts(first: (usize, usize), second: (usize, usize)) -> Encoded {
    let parts = [first, second].map(|(valid, invalid)| protobuf(valid, invalid).into()).to_vec();
    Encoded { parts, items: (first.0 + first.1 + second.0 + second.1) as u64 }
}

async fn export(exporter: &dyn Export, encoded: &Encoded) -> Result<(), ExportError> {
    let export = exporter.export(Signal::Traces, encoded);
    tokio::time::timeout(PATIENCE, export).await.expect("an answer in time")
}

#[tokio::test]
async fn every_compression_arrives_whole() {
    let over_both = [
        Algorithm::None,
        Algorithm::Gzip,
        Algorithm::Zstd,
        Algorithm::Zlib,
        Algorithm::Deflate,
        Algorithm::Snappy,
    ];
    for algorithm in over_both {
        let backend = Server::grpc().await;
        let exporter = grpc(backend.addr, plain(algorithm));
        for _ in 0..3 {
            export(&exporter, &two_parts((3, 0), (4, 0))).await.unwrap();
        }
        assert_eq!(backend.consumer.taken(), [7, 7, 7], "{algorithm:?}");
        assert_eq!(count(&backend.counters.grpc.connections.open), 1, "{algorithm:?}");
    }
    for algorithm in over_both.into_iter().chain([Algorithm::SnappyFramed, Algorithm::Lz4]) {
        for encoding in [HttpEncoding::Protobuf, HttpEncoding::Json] {
            let backend = Server::http().await;
            let exporter = OtlpHttp::new(&OtlpHttpSettings {
                endpoint: format!("http://{}/", backend.addr),
                encoding,
                client: plain(algorithm),
                ..OtlpHttpSettings::default()
            })
            .unwrap();
            for _ in 0..3 {
                export(&exporter, &two_parts((3, 0), (4, 0))).await.unwrap();
            }
            assert_eq!(backend.consumer.taken(), [7, 7, 7], "{algorithm:?} {encoding:?}");
            assert_eq!(count(&backend.counters.http.connections.open), 1, "{algorithm:?}");
        }
    }
}

#[tokio::test]
async fn snappy_is_what_each_protocol_means_by_it() {
    const FRAMES: &[u8] = b"\xff\x06\0\0sNaPpY";
    let (over_grpc, over_http) = (Stub::new(taken).await, Stub::new(taken).await);
    export(&grpc(over_grpc.addr, plain(Algorithm::Snappy)), &two_parts((1, 0), (1, 0)))
        .await
        .unwrap();
    let (head, body) = &over_grpc.seen()[0];
    assert_eq!(head.headers["grpc-encoding"], "snappy");
    assert!(body[5..].starts_with(FRAMES), "{body:?}");
    for (algorithm, name, is_framed) in
        [(Algorithm::Snappy, "snappy", false), (Algorithm::SnappyFramed, "x-snappy-framed", true)]
    {
        export(&http(over_http.addr, plain(algorithm)), &two_parts((1, 0), (1, 0))).await.unwrap();
        let (head, body) = over_http.seen().pop().unwrap();
        assert_eq!(head.headers["content-encoding"], name);
        assert_eq!(body.starts_with(FRAMES), is_framed, "{name}: {body:?}");
    }
}

#[tokio::test]
async fn a_server_may_be_called_by_another_name() {
    let stub = Stub::new(taken).await;
    let authority = Some("traces.internal:443".parse().unwrap());
    let client = ClientSettings { authority, ..plain(Algorithm::None) };
    export(&grpc(stub.addr, client), &two_parts((1, 0), (1, 0))).await.unwrap();
    let called = stub.seen()[0].0.uri.authority().map(ToString::to_string);
    assert_eq!(called.as_deref(), Some("traces.internal:443"));
}

#[tokio::test]
async fn large_requests_arrive_whole() {
    let big = |algorithm| (algorithm, protobuf(60_000, 0));
    for (algorithm, bytes) in [big(Algorithm::None), big(Algorithm::Zstd)] {
        assert!(bytes.len() > 2 << 20);
        let encoded = Encoded { parts: vec![bytes.into()], items: 60_000 };
        let (over_grpc, over_http) = (Server::grpc().await, Server::http().await);
        export(&grpc(over_grpc.addr, plain(algorithm)), &encoded).await.unwrap();
        export(&http(over_http.addr, plain(algorithm)), &encoded).await.unwrap();
        assert_eq!(over_grpc.consumer.taken(), [60_000]);
        assert_eq!(over_http.consumer.taken(), [60_000]);
    }
}

#[tokio::test]
async fn refusals_come_back_as_they_were_meant() {
    for (refusal, _, _, delay) in refusals() {
        let (over_grpc, over_http) = (Server::grpc().await, Server::http().await);
        let exporters: [(Box<dyn Export>, &Server, Option<Duration>); 2] = [
            (Box::new(grpc(over_grpc.addr, plain(Algorithm::Gzip))), &over_grpc, delay),
            // HTTP knows whole seconds only.
            (
                Box::new(http(over_http.addr, plain(Algorithm::Gzip))),
                &over_http,
                delay.map(|_| Duration::from_secs(3)),
            ),
        ];
        for (exporter, backend, delay) in exporters {
            backend.consumer.behave(Behaviour::Refuse(refusal.clone()));
            let error = export(&*exporter, &two_parts((1, 0), (1, 0))).await.unwrap_err();
            assert!(error.to_string().contains("the reason"), "{refusal:?}: {error}");
            match error {
                ExportError::Retryable { after, .. } => {
                    assert!(refusal.is_retryable(), "{refusal:?}");
                    assert_eq!(after, delay, "{refusal:?}");
                }
                ExportError::Permanent { .. } => assert!(!refusal.is_retryable(), "{refusal:?}"),
                ExportError::Partial { .. } => panic!("{refusal:?}"),
            }
        }
    }
}

#[tokio::test]
async fn partial_success_is_told() {
    let (over_grpc, over_http) = (Server::grpc().await, Server::http().await);
    let json = OtlpHttp::new(&OtlpHttpSettings {
        traces_endpoint: Some(format!("http://{}/v1/traces", over_http.addr)),
        encoding: HttpEncoding::Json,
        client: plain(Algorithm::None),
        ..OtlpHttpSettings::default()
    })
    .unwrap();
    let exporters: [Box<dyn Export>; 3] = [
        Box::new(grpc(over_grpc.addr, plain(Algorithm::None))),
        Box::new(http(over_http.addr, plain(Algorithm::None))),
        Box::new(json),
    ];
    for exporter in exporters {
        match export(&*exporter, &two_parts((3, 1), (0, 1))).await {
            Err(ExportError::Partial { rejected: 2, reason }) => {
                assert!(reason.contains("trace id"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A server that answers every request with the same bytes, and keeps what it was sent.
pub struct Canned {
    pub addr: SocketAddr,
    heard: Arc<std::sync::Mutex<Vec<u8>>>,
    _serving: JoinHandle<()>,
}

impl Canned {
    pub async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heard = Arc::<std::sync::Mutex<Vec<u8>>>::default();
        let (answer, kept) = (answer.into(), Arc::clone(&heard));
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (answer, kept) = (answer.clone(), Arc::clone(&kept));
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        kept.lock().unwrap().extend_from_slice(&buffer[..read]);
                        if answer.is_empty() || stream.write_all(&answer).await.is_err() {
                            // Dropping it with bytes unread resets it.
                            return;
                        }
                    }
                });
            }
        });
        Self { addr, heard, _serving: serving }
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).to_ascii_lowercase()
    }
}

#[tokio::test]
async fn http_statuses() {
    // None is permanent; Some(seconds) of Retry-After.
    for (head, expected) in [
        ("200 OK", Some(Ok(()))),
        ("202 Accepted", Some(Ok(()))),
        ("429 Too Many Requests\r\nretry-after: 7", Some(Err(Some(7)))),
        ("429 Too Many Requests", Some(Err(None))),
        ("502 Bad Gateway", Some(Err(None))),
        ("503 Service Unavailable\r\nretry-after: soon", Some(Err(None))),
        (
            "503 Service Unavailable\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT",
            Some(Err(Some(0))),
        ),
        ("504 Gateway Timeout", Some(Err(None))),
        ("400 Bad Request", None),
        ("401 Unauthorized", None),
        ("404 Not Found", None),
        ("413 Payload Too Large", None),
        ("500 Internal Server Error", None),
        ("301 Moved Permanently\r\nlocation: /", None),
    ] {
        let server =
            Canned::start(format!("HTTP/1.1 {head}\r\ncontent-length: 2\r\n\r\n\n\n")).await;
        let exporter = http(server.addr, plain(Algorithm::None));
        let got = match export(&exporter, &two_parts((1, 0), (1, 0))).await {
            Ok(()) => Some(Ok(())),
            Err(ExportError::Retryable { after, .. }) => {
                Some(Err(after.map(|after| after.as_secs())))
            }
            Err(ExportError::Permanent { .. }) => None,
            Err(other) => panic!("{head}: {other:?}"),
        };
        assert_eq!(got, expected, "{head}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 100000000\r\n\r\n";
    let server = Canned::start(format!("{head}{}", "no ".repeat(40_000))).await;
    let error =
        export(&http(server.addr, plain(Algorithm::None)), &two_parts((1, 0), (1, 0))).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ExportError::Permanent { .. }), "{error:?}");
    assert!(error.to_string().len() < 1000, "not all of it is logged");
}

#[tokio::test]
async fn headers_are_sent() {
    let server = Canned::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut headers = Headers::default();
    headers.add("Authorization", "Bearer token").unwrap();
    headers.add("X-Scope-OrgID", "a").unwrap();
    headers.add("X-Scope-OrgID", "b").unwrap();
    headers.add("content-type", "text/plain").unwrap();
    let client = ClientSettings { headers, ..plain(Algorithm::None) };
    export(&http(server.addr, client), &two_parts((1, 0), (1, 0))).await.unwrap();
    let heard = server.heard();
    for line in [
        "post /v1/traces http/1.1",
        "authorization: bearer token",
        "x-scope-orgid: a",
        "x-scope-orgid: b",
        "user-agent: spanfall/",
        "content-type: application/x-protobuf",
    ] {
        assert!(heard.contains(line), "{line}: {heard}");
    }
    assert!(!heard.contains("text/plain"), "{heard}");
}

#[tokio::test]
async fn what_breaks_is_worth_another_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let resetting = Canned::start("").await;
    for (addr, what) in [(nobody, "refused"), (resetting.addr, "")] {
        let exporters: [Box<dyn Export>; 2] = [
            Box::new(http(addr, plain(Algorithm::None))),
            Box::new(grpc(addr, plain(Algorithm::None))),
        ];
        for (at, exporter) in exporters.iter().enumerate() {
            let error = export(&**exporter, &two_parts((1, 0), (1, 0))).await.unwrap_err();
            assert!(matches!(error, ExportError::Retryable { after: None, .. }), "{at}: {error:?}");
            assert!(error.to_string().contains(what), "{at}: {error}");
        }
    }
}

/// Retries that do not keep a test waiting.
pub fn eager(queue: QueueSettings) -> SenderSettings {
    SenderSettings {
        timeout: Duration::from_millis(500),
        retry: RetrySettings {
            initial_interval: Duration::from_millis(2),
            max_interval: Duration::from_millis(20),
            max_elapsed_time: Some(Duration::ZERO),
            ..RetrySettings::default()
        },
        queue,
        ..SenderSettings::default()
    }
}

/// Stands between exporter and backend, and can be told to misbehave.
struct Proxy {
    addr: SocketAddr,
    mode: Arc<std::sync::Mutex<Mode>>,
    _serving: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Pass,
    /// New connections are closed, and old ones at their next byte.
    Reset,
    /// Nothing is passed on, and nothing closed.
    Silent,
}

impl Proxy {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mode = Arc::new(std::sync::Mutex::new(Mode::Pass));
        let shared = Arc::clone(&mode);
        let serving = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let mode = Arc::clone(&shared);
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else { return };
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::select! {
                        () = pump(near_read, far_write, &mode) => {}
                        () = pump(far_read, near_write, &mode) => {}
                    }
                });
            }
        });
        Self { addr, mode, _serving: serving }
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mode: &std::sync::Mutex<Mode>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let now = *mode.lock().unwrap();
        match now {
            Mode::Reset => return,
            Mode::Silent => std::future::pending().await,
            Mode::Pass if to.write_all(&buffer[..read]).await.is_err() => return,
            Mode::Pass => {}
        }
    }
}

#[tokio::test]
async fn a_backend_that_resets_and_falls_silent_gets_every_span() {
    for over_grpc in [true, false] {
        let backend = if over_grpc { Server::grpc().await } else { Server::http().await };
        let proxy = Proxy::start(backend.addr).await;
        let client = ClientSettings {
            keepalive: pipeline::net::KeepaliveSettings {
                time: Duration::from_millis(100),
                timeout: Duration::from_millis(100),
                permit_without_stream: true,
            },
            ..plain(Algorithm::Gzip)
        };
        let exporter: Arc<dyn Export> = match over_grpc {
            true => Arc::new(grpc(proxy.addr, client)),
            false => Arc::new(http(proxy.addr, client)),
        };
        let sender = started(eager(QueueSettings::default()), exporter).await;
        let mut sent = 0;
        let retries = || sender.counters().snapshot().retries;
        for mode in [Mode::Pass, Mode::Reset, Mode::Pass, Mode::Silent, Mode::Pass] {
            proxy.set(mode);
            for count in 1..=5 {
                sender.consume(spans(count)).await.unwrap();
                sent += count as u64;
            }
            if mode == Mode::Pass {
                until("all have left", || sender.counters().snapshot().sent == sent).await;
            } else {
                let before = retries();
                until("attempts fail", || retries() > before + 1).await;
            }
        }
        let taken: usize = backend.consumer.taken().iter().sum();
        // At least once: an answer may have been lost.
        assert!(taken as u64 >= sent, "{taken} of {sent}");
        assert_eq!(sender.counters().snapshot().send_failed(), 0);
    }
}

#[tokio::test]
async fn a_backend_that_restarts_gets_every_span_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let queue = QueueSettings { num_consumers: 2, ..QueueSettings::default() };
    let sender = started(eager(queue), Arc::new(grpc(addr, plain(Algorithm::Zstd)))).await;
    let mut sent = 0;
    for _ in 0..3 {
        // While it is down.
        for _ in 0..10 {
            sender.consume(spans(7)).await.unwrap();
            sent += 7;
        }
        let retries = sender.counters().snapshot().retries;
        until("attempts fail", || sender.counters().snapshot().retries > retries).await;
        let consumer = Recorder::new();
        let shutdown = CancellationToken::new();
        let receiver = GrpcReceiver::new(
            TcpListener::bind(addr).await.unwrap(),
            GrpcSettings { server: ServerSettings::default() },
            ByteBudget::default(),
            consumer.clone() as Arc<dyn Consumer>,
            Arc::default(),
        );
        let running = tokio::spawn(receiver.run(shutdown.clone()));
        until("all have left", || sender.counters().snapshot().sent == sent).await;
        assert_eq!(consumer.taken().iter().sum::<usize>(), 70);
        shutdown.cancel();
        running.await.unwrap();
    }
    assert_eq!(sender.counters().snapshot().send_failed(), 0);
}

#[tokio::test]
async fn a_busy_backend_slows_the_receiver_down() {
    // Receiver, exporter without a queue, receiver: the last one's word reaches the first client.
    let backend = Server::http().await;
    backend.consumer.behave(Behaviour::Refuse(refusals()[0].0.clone()));
    let settings = SenderSettings {
        retry: RetrySettings { enabled: false, ..RetrySettings::default() },
        ..eager(QueueSettings { enabled: false, ..QueueSettings::default() })
    };
    let sender = started(settings, Arc::new(http(backend.addr, plain(Algorithm::Gzip)))).await;
    let refusal = sender.consume(spans(3)).await.unwrap_err();
    assert!(refusal.is_retryable() && refusal.to_string().contains("the reason"), "{refusal}");
    backend.consumer.behave(Behaviour::Accept);
    sender.consume(spans(3)).await.unwrap();
    assert_eq!(backend.consumer.taken(), [3]);
}

#[tokio::test]
async fn bytes_that_nothing_changed_go_out_as_they_came() {
    let backend = Server::grpc().await;
    let bytes: bytes::Bytes = protobuf(5, 0).into();
    let batch = SpanBatch::decode(bytes.clone()).unwrap();
    let data = Data::Traces(vec![Arc::new(batch)]);
    assert_eq!(data.encoded().parts[0].as_ptr(), bytes.as_ptr());
    let sender = started(
        eager(QueueSettings::default()),
        Arc::new(grpc(backend.addr, plain(Algorithm::None))),
    )
    .await;
    sender.consume(Request { data, client: Arc::default() }).await.unwrap();
    until("they arrived", || backend.consumer.taken() == [5]).await;
}
