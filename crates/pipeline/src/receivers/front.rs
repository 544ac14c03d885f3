//! What all receivers over HTTP do to requests and answers, whatever they carry.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
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
    codings: Option<Vec<Coding>>,
}

impl Front {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        let codings = settings.codings.as_ref().map(|names| {
            names.iter().filter_map(|name| Coding::from_name(name).flatten()).collect()
        });
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
        match (&self.codings, found) {
            (Some(codings), Some(coding)) if !codings.contains(&coding) => None,
            _ => Some(found),
        }
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
