//! TLS as the Collector's configuration says it: certificates from files, read again when told to,
//! and errors that say what to do.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use tokio::time::Instant;

/// A certificate or key, as a file or as it stands in the configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// Read anew with every reload.
    File(PathBuf),
    /// The text itself.
    Text(String),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Pem {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(_) => "the PEM text given".to_owned(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::File(path) => config::read_file(path)
                .map_err(|error| TlsError::Read { name: self.name(), reason: error.to_string() }),
            Self::Text(text) => Ok(text.clone().into_bytes()),
        }
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let pem = self.read()?;
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&pem)
                .collect::<Result<_, _>>()
                .map_err(|error| TlsError::Pem { name: self.name(), reason: pem_words(&error) })?;
        if certificates.is_empty() {
            let reason = "there is no certificate in it".to_owned();
            return Err(TlsError::Pem { name: self.name(), reason });
        }
        Ok(certificates)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|error| TlsError::Pem {
            name: self.name(),
            reason: match error {
                rustls_pki_types::pem::Error::NoItemsFound => {
                    "there is no private key in it that is not encrypted".to_owned()
                }
                other => pem_words(&other),
            },
        })
    }

    /// Whether it holds certificates.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn check_certificates(&self) -> Result<(), TlsError> {
        // The others lead to its authority.
        let own = self.certificates()?.into_iter().next();
        own.map_or(Ok(()), |own| match ParsedCertificate::try_from(&own) {
            Ok(_) => Ok(()),
            Err(error) => Err(TlsError::Pem { name: self.name(), reason: error.to_string() }),
        })
    }

    /// Whether it holds a private key that can be used.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn check_key(&self) -> Result<(), TlsError> {
        let loaded = provider().key_provider.load_private_key(self.key()?);
        // What the library says is of its parsers, of which it names the last that was tried.
        loaded.map(drop).map_err(|_| TlsError::Pem {
            name: self.name(),
            reason: "its key cannot be used: it has to be RSA of 2048 to 8192 bits, ECDSA with \
                     P-256 or P-384, or Ed25519"
                .to_owned(),
        })
    }

    /// Whether this key is that of a certificate.
    ///
    /// # Errors
    /// Either cannot be read or holds something else.
    pub fn is_key_of(&self, cert: &Self) -> Result<bool, TlsError> {
        match CertifiedKey::from_der(cert.certificates()?, self.key()?, &provider()) {
            Ok(_) => Ok(true),
            Err(rustls::Error::InconsistentKeys(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it holds authorities that can be trusted.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn check_authorities(&self) -> Result<(), TlsError> {
        self.roots(&mut RootCertStore::empty())
    }

    pub(super) fn roots(&self, roots: &mut RootCertStore) -> Result<(), TlsError> {
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::Pem { name: self.name(), reason: error.to_string() })?;
        }
        Ok(())
    }
}

/// What is wrong with the form of a PEM text (RFC 7468). None of it is shown: it may be a key.
fn pem_words(error: &rustls_pki_types::pem::Error) -> String {
    use rustls_pki_types::pem::Error::{
        Base64Decode, IllegalSectionStart, MissingSectionEnd, SectionTooLarge,
    };
    let words = match error {
        MissingSectionEnd { .. } => "it is cut off: the line of -----END is missing",
        IllegalSectionStart { .. } => "a line of -----BEGIN is broken",
        Base64Decode(_) => "there is something between -----BEGIN and -----END that is no base64",
        SectionTooLarge => "it is too large",
        other => return other.to_string(),
    };
    words.to_owned()
}

/// Why there is no TLS configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{name} cannot be read: {reason}")]
    Read {
        /// Of the file.
        name: String,
        /// The system's.
        reason: String,
    },
    /// It holds something else.
    #[error("{name} is no PEM file of the kind needed: {reason}")]
    Pem {
        /// Of the file.
        name: String,
        /// The parser's.
        reason: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("cert_file and key_file belong together; {missing} is missing")]
    Half {
        /// Which.
        missing: &'static str,
    },
    /// The versions leave none.
    #[error("min_version is above max_version")]
    Versions,
    /// A server without a certificate.
    #[error("a server needs cert_file and key_file")]
    NoCertificate,
    /// What rustls says, such as that key and certificate do not match.
    #[error("{reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => {
                "key_file is not the key of the certificate in cert_file".to_owned()
            }
            other => other.to_string(),
        };
        Self::Refused { reason }
    }
}

/// A version of TLS. Older ones are broken, and nothing here speaks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// By its name in configuration. `None` for 1.0 and 1.1, too.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "1.2" => Some(Self::V1_2),
            "1.3" => Some(Self::V1_3),
            _ => None,
        }
    }
}

pub(super) fn versions(
    min: TlsVersion,
    max: Option<TlsVersion>,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let max = max.unwrap_or(TlsVersion::V1_3);
    if min > max {
        return Err(TlsError::Versions);
    }
    let all =
        [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    Ok(all
        .into_iter()
        .filter(|(version, _)| (min..=max).contains(version))
        .map(|(_, version)| version)
        .collect())
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate chain with its key, if both are set.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub(super) fn identity(
    cert: &Option<Pem>,
    key: &Option<Pem>,
) -> Result<Option<Identity>, TlsError> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some((cert.certificates()?, key.key()?))),
        (None, Some(_)) => Err(TlsError::Half { missing: "cert_file" }),
        (Some(_), None) => Err(TlsError::Half { missing: "key_file" }),
    }
}

