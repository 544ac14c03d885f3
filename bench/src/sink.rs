//! A backend that takes spans over OTLP/HTTP, counts them and looks at their ids.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::SpanBatch;
use tokio::net::TcpListener;

use crate::load::Tally;

/// It runs until it is dropped.
pub struct Sink {
    address: SocketAddr,
    seen: Arc<Seen>,
    /// Its threads end with it.
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Seen {
    tally: Mutex<Tally>,
    more: Condvar,
}

impl Sink {
    /// On a port that the system chooses.
    pub fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting the sink")?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).context("listening")?;
        let address = listener.local_addr()?;
        let seen = Arc::<Seen>::default();
        let own = seen.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = own.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, seen.clone()));
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, seen, _runtime: runtime })
    }

    /// Its `endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until exactly these spans have come.
    pub fn wait_for(&self, wanted: Tally, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        let mut tally = self.seen.tally.lock().unwrap_or_else(PoisonError::into_inner);
        while *tally != wanted {
            let left = until.saturating_duration_since(Instant::now());
            anyhow::ensure!(!left.is_zero(), "{} of {} spans came", tally.spans, wanted.spans);
            let waited = self.seen.more.wait_timeout(tally, left);
            tally = waited.map(|(tally, _)| tally).unwrap_or_else(|error| error.into_inner().0);
        }
        Ok(())
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = match request.into_body().collect().await {
        Ok(body) => match SpanBatch::decode(body.to_bytes()) {
            Ok(batch) => {
                let mut tally = seen.tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.add(&batch);
                seen.more.notify_all();
                StatusCode::OK
            }
            Err(_) => StatusCode::BAD_REQUEST,
        },
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("application/x-protobuf");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    Ok(answer)
}
