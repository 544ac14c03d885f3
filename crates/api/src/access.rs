//! Who may ask: a token where one is set, and no page of another site.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode};
use subtle::ConstantTimeEq;

use crate::Api;
use crate::error::ApiError;

/// Who may ask.
#[derive(Clone, Default)]
pub struct Access {
    /// Asked for as `Authorization: Bearer …` when set.
    pub token: Option<String>,
    /// The server listens on this machine only: a request whose `Host` is a name other than
    /// `localhost` then comes from a page that had its name point here (DNS rebinding).
    pub local_only: bool,
}

/// Refuses what may not ask. The UI's own files hold no data and need no token.
pub(crate) async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let holds_data = path.starts_with("/api/") || path.starts_with("/prometheus");
    match refusal(&api.access, &request, holds_data) {
        Some((status, text)) => ask_for_token(ApiError::new(status, text).into_response()),
        None => next.run(request).await,
    }
}

/// Why a request is refused; `None` when it may go on.
pub(crate) fn refusal(
    access: &Access,
    request: &Request,
    holds_data: bool,
) -> Option<(StatusCode, &'static str)> {
    if access.local_only && !host_is_local(request) {
        let text = "this server answers to localhost only; start it with --listen to open it";
        return Some((StatusCode::FORBIDDEN, text));
    }
    if !holds_data {
        return None;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD && foreign(request) {
        let text = "requests that change something are taken from this server's own pages only";
        return Some((StatusCode::FORBIDDEN, text));
    }
    access.token.as_ref().filter(|token| !carries(request, token))?;
    Some((
        StatusCode::UNAUTHORIZED,
        "this server asks for its token as Authorization: Bearer TOKEN",
    ))
}

/// Adds to a refusal how to present a token, where that is what lacks.
pub(crate) fn ask_for_token(mut answer: Response) -> Response {
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn carries(request: &Request, token: &str) -> bool {
    let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = header.and_then(|header| {
        let (scheme, given) = header.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(given)
    });
    given.is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}

fn host_is_local(request: &Request) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else {
        // HTTP/1.0 has no Host, and no browser speaks it.
        return host.is_none();
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// Whether a page of another origin sends the request (Fetch standard, "Origin header").
fn foreign(request: &Request) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    origin.is_none_or(|(_, origin)| Some(origin) != host)
}
