//! TLS of servers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::tls::{Pem, Reloading, TlsError, TlsVersion, identity, provider, versions};

/// `tls` of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsServerSettings {
    /// The server's certificate, and what leads to its authority.
    pub cert: Option<Pem>,
    /// Its key.
    pub key: Option<Pem>,
    /// Who issues clients' certificates. With it, a client without one is turned away (mTLS).
    pub client_ca: Option<Pem>,
    /// Default 1.2.
    pub min_version: TlsVersion,
    /// Default 1.3.
    pub max_version: Option<TlsVersion>,
    /// All files are read again by the first connection that comes so long after the last reading;
    /// zero is never. Default zero.
    pub reload_interval: Duration,
}

/// A server's TLS. Clones share it.
#[derive(Clone)]
pub struct ServerTls {
    shared: Arc<Shared>,
}

struct Shared {
    settings: TlsServerSettings,
    config: Reloading<ServerConfig>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit.
    pub fn new(settings: TlsServerSettings) -> Result<Self, TlsError> {
        let config = Reloading::new(settings.reload_interval, read(&settings)?);
        Ok(Self { shared: Arc::new(Shared { settings, config }) })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.shared.config.get(|| read(&self.shared.settings))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.settings.fmt(f)
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.shared.settings == other.shared.settings
    }
}

impl Eq for ServerTls {}

fn read(settings: &TlsServerSettings) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let versions = versions(settings.min_version, settings.max_version)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            ca.roots(&mut roots)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsError::Refused { reason: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = identity(&settings.cert, &settings.key)?.ok_or(TlsError::NoCertificate)?;
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
