//! What all receivers over HTTP do to requests and answers, whatever they carry.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::cors::Cors;
use super::inflate::Coding;
use super::otlp::HttpSettings;
use crate::net::Headers;

pub(super) type Answer = Response<Full<Bytes>>;

/// Which pages may send, which codings bodies may have, what every answer says.
pub(super) struct Front {
    cors: Cors,
    response_headers: Headers,
    codings: Vec<Coding>,
}

impl Front {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        let codings = match &settings.codings {
            Some(names) => {
                names.iter().filter_map(|name| Coding::from_name(name).flatten()).collect()
            }
            None => Coding::ALL.to_vec(),
        };
        Self {
            cors: Cors::new(&settings.cors),
            response_headers: settings.response_headers.clone(),
            codings,
        }
    }

    /// The answer to a preflight, unless its page may not send.
    pub(super) fn preflight(&self, request: &Parts) -> Option<Answer> {
        self.cors.allowed(&request.headers)?;
        let mut answer = empty(StatusCode::NO_CONTENT);
        self.cors.allow_preflight(&request.headers, answer.headers_mut());
        Some(answer)
    }

    /// The one coding of a body, the inner `None` meaning "identity"; `None` for one that is not
    /// taken, or several, which nobody sends.
    pub(super) fn coding(&self, headers: &HeaderMap) -> Option<Option<Coding>> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.to_str().ok()?.split(',') {
                match (Coding::from_name(name.trim())?, found) {
                    (None, _) => {}
                    (Some(_), Some(_)) => return None,
                    (coding, None) => found = coding,
                }
            }
        }
        found.is_none_or(|coding| self.codings.contains(&coding)).then_some(found)
    }

    /// Says to who sent another coding which are taken, in words and in the answer's headers
    /// (RFC 9110 15.5.16).
    pub(super) fn refuse_coding(&self, refuse: impl FnOnce(String) -> Answer) -> Answer {
        let names: Vec<_> = self.codings.iter().map(|coding| coding.name()).collect();
        let names = [&names[..], &["identity"]].concat().join(", ");
        let mut answer = refuse(format!("the content encoding must be one of {names}"));
        if let Ok(names) = HeaderValue::try_from(names) {
            answer.headers_mut().insert(ACCEPT_ENCODING, names);
        }
        answer
    }

    /// Adds what every answer has.
    pub(super) fn finish(&self, request: &Parts, answer: &mut Answer) {
        for (name, value) in self.response_headers.map() {
            answer.headers_mut().append(name, value.clone());
        }
        if let Some(origin) = self.cors.allowed(&request.headers) {
            self.cors.allow(origin, answer.headers_mut());
        }
    }
}

pub(super) fn empty(http: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = http;
    answer
}

/// The content type without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}
