//! `health_check`: tells over HTTP whether everything does its work.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::pages::{Page, Pages, Site};
use crate::component::Health;
use crate::receivers::{Listener, ServerSettings};

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

/// The extension: one page.
pub struct HealthCheck;

impl HealthCheck {
    /// Answers on a listener.
    pub fn start(
        listener: Listener,
        server: ServerSettings,
        settings: HealthCheckSettings,
        health: Health,
    ) -> Result<Pages, String> {
        let state = Mutex::new(State::Unasked);
        Pages::start(listener, server, Answers { settings, health, state })
    }
}

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
}

#[async_trait]
impl Site for Answers {
    async fn page(&self, path: &str, _: &str) -> Page {
        let is_there = match &self.settings.path {
            Some(own) => path == own,
            None => matches!(path, "/" | "/status"),
        };
        if is_there { self.answer() } else { Page::not_found() }
    }
}

impl Answers {
    fn answer(&self) -> Page {
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
            return match &self.settings.healthy {
                Some(text) => Page::text(StatusCode::OK, text.clone()),
                None => Page::json(
                    StatusCode::OK,
                    &json!({
                        "status": "Server available",
                        "upSince": rfc3339(since),
                        "uptime": go_duration(then.elapsed()),
                        "problems": [],
                    }),
                ),
            };
        }
        *self.state.lock() = match problems {
            Some(_) => State::Unwell,
            None => State::Unasked,
        };
        let status = StatusCode::SERVICE_UNAVAILABLE;
        match &self.settings.unhealthy {
            Some(text) => Page::text(status, text.clone()),
            None => Page::json(
                status,
                &json!({
                    "status": "Server not available",
                    "upSince": "0001-01-01T00:00:00Z",
                    "uptime": "",
                    "problems": problems.unwrap_or_else(|| vec!["starting or stopping".to_owned()]),
                }),
            ),
        }
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
