//! A small HTTP client on hyper's connections, and the answers it reads.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use crate::support::{PATIENCE, Status};

pub const PROTOBUF: &str = "application/x-protobuf";
pub const JSON: &str = "application/json";

/// One connection.
pub enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub async fn http1(addr: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    pub async fn unix(path: &Path) -> Self {
        let io = TokioIo::new(UnixStream::connect(path).await.unwrap());
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    pub async fn http2(addr: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let exchange = async {
            let response = match self {
                Self::Http1(sender) => sender.send_request(request).await,
                Self::Http2(sender) => sender.send_request(request).await,
            };
            let (parts, body) = response.expect("an answer").into_parts();
            let body = body.collect().await.expect("a whole answer");
            let trailers = body.trailers().cloned();
            let (status, body) = (parts.status.as_u16(), body.to_bytes());
            Answer { status, headers: parts.headers, body, trailers }
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as a `google.rpc.Status`, in the encoding that the content type names.
    pub fn rpc_status(&self) -> Status {
        match self.header("content-type") {
            JSON => {
                let value: Value = serde_json::from_slice(&self.body).unwrap();
                Status {
                    code: value["code"].as_i64().unwrap() as i32,
                    message: value["message"].as_str().unwrap().to_owned(),
                    details: Vec::new(),
                }
            }
            _ => Status::decode(self.body.clone()).unwrap(),
        }
    }

    /// The body as an `ExportTraceServiceResponse`: rejected spans and the reason, if any.
    pub fn partial_success(&self) -> Option<(i64, String)> {
        if self.header("content-type") == JSON {
            let value: Value = serde_json::from_slice(&self.body).unwrap();
            let partial = value.get("partialSuccess")?;
            // int64 is a string in ProtoJSON.
            let spans = partial["rejectedSpans"].as_str().unwrap().parse().unwrap();
            return Some((spans, partial["errorMessage"].as_str().unwrap().to_owned()));
        }
        let response = ExportTraceServiceResponse::decode(self.body.clone()).unwrap();
        response.partial_success.map(|partial| (partial.rejected_spans, partial.error_message))
    }
}

/// A `POST /v1/traces`.
pub fn post(content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    build(Method::POST, "/v1/traces", &[("content-type", content_type)], body)
}

pub fn build(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    // The authority goes into `:authority` over HTTP/2 and is `Host` over HTTP/1.
    let mut request = Request::builder().method(method).uri(format!("http://spanfall.test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

/// Sends over a new HTTP/1.1 connection.
pub async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    Client::http1(addr).await.send(request).await
}
