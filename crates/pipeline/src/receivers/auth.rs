//! Who may send, and what a pipeline hears of who sends.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::Client;

/// Values of headers that are kept of one request, and their bytes together with the names. What
/// is beyond is left out: it would be held as long as the request's spans wait in a queue.
const METADATA_VALUES_MAX: usize = 128;
const METADATA_BYTES_MAX: usize = 32 << 10;

/// Looks at a request's headers before its body is read.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// What is known of the sender, such as `subject`.
    ///
    /// # Errors
    ///
    /// Why he may not send, in words that give no secret away.
    async fn check(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String>;

    /// How to prove who one is (`WWW-Authenticate`, RFC 9110 11.6.1).
    fn challenge(&self) -> HeaderValue;
}

/// An authenticator as a setting: equal to its clones.
#[derive(Clone)]
pub struct Auth(pub Arc<dyn Authenticator>);

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

impl PartialEq for Auth {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Auth {}

/// Finds out who sends.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) auth: Option<Auth>,
    pub(crate) include_metadata: bool,
}

impl Identity {
    /// Who sends a request. All requests of a connection share what is known of it, unless there is
    /// more to say of each.
    pub(crate) async fn of(
        &self,
        request: &Parts,
        connection: &Arc<Client>,
    ) -> Result<Arc<Client>, String> {
        if self.auth.is_none() && !self.include_metadata {
            return Ok(Arc::clone(connection));
        }
        let auth = match &self.auth {
            Some(auth) => auth.0.check(&request.headers).await?,
            None => Vec::new(),
        };
        let metadata = match self.include_metadata {
            true => metadata(&request.headers),
            false => Vec::new(),
        };
        Ok(Arc::new(Client { address: connection.address, metadata, auth }))
    }
}

/// What is known of a connection before its first request.
pub(crate) fn connected(address: Option<SocketAddr>) -> Arc<Client> {
    Arc::new(Client { address, ..Client::default() })
}

/// The headers that are text; their names are in lower case already.
fn metadata(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut bytes = 0;
    let texts =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    texts
        .take(METADATA_VALUES_MAX)
        .take_while(|(name, value)| {
            bytes += name.len() + value.len();
            bytes <= METADATA_BYTES_MAX
        })
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_bounded_and_text() {
        let mut headers = HeaderMap::new();
        headers.append("X-Tenant", HeaderValue::from_static("a"));
        headers.append("x-tenant", HeaderValue::from_static("b"));
        headers.append("x-odd", HeaderValue::from_bytes(&[0xff]).unwrap());
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(metadata(&headers), [own("x-tenant", "a"), own("x-tenant", "b")]);

        for index in 0..METADATA_VALUES_MAX {
            headers.append("x-many", HeaderValue::from(index));
        }
        assert_eq!(metadata(&headers).len(), METADATA_VALUES_MAX);

        let mut headers = HeaderMap::new();
        let long = "x".repeat(METADATA_BYTES_MAX - "x-a".len());
        headers.append("x-a", HeaderValue::from_str(&long).unwrap());
        assert_eq!(metadata(&headers).len(), 1);
        headers.append("x-b", HeaderValue::from_static(""));
        assert_eq!(metadata(&headers).len(), 1);
    }
}
