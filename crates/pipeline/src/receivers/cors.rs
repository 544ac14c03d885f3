//! Cross-origin requests, as browsers' OTLP exporters make them.
//!
//! Source: Fetch standard, "CORS protocol". `navigator.sendBeacon`, which older exporters use, sends
//! credentials, so the answer names the origin (never `*`) and allows credentials; there are none
//! to steal, as no cookie means anything here.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::settings::CorsSettings;

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// A pattern that no origin can match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no origin; write scheme and host, and the port where there is one, without a path: \
     https://shop.example, https://*.shop.example, http://localhost:*, or * for any"
)]
pub struct OriginError(String);

/// Refuses a pattern that is no origin (RFC 6454 section 6.2), but for its `*`.
pub fn check_origin(pattern: &str) -> Result<(), OriginError> {
    let is_origin = || {
        if pattern == "*" || pattern == "null" {
            return true;
        }
        let Some((scheme, rest)) = pattern.split_once("://") else { return false };
        let (host, port) = match rest.rsplit_once(':') {
            // The last colon of a bare IPv6 address is not that of a port.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let is_name = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || more.contains(c))
        };
        let is_port = |port: &str| port == "*" || port.parse::<u16>().is_ok();
        let is_host = match host.strip_prefix('[') {
            Some(address) => address
                .strip_suffix(']')
                .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
            None => is_name(host, "*-._"),
        };
        is_name(scheme, "*+-.") && is_host && port.is_none_or(is_port)
    };
    if is_origin() { Ok(()) } else { Err(OriginError(pattern.to_owned())) }
}

/// Decides about origins and writes the headers.
#[derive(Debug)]
pub(crate) struct Cors {
    patterns: Vec<String>,
    max_age: HeaderValue,
    /// None: what a page asks for.
    allowed_headers: Option<HeaderValue>,
    exposed_headers: HeaderValue,
}

impl Cors {
    pub(crate) fn new(settings: &CorsSettings) -> Self {
        let patterns = settings.allowed_origins.iter();
        let exposed = settings.exposed_headers.iter().map(String::as_str);
        let exposed: Vec<&str> = ["retry-after"].into_iter().chain(exposed).collect();
        let is_any = settings.allowed_headers.iter().any(|name| name == "*");
        let allowed = ["content-type"].into_iter();
        let allowed: Vec<&str> =
            allowed.chain(settings.allowed_headers.iter().map(String::as_str)).collect();
        let list = |names: Vec<&str>| HeaderValue::from_str(&names.join(", ")).ok();
        Self {
            patterns: patterns.map(|origin| origin.to_ascii_lowercase()).collect(),
            max_age: HeaderValue::from(settings.max_age.as_secs()),
            allowed_headers: match settings.allowed_headers.is_empty() || is_any {
                true => None,
                false => list(allowed),
            },
            exposed_headers: list(exposed).unwrap_or(HeaderValue::from_static("retry-after")),
        }
    }

    /// The request's origin, if it has one and it is allowed.
    pub(crate) fn allowed<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = request.get(ORIGIN)?;
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.patterns.iter().any(|pattern| matches(pattern, &text)).then_some(origin)
    }

    /// Adds what a page of this origin needs to read an answer.
    pub(crate) fn allow(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed_headers.clone());
        answer.entry(VARY).or_insert(HeaderValue::from_static("origin"));
    }

    /// Adds what allows the request that a preflight announces.
    pub(crate) fn allow_preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let headers = request
            .get(ACCESS_CONTROL_REQUEST_HEADERS)
            .map(|asked| self.allowed_headers.as_ref().unwrap_or(asked).clone())
            .unwrap_or(HeaderValue::from_static("content-type"));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        if request.contains_key(REQUEST_PRIVATE_NETWORK) {
            answer.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        answer.insert(
            VARY,
            HeaderValue::from_static(
                "origin, access-control-request-method, access-control-request-headers",
            ),
        );
    }
}

/// True for the question that a browser asks before the request itself.
pub(crate) fn is_preflight(request: &http::request::Parts) -> bool {
    request.method == http::Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn matches(pattern: &str, origin: &str) -> bool {
    let Some(host) = pattern.strip_suffix(":*") else {
        return glob(pattern, origin);
    };
    // Digits alone, lest `http://localhost:*` allow `http://localhost:80.evil.example`.
    let is_port =
        |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    glob(host, origin)
        || matches!(origin.rsplit_once(':'), Some((rest, port)) if is_port(port) && glob(host, rest))
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(prefix) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let suffix = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(suffix)
}

#[cfg(test)]
mod tests {
    use super::{check_origin, matches};

    #[test]
    fn what_is_no_origin_is_refused() {
        for (pattern, good) in [
            ("https://shop.example", true),
            ("https://shop.example:8443", true),
            ("https://*.shop.example:*", true),
            ("http://localhost:*", true),
            ("http://[::1]:5173", true),
            ("http://[::1]", true),
            ("chrome-extension://abcdef", true),
            ("*", true),
            ("null", true),
            ("", false),
            ("shop.example", false),
            ("shop.example:8080", false),
            ("https://", false),
            ("https://shop.example/", false),
            ("https://shop.example/path", false),
            ("https://shop.example:port", false),
            ("https://shop.example:99999", false),
            ("https://shop.example:", false),
            ("https://a b", false),
            ("https://user@shop.example", false),
            ("http://::1", false),
            ("http://[::g]", false),
            ("://shop.example", false),
            ("https://a.example, https://b.example", false),
        ] {
            assert_eq!(check_origin(pattern).is_ok(), good, "{pattern}");
        }
        for pattern in super::CorsSettings::default().allowed_origins {
            assert_eq!(check_origin(&pattern), Ok(()));
        }
    }

    #[test]
    fn origins_against_patterns() {
        for (pattern, origin, expected) in [
            ("http://localhost:*", "http://localhost:3000", true),
            ("http://localhost:*", "http://localhost", true),
            ("http://localhost:*", "https://localhost:3000", false),
            ("http://localhost:*", "http://localhost.evil.example", false),
            ("http://localhost:*", "http://localhost:80.evil.example", false),
            ("http://localhost:*", "http://localhost:", false),
            ("http://localhost:*", "http://localhost:123456", false),
            ("http://[::1]:*", "http://[::1]:5173", true),
            ("https://*.shop.example", "https://a.b.shop.example", true),
            ("https://*.shop.example", "https://shop.example", false),
            ("https://*.shop.example", "https://ashop.example", false),
            ("https://*.shop.example:*", "https://a.shop.example:8443", true),
            ("https://a*b*c.example", "https://axbxc.example", true),
            ("https://a*b*c.example", "https://acb.example", false),
            ("*", "null", true),
            ("", "http://localhost", false),
        ] {
            assert_eq!(matches(pattern, origin), expected, "{pattern} {origin}");
        }
    }
}
