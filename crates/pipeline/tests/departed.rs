//! Clients that leave while their answer is made.

use std::convert::Infallible;
use std::future::pending;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use pipeline::Client;
use pipeline::receivers::{ConnectionCounters, Handler, ServerSettings, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::until;

/// Answers never, and counts those that it need not answer any more.
#[derive(Default)]
struct Never {
    asked: AtomicUsize,
    departed: AtomicUsize,
    connections: ConnectionCounters,
    tasks: TaskTracker,
}

struct OnDrop<'a>(&'a AtomicUsize);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Handler for Never {
    type Body = Full<Bytes>;

    async fn handle(
        self: Arc<Self>,
        _: Request<Incoming>,
        _: Arc<Client>,
    ) -> Response<Full<Bytes>> {
        let _departed = OnDrop(&self.departed);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let never: Infallible = pending().await;
        match never {}
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

#[tokio::test]
async fn work_for_a_client_that_left_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let settings = ServerSettings { answers_half_closed: false, ..ServerSettings::default() };
    let (handler, stop) = (Arc::new(Never::default()), CancellationToken::new());
    let serving = tokio::spawn({
        let (handler, stop) = (handler.clone(), stop.clone());
        async move { serve(listener, &settings, handler, stop).await }
    });
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    until("it is asked", || handler.asked.load(Ordering::SeqCst) == 1).await;
    assert_eq!(handler.departed.load(Ordering::SeqCst), 0);
    drop(stream);
    until("it ends", || handler.departed.load(Ordering::SeqCst) == 1).await;
    stop.cancel();
    serving.await.unwrap();
}
