//! `basicauth`: names and passwords (RFC 7617), for both ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::component::{Extension, Running};
use crate::net::ClientAuth;
use crate::receivers::Authenticator;

/// Passwords that are hashed at once: each takes some 50 ms of a core, which a stranger can ask
/// for.
const HASHING_MAX: usize = 2;
/// Remembered proofs. More users than that hash with every request.
const PROVEN_MAX: usize = 1024;
/// A hash of this cost takes 5 s.
const BCRYPT_COST_MAX: u32 = 16;
/// How other hashes begin. They are weak, or need more code than they are worth; and what they
/// protect must not be taken for a plain password.
const FOREIGN: [&str; 6] = ["$apr1$", "$1$", "$5$", "$6$", "{SHA}", "{SSHA}"];

#[derive(Clone, PartialEq, Eq)]
enum Stored {
    Plain(String),
    Bcrypt(String),
}

/// Users and their passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Htpasswd {
    users: HashMap<String, Stored>,
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htpasswd({} users)", self.users.len())
    }
}

impl Htpasswd {
    /// Adds lines `user:password`, the password plain or hashed with bcrypt; of several lines of a
    /// user the last counts. Empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    ///
    /// The number of the line and what is wrong with it, without its text.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let told = |why: &str| Err(format!("line {}: {why}", number + 1));
            let Some((user, password)) = line.split_once(':') else {
                return told("there is no colon between user and password");
            };
            if user.is_empty() || password.is_empty() {
                return told("user and password must not be empty");
            }
            if FOREIGN.iter().any(|mark| password.starts_with(mark)) {
                return told("passwords are plain or hashed with bcrypt (`htpasswd -B`)");
            }
            let is_bcrypt =
                ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|v| password.starts_with(v));
            let stored = match is_bcrypt {
                false => Stored::Plain(password.to_owned()),
                true => {
                    let cost = password.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
                    let well_made = password.len() == 60 && password.is_ascii();
                    match cost {
                        Some(4..=BCRYPT_COST_MAX) if well_made => {
                            Stored::Bcrypt(password.to_owned())
                        }
                        Some(cost) if well_made && cost > BCRYPT_COST_MAX => {
                            return told("the cost of the hash is above 16: it would take minutes");
                        }
                        _ => return told("the hash is no hash of bcrypt"),
                    }
                }
            };
            self.users.insert(user.to_owned(), stored);
        }
        Ok(())
    }

    /// Adds the users of another, who take the place of those of the same name.
    pub fn merge(&mut self, other: &Self) {
        self.users.extend(other.users.clone());
    }

    fn any_hash(&self) -> Option<&Stored> {
        self.users.values().find(|stored| matches!(stored, Stored::Bcrypt(_)))
    }

    /// No user.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// The name and password that a client sends.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicClient {
    header: HeaderValue,
}

impl BasicClient {
    /// For a user.
    ///
    /// # Errors
    ///
    /// A colon in the user's name.
    pub fn new(user: &str, password: &str) -> Result<Self, String> {
        if user.contains(':') {
            return Err("the username must not have a colon".to_owned());
        }
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        let mut header = HeaderValue::from_str(&format!("Basic {encoded}"))
            .map_err(|error| error.to_string())?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}

impl fmt::Debug for BasicClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicClient")
    }
}

impl ClientAuth for BasicClient {
    fn header(&self) -> Result<(HeaderName, HeaderValue), String> {
        Ok((AUTHORIZATION, self.header.clone()))
    }
}

/// The extension: one end or the other.
pub struct BasicAuth {
    server: Option<Arc<Checker>>,
    client: Option<Arc<BasicClient>>,
}

impl BasicAuth {
    /// Checks who sends.
    pub fn server(users: Htpasswd) -> Self {
        let checker = Checker {
            users,
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
            proven: Mutex::default(),
        };
        Self { server: Some(Arc::new(checker)), client: None }
    }

    /// Says who we are.
    pub fn client(client: BasicClient) -> Self {
        Self { server: None, client: Some(Arc::new(client)) }
    }
}

#[async_trait]
impl Running for BasicAuth {
    async fn stop(&self, _: Instant) -> u64 {
        0
    }
}

impl Extension for BasicAuth {
    fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        self.server.clone().map(|own| own as Arc<dyn Authenticator>)
    }

    fn client_auth(&self) -> Option<Arc<dyn ClientAuth>> {
        self.client.clone().map(|own| own as Arc<dyn ClientAuth>)
    }
}

struct Checker {
    users: Htpasswd,
    hashing: Arc<Semaphore>,
    /// Digests of headers that proved right, by user: bcrypt is slow by intention, and requests are
    /// many.
    proven: Mutex<HashMap<String, [u8; 32]>>,
}

