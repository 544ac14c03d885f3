//! TCP or a socket in the file system and, for `https`, TLS on top.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower::Service;

use super::tls::ClientTls;

/// Where connections go, if not where requests say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Host and port.
    Tcp(Authority),
    /// The path of a socket.
    Unix(PathBuf),
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    target: Option<Target>,
    tcp: HttpConnector,
    tls: Arc<ClientTls>,
    timeout: Duration,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Connector {
    /// `timeout` is for the name, TCP and TLS together.
    pub(super) fn new(target: Option<Target>, tls: Arc<ClientTls>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Self { target, tcp, tls, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { target, tcp, tls, timeout } = self.clone();
        // `poll_ready` spoke of this one.
        let mut tcp = std::mem::replace(&mut self.tcp, tcp);
        let connect = async move {
            let stream = match target {
                None => Either::Left(tcp.call(uri.clone()).await?.into_inner()),
                Some(Target::Tcp(own)) => {
                    let own = Uri::builder().scheme("http").authority(own).path_and_query("/");
                    Either::Left(tcp.call(own.build()?).await?.into_inner())
                }
                Some(Target::Unix(path)) => Either::Right(UnixStream::connect(path).await?),
            };
            if uri.scheme_str() != Some("https") {
                return Ok(Stream::Plain(TokioIo::new(stream)));
            }
            let name = tls.server_name(uri.host().unwrap_or_default())?;
            let connector = TlsConnector::from(tls.config());
            let stream = connector.connect(name, stream).await?;
            Ok(Stream::Tls(TokioIo::new(Box::new(stream))))
        };
        Box::pin(async move {
            tokio::time::timeout(timeout, connect).await.unwrap_or_else(|_| {
                let seconds = timeout.as_secs_f64();
                Err(format!("no connection was made within {seconds} s").into())
            })
        })
    }
}

type Socket = Either<TcpStream, UnixStream>;

/// A connection.
pub(super) enum Stream {
    Plain(TokioIo<Socket>),
    Tls(TokioIo<Box<TlsStream<Socket>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        match self {
            Self::Tls(stream) if stream.inner().get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            Self::Plain(_) | Self::Tls(_) => connected,
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
