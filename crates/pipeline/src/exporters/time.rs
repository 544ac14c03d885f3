//! Times as text, in UTC.

use std::fmt::Write;

const DAY_SECONDS: u64 = 86_400;

/// Year, month and day of so many days after the Unix epoch, in the Gregorian calendar.
pub(super) fn date(days: u64) -> (u64, u64, u64) {
    // Counted from the first of March of year 0, in eras of 400 years.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + next_year, month, day)
}

/// Hour, minute and second of the day of so many seconds after the Unix epoch.
pub(super) fn clock(seconds: u64) -> (u64, u64, u64) {
    let of_day = seconds % DAY_SECONDS;
    (of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Nanoseconds after the Unix epoch as Go prints a time: `2020-02-11 20:26:12.000000321 +0000 UTC`,
/// without zeros at the end of the fraction.
pub(crate) fn put_go_time(out: &mut String, unix_nano: u64) {
    let (seconds, nanos) = (unix_nano / 1_000_000_000, unix_nano % 1_000_000_000);
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let (hour, minute, second) = clock(seconds);
    let _ = write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        let _ = write!(out, ".{}", fraction.trim_end_matches('0'));
    }
    out.push_str(" +0000 UTC");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (unix_nano, expected) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (951_782_400_000_000_000, "2000-02-29 00:00:00 +0000 UTC"),
            (951_868_799_500_000_000, "2000-02-29 23:59:59.5 +0000 UTC"),
            (1_581_452_772_000_000_321, "2020-02-11 20:26:12.000000321 +0000 UTC"),
            (4_107_542_399_000_000_000, "2100-02-28 23:59:59 +0000 UTC"),
            (4_107_542_400_000_000_000, "2100-03-01 00:00:00 +0000 UTC"),
            (u64::MAX, "2554-07-21 23:34:33.709551615 +0000 UTC"),
        ] {
            let mut text = String::new();
            put_go_time(&mut text, unix_nano);
            assert_eq!(text, expected);
        }
    }
}