/// The same for a wrong user and a wrong password.
const WRONG: &str = "invalid user or password";

impl Checker {
    async fn is_right(&self, user: &str, password: String) -> bool {
        let known = self.users.users.get(user);
        let is_known = known.is_some();
        // An unknown user takes as long as a wrong password, lest the time tell who there is.
        let hash = match known.or_else(|| self.users.any_hash()) {
            None => return false,
            Some(Stored::Plain(own)) => return own.as_bytes().ct_eq(password.as_bytes()).into(),
            Some(Stored::Bcrypt(hash)) => hash.clone(),
        };
        let proof: [u8; 32] = Sha256::digest(password.as_bytes()).into();
        if self.proven.lock().get(user).is_some_and(|own| own.ct_eq(&proof).into()) {
            return true;
        }
        let Ok(_permit) = self.hashing.acquire().await else { return false };
        let verify = move || bcrypt::verify(password, &hash).unwrap_or(false);
        let is_right = tokio::task::spawn_blocking(verify).await.unwrap_or(false) && is_known;
        if is_right {
            let mut proven = self.proven.lock();
            if proven.len() < PROVEN_MAX {
                proven.insert(user.to_owned(), proof);
            }
        }
        is_right
    }
}

#[async_trait]
impl Authenticator for Checker {
    async fn check(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String> {
        let header = headers.get(AUTHORIZATION).ok_or("no basic auth provided")?;
        let wrong_form = "the authorization is not that of basic auth";
        let text = header.to_str().map_err(|_| wrong_form)?;
        let (scheme, encoded) = text.split_once(' ').ok_or(wrong_form)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(wrong_form.to_owned());
        }
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| wrong_form)?;
        let decoded = String::from_utf8(decoded).map_err(|_| wrong_form)?;
        let (user, password) = decoded.split_once(':').ok_or(wrong_form)?;
        if !self.is_right(user, password.to_owned()).await {
            return Err(WRONG.to_owned());
        }
        let own = |name: &str| (name.to_owned(), user.to_owned());
        Ok(vec![own("subject"), own("username")])
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static("Basic realm=\"spanfall\", charset=\"UTF-8\"")
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

    fn basic(text: &str) -> HeaderMap {
        headers(&format!("Basic {}", STANDARD.encode(text)))
    }

    fn lines(text: &str) -> Result<Htpasswd, String> {
        let mut users = Htpasswd::default();
        users.add(text).map(|()| users)
    }

    #[tokio::test]
    async fn who_knows_the_password_may_send() {
        let hash = bcrypt::hash("hunter2", 4).unwrap();
        let users = lines(&format!("# users\nplain:a:b\n\nhashed:{hash}\n")).unwrap();
        let auth = BasicAuth::server(users).authenticator().unwrap();
        for (request, subject) in [
            (basic("plain:a:b"), Some("plain")),
            (basic("plain:a"), None),
            (basic("plain:"), None),
            (basic("hashed:hunter2"), Some("hashed")),
            // The second time out of memory.
            (basic("hashed:hunter2"), Some("hashed")),
            (basic("hashed:hunter3"), None),
            (basic(&format!("hashed:{hash}")), None),
            (basic("nobody:a:b"), None),
            (basic("nobody:hunter2"), None),
            (basic("plain"), None),
            (headers("basic cGxhaW46YTpi"), Some("plain")),
            (headers("Bearer cGxhaW46YTpi"), None),
            (headers("Basic ?"), None),
            (headers("Basic"), None),
            (HeaderMap::new(), None),
        ] {
            let found = auth.check(&request).await;
            let found = found.as_ref().ok().map(|known| known[0].1.as_str());
            assert_eq!(found, subject, "{request:?}");
        }
    }

    #[test]
    fn lines_that_are_wrong_are_told_without_their_text() {
        let long = format!("a:$2y$31${}", "x".repeat(53));
        for (text, part) in [
            ("hunter2", "line 1: there is no colon"),
            ("a:b\n:c", "line 2"),
            ("a:", "must not be empty"),
            ("a:$apr1$x$y", "bcrypt"),
            ("a:{SHA}hunter2", "bcrypt"),
            ("a:$2y$05$short", "no hash of bcrypt"),
            (&long, "above 16"),
        ] {
            let error = lines(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_the_client_sends_the_server_takes() {
        let client = BasicClient::new("me", "pass:word").unwrap();
        let (name, value) = client.header().unwrap();
        let request = HeaderMap::from_iter([(name, value)]);
        let auth = BasicAuth::server(lines("me:pass:word").unwrap()).authenticator().unwrap();
        assert!(auth.check(&request).await.is_ok());
        assert!(BasicClient::new("a:b", "c").is_err());
        assert!(!format!("{client:?} {request:?}").contains("pass"), "{request:?}");
    }
}
