//! Spans over gRPC: a unary call on a connection of HTTP/2, without another encoding of what is
//! encoded already.

use anyhow::Context;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A connection of its own, with a thread of its own to drive it: the caller's.
pub struct Connection {
    runtime: tokio::runtime::Runtime,
    link: SendRequest<Full<Bytes>>,
    url: String,
}

impl Connection {
    /// To host and port.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let link = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.context("connecting")?;
            stream.set_nodelay(true)?;
            let (link, driver) =
                handshake(TokioExecutor::new(), TokioIo::new(stream)).await.context("HTTP/2")?;
            tokio::spawn(driver);
            anyhow::Ok(link)
        })?;
        Ok(Self { runtime, link, url: format!("http://{address}{PATH}") })
    }

    /// Sends an `ExportTraceServiceRequest`. False when the server asks to come again.
    pub fn export(&mut self, request: &[u8]) -> anyhow::Result<bool> {
        let mut frame = BytesMut::with_capacity(request.len() + 5);
        // Not compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
        frame.put_u8(0);
        frame.put_u32(u32::try_from(request.len())?);
        frame.put_slice(request);
        let call = Request::post(&self.url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(frame.freeze()))?;
        let link = &mut self.link;
        let status = self.runtime.block_on(async {
            link.ready().await?;
            let answer = link.send_request(call).await?;
            let early = answer.headers().get("grpc-status").cloned();
            let body = answer.into_body().collect().await?;
            let late = body.trailers().and_then(|own| own.get("grpc-status").cloned());
            anyhow::Ok(early.or(late))
        })?;
        match status.as_ref().and_then(|status| status.to_str().ok()) {
            Some("0") => Ok(true),
            Some("8" | "14") => Ok(false),
            other => anyhow::bail!("the server answered with gRPC status {other:?}"),
        }
    }
}
