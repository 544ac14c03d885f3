//! The HTTP client and what its errors mean.

use std::io;
use std::time::Duration;

use ureq::Agent;

use crate::text::io_error;

/// A server that takes longer to accept a connection is as good as gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for one server. It reports 4xx and 5xx as answers, not errors.
pub fn agent(url: &str, timeout: Duration) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(timeout))
        .user_agent(concat!("spanfall/", env!("CARGO_PKG_VERSION")));
    if is_local(url) {
        // A proxy's 127.0.0.1 is not ours.
        config = config.proxy(None);
    }
    config.build().into()
}

/// The host and port of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn is_local(url: &str) -> bool {
    let authority = authority(url);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// The port that a URL names.
pub fn port(url: &str) -> Option<u16> {
    authority(url).rsplit_once(':')?.1.parse().ok()
}

/// True when nothing listens there, rather than something that answers oddly.
pub fn is_nobody(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        ),
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Timeout(timeout) => matches!(timeout, ureq::Timeout::Connect),
        _ => false,
    }
}

/// An error in our words, without its kind in front.
pub fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => io_error(error),
        ureq::Error::HostNotFound => "no such host".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Protocol(error) => format!("the answer is not HTTP/1.1: {error}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (url, local, named) in [
            ("http://127.0.0.1:4318/v1/traces", true, Some(4318)),
            ("http://127.8.0.1", true, None),
            ("http://localhost/", true, None),
            ("http://[::1]:16686", true, Some(16686)),
            ("https://user:secret@spans.example:443/x?y", false, Some(443)),
            ("http://10.0.0.1:80", false, Some(80)),
        ] {
            assert_eq!(is_local(url), local, "{url}");
            assert_eq!(port(url), named, "{url}");
        }
    }
}
