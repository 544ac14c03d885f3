//! Connections to Kafka's brokers, and what its receiver and exporter have in common.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use kafka::{Cluster, ClusterSettings, Connect, Stream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::{ClientTls, TlsClientSettings, TlsError};

/// How spans stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KafkaEncoding {
    /// An `ExportTraceServiceRequest`.
    #[default]
    OtlpProto,
    /// The same as JSON.
    OtlpJson,
    /// One span of Jaeger's, with its process.
    JaegerProto,
    /// The same as JSON.
    JaegerJson,
    /// A list of Zipkin's spans.
    ZipkinProto,
    /// The same as JSON.
    ZipkinJson,
    /// A list of Zipkin's spans of version 1. Only received.
    ZipkinThrift,
}

/// How brokers are reached.
#[derive(Debug, Clone, Default)]
pub struct KafkaClient {
    /// Which brokers, and who we are.
    pub cluster: ClusterSettings,
    /// TLS; without it connections are plain, whatever the port.
    pub tls: Option<TlsClientSettings>,
}

impl KafkaClient {
    /// The cluster. Nothing is connected yet.
    ///
    /// # Errors
    /// TLS files that cannot be read or do not fit.
    pub fn cluster(&self) -> Result<Arc<Cluster>, TlsError> {
        let connect: Arc<dyn Connect> = match &self.tls {
            Some(tls) if !tls.insecure => Arc::new(Tls(ClientTls::new(tls.clone(), &[])?)),
            _ => Arc::new(kafka::Tcp),
        };
        Ok(Arc::new(Cluster::new(self.cluster.clone(), connect)))
    }
}

struct Tls(ClientTls);

#[async_trait]
impl Connect for Tls {
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        let name = self.0.server_name(host).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(self.0.config()).connect(name, stream).await?;
        Ok(Box::new(stream))
    }
}
