//! Functions of instant vectors: those that look at one value alone.

use jiff::Zoned;

use super::tree::Call;

/// The function of a name, if it is served and holds no text.
pub(super) fn of_name(name: &str) -> Option<Call> {
    Some(match name {
        "abs" => Call::Map(f64::abs),
        "ceil" => Call::Map(f64::ceil),
        "floor" => Call::Map(f64::floor),
        "sqrt" => Call::Map(f64::sqrt),
        "exp" => Call::Map(f64::exp),
        "ln" => Call::Map(f64::ln),
        "log2" => Call::Map(f64::log2),
        "log10" => Call::Map(f64::log10),
        "sgn" => Call::Map(sign),
        "sin" => Call::Map(f64::sin),
        "cos" => Call::Map(f64::cos),
        "tan" => Call::Map(f64::tan),
        "asin" => Call::Map(f64::asin),
        "acos" => Call::Map(f64::acos),
        "atan" => Call::Map(f64::atan),
        "sinh" => Call::Map(f64::sinh),
        "cosh" => Call::Map(f64::cosh),
        "tanh" => Call::Map(f64::tanh),
        "asinh" => Call::Map(f64::asinh),
        "acosh" => Call::Map(f64::acosh),
        "atanh" => Call::Map(f64::atanh),
        "deg" => Call::Map(f64::to_degrees),
        "rad" => Call::Map(f64::to_radians),
        "round" => Call::Map1(round),
        "clamp_min" => Call::Map1(larger),
        "clamp_max" => Call::Map1(smaller),
        "clamp" => Call::Map2(clamp),
        "minute" => Call::Calendar(|time| f64::from(time.minute())),
        "hour" => Call::Calendar(|time| f64::from(time.hour())),
        "day_of_week" => Call::Calendar(|time| f64::from(time.weekday().to_sunday_zero_offset())),
        "day_of_month" => Call::Calendar(|time| f64::from(time.day())),
        "day_of_year" => Call::Calendar(|time| f64::from(time.day_of_year())),
        "days_in_month" => Call::Calendar(|time| f64::from(time.days_in_month())),
        "month" => Call::Calendar(|time| f64::from(time.month())),
        "year" => Call::Calendar(|time| f64::from(time.year())),
        "timestamp" => Call::Timestamp,
        "absent" => Call::Absent,
        "scalar" => Call::Scalar,
        "vector" => Call::Vector,
        "sort" => Call::Sort { descending: false },
        "sort_desc" => Call::Sort { descending: true },
        "histogram_quantile" => Call::HistogramQuantile,
        "histogram_fraction" => Call::HistogramFraction,
        _ => return None,
    })
}

/// A time of seconds since the epoch, in UTC.
pub(super) fn calendar(seconds: f64, part: fn(&Zoned) -> f64) -> f64 {
    // Numbers saturate; what is no time of jiff's has no parts.
    match jiff::Timestamp::from_second(seconds.floor() as i64) {
        Ok(time) if !seconds.is_nan() => part(&time.to_zoned(jiff::tz::TimeZone::UTC)),
        _ => f64::NAN,
    }
}

fn sign(value: f64) -> f64 {
    match value.partial_cmp(&0.0) {
        Some(std::cmp::Ordering::Less) => -1.0,
        Some(std::cmp::Ordering::Greater) => 1.0,
        _ => value,
    }
}

/// To the nearest multiple; halves go up.
fn round(value: f64, nearest: f64) -> f64 {
    let inverse = 1.0 / nearest;
    (value * inverse + 0.5).floor() / inverse
}

/// As Go's: with a NaN it is NaN, which Rust's would leave out.
fn larger(value: f64, other: f64) -> f64 {
    if value.is_nan() || other.is_nan() { f64::NAN } else { value.max(other) }
}

fn smaller(value: f64, other: f64) -> f64 {
    if value.is_nan() || other.is_nan() { f64::NAN } else { value.min(other) }
}

/// No value where the bounds are the wrong way round.
fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if least > most {
        return super::value::ABSENT;
    }
    larger(least, smaller(most, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_up() {
        for (value, nearest, expected) in
            [(2.5, 1.0, 3.0), (-2.5, 1.0, -2.0), (2.4, 0.5, 2.5), (17.0, 5.0, 15.0)]
        {
            assert_eq!(round(value, nearest), expected, "{value} {nearest}");
        }
    }

    #[test]
    fn parts_of_times() {
        // 2024-02-29, a Thursday, 23:59:58.
        let time = 1_709_251_198.9;
        for (name, expected) in [
            ("minute", 59.0),
            ("hour", 23.0),
            ("day_of_week", 4.0),
            ("day_of_month", 29.0),
            ("day_of_year", 60.0),
            ("days_in_month", 29.0),
            ("month", 2.0),
            ("year", 2024.0),
        ] {
            let Some(Call::Calendar(part)) = of_name(name) else { panic!("{name}") };
            assert_eq!(calendar(time, part), expected, "{name}");
            assert!(calendar(f64::NAN, part).is_nan() && calendar(1e300, part).is_nan());
        }
    }
}
