//! What the settings of all servers have in common: endpoint, TLS, authentication. Open to those
//! that bring components of their own.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use config::{Id, Reader};
use tokio::net::TcpListener;

use super::clients::{id, own_certificate, pem, versions};
use crate::component::{Need, Role, Surroundings};
use crate::net::{Pem, ServerTls, TlsServerSettings};
use crate::receivers::{Address, Auth, Listener, ServerSettings};

/// Shorter than the time that a graph gives to components that stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);

/// A server's settings, with what is read or found when it starts.
#[derive(Clone)]
pub struct ServerPlan {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Limits and timeouts.
    pub settings: ServerSettings,
    /// Certificates.
    pub tls: Option<TlsServerSettings>,
    /// The extension that checks who sends.
    pub auth: Option<Id>,
}

/// Where a server is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Host and port.
    Tcp(String),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Whether the system chooses the port, so that two that are written alike are not the same.
    pub(super) fn is_any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.ends_with(":0"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl ServerPlan {
    /// The extensions that it needs.
    pub fn needs(&self) -> Vec<Need> {
        Need::of(self.auth.as_ref(), Role::Authenticator).into_iter().collect()
    }

    /// Its port, unless the system chooses it.
    pub fn port(&self) -> Option<u16> {
        let Endpoint::Tcp(address) = &self.endpoint else { return None };
        let (_, port) = address.rsplit_once(':')?;
        port.parse().ok().filter(|port| *port > 0)
    }

    /// With certificates and the authenticator.
    pub fn settings(&self, around: &Surroundings) -> Result<ServerSettings, String> {
        let mut settings = self.settings.clone();
        settings.drain_timeout = DRAIN_TIMEOUT;
        settings.own_traces = around.telemetry.own_traces().clone();
        settings.connections_max = settings.connections_max.min(around.connections_max);
        if let Some(tls) = &self.tls {
            let tls = ServerTls::new(tls.clone()).map_err(|error| format!("tls: {error}"))?;
            settings.tls = Some(tls);
        }
        if let Some(id) = &self.auth {
            let extension = around.extensions.get(id);
            let extension = extension
                .ok_or_else(|| format!("the extension {id} is not among service::extensions"))?;
            let auth = extension.authenticator().ok_or_else(|| {
                format!("the extension {id} does not check who sends: it is no authenticator")
            })?;
            settings.auth = Some(Auth(auth));
        }
        Ok(settings)
    }

    /// Whether everybody may come who reaches an address: other machines do, and nobody is asked
    /// who he is.
    pub fn is_open(&self, address: &Address) -> bool {
        let knows_clients = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        !address.is_local() && self.auth.is_none() && !knows_clients
    }

    /// Listens.
    pub async fn bind(&self) -> Result<Listener, String> {
        match &self.endpoint {
            Endpoint::Tcp(address) => listen(address, TcpListener::bind).await.map(Listener::from),
            Endpoint::Unix(path) => {
                let bound = Listener::unix(path).await;
                bound.map_err(|error| cannot_listen(&path.display().to_string(), &error))
            }
        }
    }
}

/// Listens by a function that binds to an address.
pub(crate) async fn listen<S, F>(
    endpoint: &str,
    bind: impl Fn(SocketAddr) -> F,
) -> Result<S, String>
where
    F: Future<Output = io::Result<S>>,
{
    bound_to(endpoint, bind).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ => "",
        };
        cannot_listen(endpoint, &error) + hint
    })
}

fn cannot_listen(endpoint: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another process or component listens there",
        _ => "",
    };
    format!("cannot listen on {endpoint}: {error}{hint}")
}

/// Listens where Go would: a name stands for its address of IPv4 if it has one, and no host for all
/// addresses of the machine.
async fn bound_to<S, F>(endpoint: &str, bind: impl Fn(SocketAddr) -> F) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    if let Some(port) = endpoint.strip_prefix(':') {
        let port = port.parse().map_err(io::Error::other)?;
        return match bind((Ipv6Addr::UNSPECIFIED, port).into()).await {
            // A machine without IPv6.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                bind((Ipv4Addr::UNSPECIFIED, port).into()).await
            }
            result => result,
        };
    }
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(endpoint).await?.collect();
    addresses.sort_by_key(|address| !address.is_ipv4());
    match addresses.first() {
        Some(address) => bind(*address).await,
        None => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    }
}

/// `endpoint`: host and port.
pub fn endpoint(reader: &mut Reader<'_, '_>, default: &str) -> Endpoint {
    Endpoint::Tcp(address(reader, default))
}

/// `endpoint` and `transport`: host and port, or the path of a socket.
pub(super) fn endpoint_of(reader: &mut Reader<'_, '_>, default: &str) -> Endpoint {
    let is_unix = reader.field("transport").parsed("tcp or unix", |name| match name {
        "" | "tcp" | "tcp4" | "tcp6" => Ok(false),
        "unix" => Ok(true),
        other => Err(format!("unsupported transport {other:?}: there are tcp and unix")),
    });
    if !is_unix.unwrap_or_default() {
        return endpoint(reader, default);
    }
    let path = reader.field("endpoint").required().parsed("the path of a socket", |path| {
        let is_path = !path.is_empty() && !path.contains("://");
        let wrong = || format!("{path:?} is no path of a socket, like /run/spanfall/otlp.sock");
        if is_path { Ok(PathBuf::from(path)) } else { Err(wrong()) }
    });
    Endpoint::Unix(path.unwrap_or_default())
}

