//! What can be set on a receiver, as plain values. Reading them from YAML is another crate's work.

use std::time::Duration;

use super::auth::Auth;
use crate::net::ServerTls;
use crate::telemetry::OwnTraces;

/// Limits of a server, for HTTP and gRPC alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Largest request in bytes, as sent and once more after decompression. Default 64 MiB: the
    /// specification recommends 20 MiB (HTTP) and 4 MiB (gRPC), which SDKs and Collectors with large
    /// batches overstep and which then loses data. A budget of less than twice this lowers it to
    /// half of the budget, so that any single request fits.
    pub request_bytes_max: usize,
    /// How long a connection may wait for the whole head of a request, idle time between requests
    /// included. Default 75 s: longer than the once-a-minute exports of SDKs, so that these do not
    /// run into a connection about to close.
    pub head_timeout: Duration,
    /// How long the whole body of a request may take. Default 30 s.
    pub body_timeout: Duration,
    /// How long a client may leave an answer unread that it asked for; the connection is closed
    /// then. Default 30 s.
    pub write_timeout: Duration,
    /// Open connections; further ones are turned away at once, with 503, and counted. Default
    /// 4,096.
    pub connections_max: usize,
    /// Concurrent requests on an HTTP/2 connection. Default 256.
    pub concurrent_streams_max: u32,
    /// How often a ping probes an HTTP/2 connection. Default 30 s.
    pub keepalive_interval: Duration,
    /// How long an HTTP/2 connection may leave a ping unanswered. Default 20 s.
    pub keepalive_timeout: Duration,
    /// Over HTTP/1.1: whether who has closed his half of a connection still gets an answer. Who has
    /// gone altogether cannot be told from him until something is written, so that work for him
    /// goes on: good for receivers, not for queries. Default true.
    pub answers_half_closed: bool,
    /// How long requests in flight may take after shutdown began. Default 10 s.
    pub drain_timeout: Duration,
    /// The delay asked of a client that met a full [`super::ByteBudget`]. Default 1 s.
    pub busy_retry_after: Duration,
    /// TLS, and mTLS; the handshake has to be done within 10 s. Default none.
    pub tls: Option<ServerTls>,
    /// Who may send. Asked before a request's body is read. Default everybody.
    pub auth: Option<Auth>,
    /// Hands the headers of requests on to the pipeline. Default false.
    pub include_metadata: bool,
    /// How old a connection may become before it is asked to end, so that clients spread anew over
    /// several servers. Default none.
    pub connection_age_max: Option<Duration>,
    /// How long its requests may take from then on. Default none: as long as they take.
    pub connection_age_grace: Option<Duration>,
    /// Where the work for requests leaves spans. Default nowhere.
    pub own_traces: OwnTraces,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            request_bytes_max: 64 << 20,
            head_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            connections_max: 4096,
            concurrent_streams_max: 256,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            answers_half_closed: true,
            drain_timeout: Duration::from_secs(10),
            busy_retry_after: Duration::from_secs(1),
            tls: None,
            auth: None,
            include_metadata: false,
            connection_age_max: None,
            connection_age_grace: None,
            own_traces: OwnTraces::default(),
        }
    }
}

/// Which web pages may send spans (Fetch standard, "CORS protocol").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsSettings {
    /// Origins such as `https://shop.example`. A `*` stands for any text; a trailing `:*` for any
    /// port or none. Default: `localhost`, `127.0.0.1` and `[::1]` over HTTP and HTTPS on any port,
    /// which is where a page under development lives. An empty list allows no page.
    pub allowed_origins: Vec<String>,
    /// Headers that pages may send besides those that need no leave. Empty: what they ask for.
    pub allowed_headers: Vec<String>,
    /// Headers of answers that pages may read, besides `retry-after`.
    pub exposed_headers: Vec<String>,
    /// How long a browser may remember the answer to a preflight. Default 2 h, the most that
    /// browsers honour.
    pub max_age: Duration,
}

impl Default for CorsSettings {
    fn default() -> Self {
        let hosts = ["localhost", "127.0.0.1", "[::1]"];
        Self {
            allowed_origins: hosts
                .iter()
                .flat_map(|host| [format!("http://{host}:*"), format!("https://{host}:*")])
                .collect(),
            allowed_headers: Vec::new(),
            exposed_headers: Vec::new(),
            max_age: Duration::from_secs(7200),
        }
    }
}
