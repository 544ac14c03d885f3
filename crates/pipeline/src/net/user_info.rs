//! A user and his password in a URL, as Go's client takes them: they go into a header, and not to
//! whoever reads the name of the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::Authority;
use http::{HeaderValue, Uri};

/// A URL without them, and the `Authorization` that they come to (RFC 7617).
pub(super) fn split(uri: Uri) -> (Uri, Option<HeaderValue>) {
    let named = uri.authority().and_then(|own| own.as_str().rsplit_once('@'));
    let Some((user, host)) = named else { return (uri, None) };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let both = [&decoded(user)[..], b":", &decoded(password)].concat();
    let header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(both)));
    let header = header.ok().map(|mut header| {
        header.set_sensitive(true);
        header
    });
    let host = Authority::try_from(host);
    let mut parts = uri.clone().into_parts();
    parts.authority = host.ok();
    (Uri::from_parts(parts).unwrap_or(uri), header)
}

/// Undoes percent-encoding (RFC 3986, section 2.1). What is none stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = (first == b'%').then(|| behind.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_in_a_url_becomes_a_header() {
        for (url, without, user) in [
            ("http://host:1/x", "http://host:1/x", None),
            ("http://user:pass@host:1/x?y", "http://host:1/x?y", Some("user:pass")),
            ("https://user@[::1]:1/", "https://[::1]:1/", Some("user:")),
            ("http://a%40b:p%3Aw%@host/", "http://host/", Some("a@b:p:w%")),
        ] {
            let (uri, header) = split(url.parse().unwrap());
            assert_eq!(uri.to_string(), without);
            let expected = user.map(|user| format!("Basic {}", STANDARD.encode(user)));
            let header = header.as_ref().map(|header| header.to_str().unwrap());
            assert_eq!(header, expected.as_deref(), "{url}");
        }
    }
}
