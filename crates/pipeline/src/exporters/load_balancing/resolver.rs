//! Where endpoints come from.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

/// `resolver`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// `static`: these; port 4317 where none is named.
    Static {
        /// As they are; the ring is made of this very text.
        hostnames: Vec<String>,
    },
    /// `dns`: all addresses of a name, asked for again and again.
    Dns {
        /// The name.
        hostname: String,
        /// Default 4317.
        port: u16,
        /// Default 5 s.
        interval: Duration,
        /// Default 1 s.
        timeout: Duration,
    },
}

impl Resolver {
    /// `dns` with the defaults.
    pub fn dns(hostname: impl Into<String>) -> Self {
        Self::Dns {
            hostname: hostname.into(),
            port: 4317,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
        }
    }

    /// The endpoints now; never an empty list.
    pub(super) async fn resolve(&self) -> io::Result<Vec<String>> {
        let found: Vec<String> = match self {
            Self::Static { hostnames } => hostnames.clone(),
            Self::Dns { hostname, port, timeout: limit, .. } => {
                let lookup = tokio::net::lookup_host((hostname.as_str(), *port));
                let found = timeout(*limit, lookup).await.map_err(|_| {
                    let seconds = limit.as_secs_f64();
                    let reason = format!("no answer came within {seconds} s");
                    io::Error::new(io::ErrorKind::TimedOut, reason)
                })??;
                found.map(|address| address.to_string()).collect()
            }
        };
        if found.is_empty() {
            return Err(io::Error::other("there are no endpoints"));
        }
        Ok(found)
    }

    /// How long until it is asked again.
    pub(super) fn interval(&self) -> Option<Duration> {
        match self {
            Self::Static { .. } => None,
            Self::Dns { interval, .. } => Some((*interval).max(Duration::from_millis(10))),
        }
    }
}

/// An endpoint with its port. IPv6 addresses stand in brackets.
pub(super) fn with_port(endpoint: &str) -> String {
    if endpoint.contains(':') { endpoint.to_owned() } else { format!("{endpoint}:4317") }
}
