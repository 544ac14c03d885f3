//! How long to wait for a server that is busy.

use std::time::{Duration, SystemTime};

const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// However long a server asks for: a person waits, too.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The pauses of one request, bounded one by one and in sum.
#[derive(Debug, Clone)]
pub struct Patience {
    left: Duration,
    backoff: Duration,
}

impl Patience {
    /// Pauses of so much in all.
    pub fn new(total: Duration) -> Self {
        Self { left: total, backoff: PAUSE_FIRST }
    }

    /// The next pause: what the server asks for, or twice as long as the one before; `None` when
    /// patience is at its end.
    pub fn pause(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        if self.left.is_zero() {
            return None;
        }
        let backoff = self.backoff;
        self.backoff = (backoff * 2).min(BACKOFF_MAX);
        // A server that says 0 means "soon", not "as fast as you can".
        let wanted = retry_after.map_or(backoff, |asked| asked.clamp(PAUSE_FIRST, PAUSE_MAX));
        let pause = wanted.min(self.left);
        self.left -= pause;
        Some(pause)
    }
}

/// What `Retry-After` asks for: seconds or a date (RFC 9110 section 10.2.3).
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(parse_retry_after(value, now), expected, "{value}");
        }
    }

    #[test]
    fn patience_ends() {
        let mut patience = Patience::new(Duration::from_millis(1000));
        let pauses: Vec<u128> =
            std::iter::from_fn(|| patience.pause(None)).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 300]);

        let mut patience = Patience::new(Duration::from_secs(40));
        let mut asked = |seconds| patience.pause(Some(Duration::from_secs(seconds)));
        assert_eq!(asked(3600), Some(PAUSE_MAX));
        assert_eq!(asked(0), Some(PAUSE_FIRST));
        assert_eq!(asked(3600), Some(Duration::from_millis(9900)));
        assert_eq!(asked(1), None);
    }
}
