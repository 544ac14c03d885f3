//! `health_check`: tells over HTTP whether everything does its work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Client;
use crate::component::{Extension, Health, Running};
use crate::receivers::{ConnectionCounters, Drained, Handler, ServerSettings, serve};

/// Settings of [`HealthCheck`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthCheckSettings {
    /// Where it answers. Default `/`, and `/status` as well.
    pub path: Option<String>,
    /// The answer's body when all is well. Default: JSON with status, upSince and uptime.
    pub healthy: Option<String>,
    /// When it is not. Default: JSON with the status and what is wrong.
    pub unhealthy: Option<String>,
}

/// The extension.
pub struct HealthCheck {
    address: SocketAddr,
    stop: CancellationToken,
    serving: Mutex<Option<JoinHandle<Drained>>>,
}

impl HealthCheck {
    /// Answers on a listener.
    pub fn start(
        listener: TcpListener,
        server: ServerSettings,
        settings: HealthCheckSettings,
        health: Health,
    ) -> Result<Self, String> {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let stop = CancellationToken::new();
        let answers = Arc::new(Answers {
            settings,
            health,
            state: Mutex::new(State::Unasked),
            connections: ConnectionCounters::default(),
            tasks: TaskTracker::new(),
        });
        let token = stop.clone();
        let serving = tokio::spawn(async move { serve(listener, &server, answers, token).await });
        Ok(Self { address, stop, serving: Mutex::new(Some(serving)) })
    }
}

impl Drop for HealthCheck {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Running for HealthCheck {
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

    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        vec![("", self.address)]
    }
}

impl Extension for HealthCheck {}

/// What was said last.
#[derive(Clone, Copy)]
enum State {
    /// Nothing, or that it is starting.
    Unasked,
    /// Well since then.
    Well(SystemTime, Instant),
    Unwell,
}

struct Answers {
    settings: HealthCheckSettings,
    health: Health,
    state: Mutex<State>,
    connections: ConnectionCounters,
    tasks: TaskTracker,
}

impl Handler for Answers {
    type Body = Full<Bytes>;

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        _: Arc<Client>,
    ) -> Response<Self::Body> {
        let path = request.uri().path();
        let is_there = match &self.settings.path {
            Some(own) => path == own,
            None => matches!(path, "/" | "/status"),
        };
        let (status, body) = match (is_there, request.method()) {
            (false, _) => (StatusCode::NOT_FOUND, None),
            (true, &Method::GET | &Method::HEAD) => self.answer(),
            (true, _) => (StatusCode::METHOD_NOT_ALLOWED, None),
        };
        let media = match &body {
            Some((_, media)) => *media,
            None => "text/plain; charset=utf-8",
        };
        let text = body.map_or_else(|| status.to_string(), |(text, _)| text);
        let mut answer = Response::new(Full::from(text));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        answer
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

type Text = (String, &'static str);

impl Answers {
    fn answer(&self) -> (StatusCode, Option<Text>) {
        let plain = |text: &String| (text.clone(), "text/plain; charset=utf-8");
        let json = |value: serde_json::Value| (value.to_string(), "application/json");
        let problems = self.health.problems();
        if problems.as_ref().is_some_and(Vec::is_empty) {
            let mut state = self.state.lock();
            let now = (SystemTime::now(), Instant::now());
            let (since, then) = match *state {
                State::Well(since, then) => (since, then),
                State::Unasked => self.health.since().unwrap_or(now),
                State::Unwell => now,
            };
            *state = State::Well(since, then);
            let text = self.settings.healthy.as_ref().map(plain).unwrap_or_else(|| {
                json(json!({
                    "status": "Server available",
                    "upSince": rfc3339(since),
                    "uptime": go_duration(then.elapsed()),
                    "problems": [],
                }))
            });
            return (StatusCode::OK, Some(text));
        }
        *self.state.lock() = match problems {
            Some(_) => State::Unwell,
            None => State::Unasked,
        };
        let text = self.settings.unhealthy.as_ref().map(plain).unwrap_or_else(|| {
            json(json!({
                "status": "Server not available",
                "upSince": "0001-01-01T00:00:00Z",
                "uptime": "",
                "problems": problems.unwrap_or_else(|| vec!["starting or stopping".to_owned()]),
            }))
        });
        (StatusCode::SERVICE_UNAVAILABLE, Some(text))
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut text = String::new();
    crate::exporters::time::put_go_time(
        &mut text,
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
    );
    // From "2020-02-11 20:26:12.5 +0000 UTC".
    text.replacen(' ', "T", 1).replace(" +0000 UTC", "Z")
}

/// As Go prints a duration of a second or more: `1h2m3.5s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = Duration::new(seconds % 60, duration.subsec_nanos()).as_secs_f64();
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        for (millis, expected) in [
            (0, "0s"),
            (1500, "1.5s"),
            (60_000, "1m0s"),
            (3_723_500, "1h2m3.5s"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), expected);
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_581_452_772_500);
        assert_eq!(rfc3339(time), "2020-02-11T20:26:12.5Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