/// `tls` of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsClientSettings {
    /// No TLS at all, for endpoints that do not name a scheme. Default false.
    pub insecure: bool,
    /// TLS with whomever. Default false.
    pub insecure_skip_verify: bool,
    /// Whom to trust. Default: the system's, or Mozilla's where it has none.
    pub ca: Option<Pem>,
    /// Trusts the system's besides `ca`. Default false.
    pub include_system_ca: bool,
    /// The client's own certificate, for mTLS.
    pub cert: Option<Pem>,
    /// Its key.
    pub key: Option<Pem>,
    /// The name that the server's certificate must have, and that is asked for. Default: the
    /// endpoint's host.
    pub server_name_override: Option<String>,
    /// Default 1.2.
    pub min_version: TlsVersion,
    /// Default 1.3.
    pub max_version: Option<TlsVersion>,
    /// Files are read again by the first connection that is made so long after the last reading;
    /// zero is never. Default zero.
    pub reload_interval: Duration,
}

/// What is read from files, and read again after a while.
pub(super) struct Reloading<T> {
    interval: Duration,
    made: Mutex<(Instant, Arc<T>)>,
}

impl<T> Reloading<T> {
    pub(super) fn new(interval: Duration, first: T) -> Self {
        Self { interval, made: Mutex::new((Instant::now(), Arc::new(first))) }
    }

    /// What was read last; `read` is asked when that is too long ago. If it fails, the old stays.
    pub(super) fn get(&self, read: impl FnOnce() -> Result<T, TlsError>) -> Arc<T> {
        let mut made = self.made.lock();
        if !self.interval.is_zero() && made.0.elapsed() >= self.interval {
            made.0 = Instant::now();
            match read() {
                Ok(new) => made.1 = Arc::new(new),
                Err(error) => {
                    tracing::warn!(%error, "TLS files could not be read again; the old are kept");
                }
            }
        }
        Arc::clone(&made.1)
    }
}

/// A client's TLS.
pub struct ClientTls {
    settings: TlsClientSettings,
    protocols: Vec<Vec<u8>>,
    config: Reloading<ClientConfig>,
}

impl ClientTls {
    /// Reads the files. `protocols` are offered in the handshake (RFC 7301).
    ///
    /// # Errors
    /// Files that cannot be read or do not fit.
    pub fn new(settings: TlsClientSettings, protocols: &[&str]) -> Result<Self, TlsError> {
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Reloading::new(settings.reload_interval, read(&settings, &protocols)?);
        Ok(Self { settings, protocols, config })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.get(|| read(&self.settings, &self.protocols))
    }

    /// The name to ask for, at a host.
    pub(super) fn server_name(&self, host: &str) -> Result<ServerName<'static>, String> {
        let name = self.settings.server_name_override.as_deref().unwrap_or(host);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(bare.to_owned())
            .map_err(|_| format!("{name:?} is no name that a certificate can have"))
    }
}

fn read(settings: &TlsClientSettings, protocols: &[Vec<u8>]) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let versions = versions(settings.min_version, settings.max_version)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)?;
    let builder = if settings.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &settings.ca {
            ca.roots(&mut roots)?;
        }
        if settings.ca.is_none() || settings.include_system_ca {
            system_roots(&mut roots);
        }
        builder.with_root_certificates(roots)
    };
    let mut config = match identity(&settings.cert, &settings.key)? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}

/// The system's authorities; in a container without any, those that Mozilla trusts.
fn system_roots(roots: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
}

/// Takes every certificate: `insecure_skip_verify`.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What a failure of TLS means for who configures it, if it is one.
pub(super) fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(words(tls));
        }
        // An `io::Error` shows what it wraps only here: its source is the source of that.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn words(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    let alert;
    let help = match error {
        // The latter when the name of the issuer is right and its key is not.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the server's certificate was issued by nobody that is trusted here; \
             tls.ca_file names whom to trust"
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "the server's certificate is for another name than the endpoint's host; \
             tls.server_name_override sets the name to expect"
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the server's certificate has expired"
        }
        InvalidMessage(_) => {
            "the server does not speak TLS here; tls.insecure: true is for servers without"
        }
        AlertReceived(description) => {
            alert = format!("{description:?}");
            match alert_words(&alert) {
                Some(words) => words,
                None => return format!("TLS failed: {error}"),
            }
        }
        _ => return format!("TLS failed: {error}"),
    };
    format!("{help} ({error})")
}

fn alert_words(alert: &str) -> Option<&'static str> {
    Some(match alert {
        "CertificateRequired" => {
            "the server wants a certificate of the client; tls.cert_file and tls.key_file set one"
        }
        "UnknownCA" | "BadCertificate" | "CertificateUnknown" | "CertificateExpired"
        | "DecryptError" => "the server does not trust the client's certificate (tls.cert_file)",
        "ProtocolVersion" => "client and server have no version of TLS in common",
        _ => return None,
    })
}

/// The same for an error of which HTTP/2 has kept the words only.
pub(super) fn explain_words(reason: &str) -> Option<String> {
    let (_, alert) = reason.split_once("received fatal alert: ")?;
    Some(format!("{} ({reason})", alert_words(alert.trim())?))
}
