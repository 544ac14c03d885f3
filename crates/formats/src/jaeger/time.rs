//! Nanoseconds since 1970 to and from protobuf's times.

use prost_types::{Duration, Timestamp};

const SECOND: i128 = 1_000_000_000;

/// The time of a number of nanoseconds since 1970.
pub fn timestamp(unix_nano: u64) -> Timestamp {
    let nanos = i128::from(unix_nano);
    Timestamp { seconds: (nanos / SECOND) as i64, nanos: (nanos % SECOND) as i32 }
}

/// From a start to an end, which may be before it.
pub fn duration(start_unix_nano: u64, end_unix_nano: u64) -> Duration {
    let nanos = i128::from(end_unix_nano) - i128::from(start_unix_nano);
    Duration { seconds: (nanos / SECOND) as i64, nanos: (nanos % SECOND) as i32 }
}

/// Nanoseconds since 1970; the nearest that 64 bits hold.
pub fn unix_nano(time: &Timestamp) -> u64 {
    clamped(i128::from(time.seconds) * SECOND + i128::from(time.nanos))
}

pub(super) fn plus(start_unix_nano: u64, duration: &Duration) -> u64 {
    let length = i128::from(duration.seconds) * SECOND + i128::from(duration.nanos);
    clamped(i128::from(start_unix_nano) + length)
}

fn clamped(nanos: i128) -> u64 {
    nanos.clamp(0, i128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_comes_back() {
        for start in [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789, u64::MAX] {
            assert_eq!(unix_nano(&timestamp(start)), start);
            for end in [0, 5, 1_700_000_000_000_000_000, u64::MAX] {
                assert_eq!(plus(start, &duration(start, end)), end, "{start} to {end}");
            }
        }
        assert_eq!(unix_nano(&Timestamp { seconds: -1, nanos: 0 }), 0);
        assert_eq!(unix_nano(&Timestamp { seconds: i64::MAX, nanos: i32::MAX }), u64::MAX);
    }
}
