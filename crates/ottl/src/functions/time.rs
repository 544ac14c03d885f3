//! Times and durations.

use jiff::tz::TimeZone;

use super::{Convert, Converter, DURATION, INT, Param, STRING, TIME, Takes, may, need};
use crate::timeformat::weekday;
use crate::times::{HOUR, MICRO, MILLI, MINUTE, SECOND, civil, parse_duration, truncate};
use crate::tree::Arg;
use crate::value::{Kind, Value};

const OF_TIME: &[Param] = &[need("value", TIME)];
const OF_DURATION: &[Param] = &[need("value", DURATION)];
const LOCALES: &[&str] = &["en", "en-US", "en-GB", ""];

const fn of_time(name: &'static str, run: Convert) -> Converter {
    Converter::new(name, OF_TIME, Some(Kind::Int), run)
}

const fn of_duration(name: &'static str, returns: Kind, run: Convert) -> Converter {
    Converter::new(name, OF_DURATION, Some(returns), run)
}

pub(super) static TABLE: &[Converter] = &[
    Converter::new("Now", &[], Some(Kind::Time), |_, reader| {
        Ok(Value::Time(reader.host.now_nanos()))
    })
    .impure(),
    Converter::new(
        "Time",
        &[
            need("target", STRING),
            need("format", Takes::TimeFormat),
            may("location", Takes::TimeZone),
            may("locale", Takes::Choice(LOCALES)),
        ],
        Some(Kind::Time),
        |call, reader| {
            let text = call.text(0, reader)?;
            let Arg::TimeFormat(format) = call.arg(1) else {
                return Err(call.fault("there is no format"));
            };
            let zone = match call.arg(2) {
                Arg::TimeZone(zone) => zone,
                _ => &TimeZone::UTC,
            };
            format.parse(&text, zone).map(Value::Time).map_err(|message| call.fault(message))
        },
    ),
    Converter::new(
        "FormatTime",
        &[need("time", TIME), need("format", Takes::TimeFormat)],
        Some(Kind::String),
        |call, reader| {
            let time = call.time(0, reader)?;
            match call.arg(1) {
                Arg::TimeFormat(format) => Ok(Value::from(format.format(time))),
                _ => Err(call.fault("there is no format")),
            }
        },
    ),
    Converter::new(
        "TruncateTime",
        &[need("time", TIME), need("duration", DURATION)],
        Some(Kind::Time),
        |call, reader| Ok(Value::Time(truncate(call.time(0, reader)?, call.duration(1, reader)?))),
    ),
    Converter::new(
        "Unix",
        &[need("seconds", INT), may("nanoseconds", INT)],
        Some(Kind::Time),
        |call, reader| {
            let nanos = if call.has(1) { call.int(1, reader)? } else { 0 };
            let seconds = call.int(0, reader)?.checked_mul(SECOND);
            let moment = seconds.and_then(|seconds| seconds.checked_add(nanos));
            moment.map(Value::Time).ok_or_else(|| call.fault("this moment is too far away"))
        },
    ),
    of_time("UnixNano", |call, reader| Ok(Value::Int(call.time(0, reader)?))),
    of_time("UnixMicro", |call, reader| Ok(Value::Int(call.time(0, reader)?.div_euclid(MICRO)))),
    of_time("UnixMilli", |call, reader| Ok(Value::Int(call.time(0, reader)?.div_euclid(MILLI)))),
    of_time("UnixSeconds", |call, reader| Ok(Value::Int(call.time(0, reader)?.div_euclid(SECOND)))),
    of_time("Year", |call, reader| Ok(Value::Int(civil(call.time(0, reader)?).year().into()))),
    of_time("Month", |call, reader| Ok(Value::Int(civil(call.time(0, reader)?).month().into()))),
    of_time("Day", |call, reader| Ok(Value::Int(civil(call.time(0, reader)?).day().into()))),
    of_time("Hour", |call, reader| Ok(Value::Int(civil(call.time(0, reader)?).hour().into()))),
    of_time("Minute", |call, reader| Ok(Value::Int(civil(call.time(0, reader)?).minute().into()))),
    of_time("Second", |call, reader| Ok(Value::Int(civil(call.time(0, reader)?).second().into()))),
    of_time("Nanosecond", |call, reader| {
        Ok(Value::Int(civil(call.time(0, reader)?).subsec_nanosecond().into()))
    }),
    of_time("Weekday", |call, reader| {
        Ok(Value::Int(weekday(civil(call.time(0, reader)?).weekday())))
    }),
    Converter::new(
        "Duration",
        &[need("duration", STRING)],
        Some(Kind::Duration),
        |call, reader| {
            let parsed = parse_duration(&call.text(0, reader)?);
            let message = "a duration is written such as 1h30m or 1.5s";
            parsed.map(Value::Duration).ok_or_else(|| call.fault(message))
        },
    ),
    of_duration("Hours", Kind::Double, |call, reader| {
        Ok(Value::Double(call.duration(0, reader)? as f64 / HOUR as f64))
    }),
    of_duration("Minutes", Kind::Double, |call, reader| {
        Ok(Value::Double(call.duration(0, reader)? as f64 / MINUTE as f64))
    }),
    of_duration("Seconds", Kind::Double, |call, reader| {
        Ok(Value::Double(call.duration(0, reader)? as f64 / SECOND as f64))
    }),
    of_duration("Milliseconds", Kind::Int, |call, reader| {
        Ok(Value::Int(call.duration(0, reader)? / MILLI))
    }),
    of_duration("Microseconds", Kind::Int, |call, reader| {
        Ok(Value::Int(call.duration(0, reader)? / MICRO))
    }),
    of_duration("Nanoseconds", Kind::Int, |call, reader| Ok(Value::Int(call.duration(0, reader)?))),
    Converter::new(
        "ParseInt",
        &[need("target", STRING), need("base", INT)],
        Some(Kind::Int),
        |call, reader| {
            let (text, base) = (call.text(0, reader)?, call.int(1, reader)?);
            let parsed = parse_int(&text, base);
            parsed.map(Value::Int).map_err(|message| call.fault(message))
        },
    ),
];

/// An integer in a base of 2 to 36, or 0 for what its prefix says.
fn parse_int(text: &str, base: i64) -> Result<i64, &'static str> {
    let base = u32::try_from(base).ok().filter(|base| matches!(base, 0 | 2..=36));
    let base = base.ok_or("a base is 0 or from 2 to 36")?;
    let spaced = base == 0 && !text.contains("__");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (base, lower.get(..2)) {
        (0, Some("0x")) => (16, lower.get(2..)),
        (0, Some("0b")) => (2, lower.get(2..)),
        (0, Some("0o")) => (8, lower.get(2..)),
        (0, Some(two)) if two.starts_with('0') => (8, lower.get(1..)),
        (0, _) => (10, Some(&*lower)),
        (base, _) => (base, Some(&*lower)),
    };
    let digits = digits.unwrap_or_default();
    let message = "this is no integer in the base, or too large";
    if digits.starts_with(['+', '-']) {
        return Err(message);
    }
    // Where the prefix says the base, underscores may stand between digits.
    let digits = if spaced { digits.replace('_', "") } else { digits.to_owned() };
    i64::from_str_radix(&format!("{sign}{digits}"), base).map_err(|_| message)
}
