//! The two sides of a call, out of attributes.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::Value as Json;

use super::span::{Endpoint, Kind, Span};

/// The attribute that names the other side, whoever records the span.
pub const PEER_SERVICE: &str = "peer.service";

/// What may stand for the other side of a call.
enum Rank {
    /// A name.
    Name(&'static str),
    /// An address and its port.
    Address(&'static str, &'static str),
}

/// The table "Remote endpoint" of the specification, best first.
const RANKS: [Rank; 11] = [
    Rank::Name(PEER_SERVICE),
    Rank::Name("server.address"),
    Rank::Name("net.peer.name"),
    Rank::Address("network.peer.address", "network.peer.port"),
    Rank::Name("server.socket.domain"),
    Rank::Address("server.socket.address", "server.socket.port"),
    Rank::Name("net.sock.peer.name"),
    Rank::Address("net.sock.peer.addr", "net.sock.peer.port"),
    Rank::Name("peer.hostname"),
    Rank::Name("peer.address"),
    Rank::Name("db.name"),
];

/// Every attribute whose value may become the name of a remote service.
pub const NAME_KEYS: [&str; 11] = [
    PEER_SERVICE,
    "server.address",
    "net.peer.name",
    "network.peer.address",
    "server.socket.domain",
    "server.socket.address",
    "net.sock.peer.name",
    "net.sock.peer.addr",
    "peer.hostname",
    "peer.address",
    "db.name",
];

/// Where the other side's IP address may be; the last is what Zipkin's own addresses become.
const REMOTE_ADDRESSES: [(&str, &str); 4] = [
    ("network.peer.address", "network.peer.port"),
    ("server.socket.address", "server.socket.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
    (NET_PEER_IP, NET_PEER_PORT),
];

/// Where the recorder's own IP address may be.
const LOCAL_ADDRESSES: [(&str, &str); 3] = [
    ("network.local.address", "network.local.port"),
    ("net.sock.host.addr", "net.sock.host.port"),
    (NET_HOST_IP, NET_HOST_PORT),
];

const NET_PEER_IP: &str = "net.peer.ip";
const NET_PEER_PORT: &str = "net.peer.port";
const NET_HOST_IP: &str = "net.host.ip";
const NET_HOST_PORT: &str = "net.host.port";

/// The recorder: its service, and its address where tags tell it.
pub(super) fn local<'a>(span: &Span<'a>, service: Cow<'a, str>) -> Endpoint<'a> {
    let mut endpoint = Endpoint { service_name: Some(service), ..Endpoint::default() };
    add_address(&mut endpoint, span, &LOCAL_ADDRESSES);
    endpoint
}

/// The other side, where tags tell it.
pub(super) fn remote<'a>(span: &Span<'a>) -> Option<Endpoint<'a>> {
    let calls = matches!(span.kind, Some(Kind::Client | Kind::Producer));
    // Who is called names itself to nobody else: for the others, one attribute is made for this.
    let ranks = if calls { &RANKS[..] } else { &RANKS[..1] };
    let mut endpoint = Endpoint::default();
    for rank in ranks {
        match rank {
            Rank::Name(key) => endpoint.service_name = value(span, key),
            Rank::Address(key, port) => {
                // A host's name or a socket's path is a name.
                if !set_address(&mut endpoint, span, key, port) {
                    endpoint.service_name = value(span, key);
                }
            }
        }
        if endpoint != Endpoint::default() {
            break;
        }
    }
    if endpoint.ipv4.is_none() && endpoint.ipv6.is_none() {
        add_address(&mut endpoint, span, &REMOTE_ADDRESSES);
    }
    (endpoint != Endpoint::default()).then_some(endpoint)
}

fn value<'a>(span: &Span<'a>, key: &str) -> Option<Cow<'a, str>> {
    span.tags.get(key).map(|value| value.0.clone()).filter(|text| !text.is_empty())
}

fn add_address<'a>(endpoint: &mut Endpoint<'a>, span: &Span<'a>, keys: &[(&str, &str)]) {
    let _ = keys.iter().any(|(address, port)| set_address(endpoint, span, address, port));
}

/// Sets address and port; false where there is no address.
fn set_address<'a>(
    endpoint: &mut Endpoint<'a>,
    span: &Span<'a>,
    address: &str,
    port: &str,
) -> bool {
    let Some(text) = value(span, address) else { return false };
    match text.parse() {
        Ok(IpAddr::V4(_)) => endpoint.ipv4 = Some(text),
        Ok(IpAddr::V6(_)) => endpoint.ipv6 = Some(text),
        Err(_) => return false,
    }
    let port = span.tag(port).and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    endpoint.port = port.map(u64::from);
    true
}

/// The attributes that the endpoints of a span from Zipkin become: `peer.service` and the
/// addresses, where no tag tells the same.
pub(super) fn attributes(span: &Span<'_>) -> Vec<(&'static str, Json)> {
    let mut out = Vec::new();
    if let Some(local) = &span.local_endpoint {
        address(&mut out, span, local, &LOCAL_ADDRESSES, (NET_HOST_IP, NET_HOST_PORT));
    }
    if let Some(remote) = &span.remote_endpoint {
        let name = remote.service_name.as_deref().filter(|name| !name.is_empty());
        if let (Some(name), None) = (name, span.tag(PEER_SERVICE)) {
            out.push((PEER_SERVICE, Json::from(name)));
        }
        address(&mut out, span, remote, &REMOTE_ADDRESSES, (NET_PEER_IP, NET_PEER_PORT));
    }
    out
}

fn address(
    out: &mut Vec<(&'static str, Json)>,
    span: &Span<'_>,
    endpoint: &Endpoint<'_>,
    known: &[(&str, &str)],
    (ip_key, port_key): (&'static str, &'static str),
) {
    let ip = endpoint.ipv4.as_deref().or(endpoint.ipv6.as_deref()).filter(|ip| !ip.is_empty());
    let told = ip.is_some() && known.iter().any(|(key, _)| span.tag(key) == ip);
    if told {
        return;
    }
    if let (Some(ip), None) = (ip, span.tag(ip_key)) {
        out.push((ip_key, Json::from(ip)));
    }
    if let (Some(port), None) = (endpoint.port.filter(|port| *port > 0), span.tag(port_key)) {
        out.push((port_key, Json::from(port)));
    }
}