/// `endpoint`: host and port.
pub(super) fn address(reader: &mut Reader<'_, '_>, default: &str) -> String {
    let parse = |text: &str| {
        let wrong = |why: &str| Err(format!("{text:?} is no address to listen on: {why}"));
        if text.contains("://") {
            return wrong("it is written without a scheme, like 0.0.0.0:4317");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("missing port in address");
        };
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return wrong(
                "too many colons in address; IPv6 is written in brackets, like [::]:4317",
            );
        }
        match port.parse::<u16>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => wrong("the port is a number up to 65535"),
        }
    };
    let endpoint = reader.field("endpoint").parsed("host and port", parse);
    endpoint.unwrap_or_else(|| default.to_owned())
}

/// `tls` of a server.
pub fn tls(reader: &mut Reader<'_, '_>) -> Option<TlsServerSettings> {
    reader.field("tls").renamed_from("tls_settings").unless_null().section(|reader| {
        let (min_version, max_version) = versions(reader);
        for key in ["cipher_suites", "curve_preferences"] {
            reader.field(key).strings();
        }
        // All files are read again after `reload_interval`; of clients nothing but `client_ca` is
        // trusted.
        for key in ["client_ca_file_reload", "include_system_ca_certs_pool"] {
            reader.field(key).bool();
        }
        for key in ["ca_file", "ca_pem"] {
            let words = "is for clients; a server that wants certificates of its clients has \
                         client_ca_file";
            reader.refused(key, words);
        }
        let (cert, key) = own_certificate(reader);
        if cert.is_none() || key.is_none() {
            let missing = if cert.is_none() { "cert_file" } else { "key_file" };
            reader.fault(missing, "must be specified: a server needs a certificate and its key");
        }
        TlsServerSettings {
            cert,
            key,
            client_ca: pem(reader, "client_ca_file", "client_ca_pem", Pem::check_authorities),
            min_version,
            max_version,
            reload_interval: reader.field("reload_interval").duration().unwrap_or_default(),
        }
    })
}

/// `auth` of a server.
pub fn auth(reader: &mut Reader<'_, '_>) -> Option<Id> {
    let id = reader.field("auth").section(|reader| {
        if reader.field("request_params").strings().is_some_and(|names| !names.is_empty()) {
            let words = "is not supported: secrets in a URL end up in logs; send them in headers";
            reader.fault("request_params", words);
        }
        let _ = reader.field("authenticator").required();
        id(reader, "authenticator")
    });
    id.flatten()
}

/// A duration that bounds something. Zero means no bound to the Collector; there is always one
/// here, the default.
pub fn limit(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<Duration> {
    reader.field(key).duration().filter(|duration| !duration.is_zero())
}

/// Timeouts of HTTP servers.
pub fn http_timeouts(reader: &mut Reader<'_, '_>, settings: &mut ServerSettings) {
    let head = limit(reader, "read_header_timeout");
    let idle = limit(reader, "idle_timeout");
    // One clock times both here.
    if let Some(longer) = head.max(idle) {
        settings.head_timeout = longer;
    }
    if let Some(whole) = limit(reader, "read_timeout") {
        settings.body_timeout = whole;
    }
    if let Some(write) = limit(reader, "write_timeout") {
        settings.write_timeout = write;
    }
    reader.field("keep_alives_enabled").bool();
    for key in ["keepalive", "middlewares"] {
        reader.field(key).node();
    }
}

/// The CORS keys of HTTP servers. Without them no page may send.
pub fn cors(reader: &mut Reader<'_, '_>) -> crate::receivers::CorsSettings {
    use crate::receivers::{CorsSettings, check_origin};
    let none = || CorsSettings { allowed_origins: Vec::new(), ..CorsSettings::default() };
    for key in ["cors_allowed_origins", "cors_allowed_headers"] {
        reader.removed(key, "write `cors:`, and below it `allowed_origins` and `allowed_headers`");
    }
    let cors = reader.field("cors").section(|reader| {
        let origins = reader.field("allowed_origins").parsed_list(|origin| {
            check_origin(origin).map_err(|error| (error.to_string(), None))?;
            Ok(origin.to_owned())
        });
        let max_age = reader.field("max_age").int(0..=86_400u64);
        CorsSettings {
            allowed_origins: origins.unwrap_or_default(),
            allowed_headers: header_names(reader, "allowed_headers"),
            exposed_headers: header_names(reader, "exposed_headers"),
            // Without it, Go's library sends none, and browsers remember for 5 s.
            max_age: max_age
                .filter(|max| *max > 0)
                .map_or_else(|| Duration::from_secs(5), Duration::from_secs),
        }
    });
    cors.unwrap_or_else(none)
}

fn header_names(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<String> {
    let names = reader.field(key).parsed_list(|name| {
        match name == "*" || http::HeaderName::from_bytes(name.as_bytes()).is_ok() {
            true => Ok(name.to_owned()),
            false => Err((format!("{name:?} is not the name of a header"), None)),
        }
    });
    names.unwrap_or_default()
}
