//! `bearertokenauth`: tokens (RFC 6750), for both ends at once.

use std::fmt;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq};
use tokio::time::Instant;

use crate::component::{Extension, Running};
use crate::net::ClientAuth;
use crate::receivers::Authenticator;

/// More of a file is not read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where tokens come from.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// As they stand in the configuration.
    Given(Vec<String>),
    /// One a line; read again when the file has changed.
    File(PathBuf),
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(tokens) => write!(f, "Given({} tokens)", tokens.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// Settings of [`BearerToken`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerTokenSettings {
    /// The header. Default `authorization`.
    pub header: HeaderName,
    /// What stands in front of the token; empty: nothing. Default `Bearer`.
    pub scheme: String,
    /// Any of the tokens is taken; the first is sent.
    pub source: TokenSource,
}

impl BearerTokenSettings {
    /// The defaults, with tokens.
    pub fn new(source: TokenSource) -> Self {
        Self { header: AUTHORIZATION, scheme: "Bearer".to_owned(), source }
    }
}

/// The extension.
#[derive(Debug)]
pub struct BearerToken {
    tokens: Arc<Tokens>,
}

impl BearerToken {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or holds no token, a token that no header can hold.
    pub fn new(settings: BearerTokenSettings) -> Result<Self, String> {
        let tokens = Tokens { settings, read: Mutex::default() };
        tokens.header()?;
        Ok(Self { tokens: Arc::new(tokens) })
    }
}

#[async_trait]
impl Running for BearerToken {
    async fn stop(&self, _: Instant) -> u64 {
        0
    }

    fn problem(&self) -> Option<String> {
        self.tokens.get().err()
    }
}

impl Extension for BearerToken {
    fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        Some(self.tokens.clone())
    }

    fn client_auth(&self) -> Option<Arc<dyn ClientAuth>> {
        Some(self.tokens.clone())
    }
}

/// What tells one version of a file from another.
type Version = (u64, u64, i64, i64, u64);

fn version(metadata: &Metadata) -> Version {
    (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

struct Tokens {
    settings: BearerTokenSettings,
    /// The file as it was read last.
    read: Mutex<Option<(Version, Arc<[String]>)>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl Tokens {
    /// The tokens now. To ask for a file's version takes a microsecond, which every request can
    /// spend; so a token that was taken back is not taken a moment longer.
    fn get(&self) -> Result<Arc<[String]>, String> {
        let path = match &self.settings.source {
            TokenSource::Given(tokens) => return Ok(tokens.as_slice().into()),
            TokenSource::File(path) => path,
        };
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = fs::File::open(path).map_err(told)?;
        let version = version(&file.metadata().map_err(told)?);
        let mut read = self.read.lock();
        if let Some((known, tokens)) = &*read
            && *known == version
        {
            return Ok(Arc::clone(tokens));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(told)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let tokens: Arc<[String]> = lines.map(str::to_owned).collect();
        if tokens.is_empty() {
            return Err(format!("{}: there is no token in it", path.display()));
        }
        *read = Some((version, Arc::clone(&tokens)));
        Ok(tokens)
    }

    /// What is behind the scheme, if that is right.
    fn token<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let scheme = self.settings.scheme.as_bytes();
        if scheme.is_empty() {
            return Some(value);
        }
        let (own, rest) = value.split_at_checked(scheme.len())?;
        let (space, token) = rest.split_first()?;
        (own.eq_ignore_ascii_case(scheme) && *space == b' ').then_some(token)
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn check(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String> {
        let header = &self.settings.header;
        let value = headers.get(header).ok_or_else(|| format!("missing header {header}"))?;
        let tokens = self.get().map_err(|error| {
            tracing::warn!(%error, "nobody can be let in without tokens");
            "no token can be checked now".to_owned()
        })?;
        let given = self.token(value.as_bytes()).unwrap_or_default();
        // All are compared, so that the time tells nothing of which one was near.
        let none = Choice::from(0);
        let found = tokens.iter().fold(none, |found, own| found | own.as_bytes().ct_eq(given));
        match bool::from(found) && !given.is_empty() {
            true => Ok(Vec::new()),
            false => Err("the token is not valid here".to_owned()),
        }
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_str(&self.settings.scheme)
            .ok()
            .filter(|value| !value.is_empty())
            .unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

impl ClientAuth for Tokens {
    fn header(&self) -> Result<(HeaderName, HeaderValue), String> {
        let tokens = self.get()?;
        let token = tokens.first().ok_or("there is no token")?;
        let text = match self.settings.scheme.as_str() {
            "" => token.clone(),
            scheme => format!("{scheme} {token}"),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the token has characters that a header cannot have")?;
        value.set_sensitive(true);
        Ok((self.settings.header.clone(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        headers
    }

    fn given(tokens: &[&str]) -> BearerTokenSettings {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        BearerTokenSettings::new(TokenSource::Given(tokens))
    }

    #[tokio::test]
    async fn whose_token_is_among_them_may_send() {
        let bare = BearerTokenSettings { scheme: String::new(), ..given(&["abc"]) };
        for (settings, value, is_right) in [
            (given(&["abc"]), "Bearer abc", true),
            (given(&["abc"]), "bearer abc", true),
            (given(&["abc", "def"]), "Bearer def", true),
            (given(&["abc"]), "Bearer ab", false),
            (given(&["abc"]), "Bearer abcd", false),
            (given(&["abc"]), "Bearer ", false),
            (given(&["abc"]), "Bearer", false),
            (given(&["abc"]), "abc", false),
            (given(&["abc"]), "Bearer\tabc", false),
            (given(&["abc"]), "Basic abc", false),
            (bare.clone(), "abc", true),
            (bare, "Bearer abc", false),
        ] {
            let auth = BearerToken::new(settings.clone()).unwrap().authenticator().unwrap();
            assert_eq!(auth.check(&headers(value)).await.is_ok(), is_right, "{settings:?} {value}");
            assert!(auth.check(&HeaderMap::new()).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let settings = BearerTokenSettings::new(TokenSource::File(path.clone()));
        assert!(BearerToken::new(settings.clone()).unwrap_err().contains("token"));
        fs::write(&path, "\n").unwrap();
        assert!(BearerToken::new(settings.clone()).unwrap_err().contains("no token in it"));

        fs::write(&path, "one\n").unwrap();
        let extension = BearerToken::new(settings).unwrap();
        let (server, client) =
            (extension.authenticator().unwrap(), extension.client_auth().unwrap());
        assert_eq!(client.header().unwrap().1, "Bearer one");
        assert!(server.check(&headers("Bearer one")).await.is_ok());

        // As secrets are changed by those who care: another file in its place.
        fs::write(folder.path().join("new"), "two\nthree\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(client.header().unwrap().1, "Bearer two");
        for (token, is_right) in [("one", false), ("two", true), ("three", true)] {
            let found = server.check(&headers(&format!("Bearer {token}"))).await;
            assert_eq!(found.is_ok(), is_right, "{token}");
        }

        fs::remove_file(&path).unwrap();
        assert!(client.header().is_err());
        assert!(server.check(&headers("Bearer two")).await.is_err());
        assert!(extension.problem().is_some());
    }

    #[test]
    fn secrets_are_not_shown() {
        let extension = BearerToken::new(given(&["hunter2"])).unwrap();
        let client = extension.client_auth().unwrap();
        let shown = format!("{extension:?} {client:?} {:?}", client.header().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        let error = BearerToken::new(given(&["hunter2\n"])).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
