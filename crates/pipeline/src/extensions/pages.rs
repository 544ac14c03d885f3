//! A small server of pages, for extensions that show something: `GET` and `HEAD`, no scripts.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Client;
use crate::component::{Extension, Running};
use crate::receivers::{
    Address, ConnectionCounters, Drained, Handler, Listener, ServerSettings, serve,
};

/// These pages are for a few people and machines at a time.
const CONNECTIONS_MAX: usize = 32;

/// Nothing is loaded but the style sheet, and nobody frames or scripts it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// An answer.
pub(super) struct Page {
    status: StatusCode,
    media: &'static str,
    body: Bytes,
    /// As what a browser saves it.
    file: Option<&'static str>,
}

impl Page {
    pub(super) fn html(body: String) -> Self {
        Self { status: StatusCode::OK, media: HTML, body: body.into(), file: None }
    }

    pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self { status, media: "application/json", body: body.to_string().into(), file: None }
    }

    pub(super) fn text(status: StatusCode, body: String) -> Self {
        Self { status, media: TEXT, body: body.into(), file: None }
    }

    pub(super) fn css(body: &'static str) -> Self {
        Self { status: StatusCode::OK, media: CSS, body: body.into(), file: None }
    }

    pub(super) fn file(body: Vec<u8>, disposition: &'static str) -> Self {
        let media = "application/octet-stream";
        Self { status: StatusCode::OK, media, body: body.into(), file: Some(disposition) }
    }

    pub(super) fn fault(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        let mut text = text.into().into_owned();
        text.push('\n');
        Self::text(status, text)
    }

    pub(super) fn not_found() -> Self {
        Self::fault(StatusCode::NOT_FOUND, "there is no such page")
    }
}

/// What answers.
#[async_trait]
pub(super) trait Site: Send + Sync + 'static {
    /// The page at a path. Dropped when who asked has gone.
    async fn page(&self, path: &str, query: &str) -> Page;
}

/// An extension that is a site.
pub struct Pages {
    address: Address,
    stop: CancellationToken,
    serving: Mutex<Option<JoinHandle<Drained>>>,
}

impl Pages {
    /// Answers on a listener.
    pub(super) fn start(
        listener: Listener,
        mut server: ServerSettings,
        site: impl Site,
    ) -> Result<Self, String> {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        server.connections_max = server.connections_max.min(CONNECTIONS_MAX);
        // Work for who has gone ends.
        server.answers_half_closed = false;
        let stop = CancellationToken::new();
        let answers = Arc::new(Answers {
            site,
            auth: server.auth.clone(),
            stop: stop.clone(),
            connections: ConnectionCounters::default(),
            tasks: TaskTracker::new(),
        });
        let token = stop.clone();
        let serving = tokio::spawn(async move { serve(listener, &server, answers, token).await });
        Ok(Self { address, stop, serving: Mutex::new(Some(serving)) })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Running for Pages {
    async fn stop(&self, deadline: Instant) -> u64 {
        self.stop.cancel();
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            let _ = tokio::time::timeout_at(deadline, serving).await;
        }
        0
    }

    fn problem(&self) -> Option<String> {
        let serving = self.serving.lock();
        let ended = serving.as_ref().is_some_and(JoinHandle::is_finished);
        ended.then(|| "it has stopped to listen".to_owned())
    }

    fn addresses(&self) -> Vec<(&'static str, Address)> {
        vec![("", self.address.clone())]
    }
}

impl Extension for Pages {}

struct Answers<S> {
    site: S,
    auth: Option<crate::receivers::Auth>,
    stop: CancellationToken,
    connections: ConnectionCounters,
    tasks: TaskTracker,
}

impl<S: Site> Handler for Answers<S> {
    type Body = Full<Bytes>;

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        _: Arc<Client>,
    ) -> Response<Self::Body> {
        if let Some(auth) = &self.auth
            && let Err(reason) = auth.0.check(request.headers()).await
        {
            let mut answer = answer(Page::fault(StatusCode::UNAUTHORIZED, reason));
            answer.headers_mut().insert(WWW_AUTHENTICATE, auth.0.challenge());
            return answer;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let words = "these pages are there to be read";
            let mut answer = answer(Page::fault(StatusCode::METHOD_NOT_ALLOWED, words));
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let uri = request.uri();
        let page = tokio::select! {
            page = self.site.page(uri.path(), uri.query().unwrap_or_default()) => page,
            () = self.stop.cancelled() => {
                Page::fault(StatusCode::SERVICE_UNAVAILABLE, "the extension is stopping")
            }
        };
        answer(page)
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

fn answer(page: Page) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(page.body));
    *answer.status_mut() = page.status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.media));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(file) = page.file {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(file));
    }
    answer
}

/// Appends text as HTML shows it.
pub(super) fn put_text(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
}

/// The parameters of a query, of which only those named may be there.
pub(super) fn parameters<'q>(
    query: &'q str,
    known: &[&str],
) -> Result<Vec<(&'q str, &'q str)>, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match known.contains(&name) {
                true => Ok((name, value)),
                false => Err(format!(
                    "there is no parameter {name:?} here; there is: {}",
                    known.join(", ")
                )),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut out = String::new();
        put_text(&mut out, "<a href='x'>\"&\"</a>");
        assert_eq!(out, "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;");
    }

    #[test]
    fn parameters_are_strict() {
        assert_eq!(parameters("", &["a"]), Ok(vec![]));
        assert_eq!(parameters("a=1&&b", &["a", "b"]), Ok(vec![("a", "1"), ("b", "")]));
        assert!(parameters("a=1&c=2", &["a", "b"]).unwrap_err().contains("\"c\""));
    }
}
