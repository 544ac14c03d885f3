//! Connections of exporters, and TLS for both ends.

mod client;
mod compression;
mod connector;
mod headers;
mod kafka;
mod parts;
mod tls;
mod tls_server;
mod user_info;

pub use client::{Answer, ClientAuth, ClientSettings, HttpClient, KeepaliveSettings, Protocol};
pub use compression::{Algorithm, Compression};
pub use headers::{HeaderError, Headers};
pub use kafka::{KafkaClient, KafkaEncoding};
pub use tls::{ClientTls, Pem, TlsClientSettings, TlsError, TlsVersion};
pub use tls_server::{ServerTls, TlsServerSettings};

pub(crate) use client::Outgoing;
pub(crate) use compression::compress;
pub(crate) use connector::Target;
