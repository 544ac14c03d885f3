//! Answers in Prometheus' JSON. Values are texts; JSON has no infinity.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use query::promql::{Answer, AnsweredSeries, Labels, number_text};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::fault::Fault;

/// The most points of an answer: about 60 MB.
const POINTS_MAX: usize = 2_000_000;

/// The most bytes of an answer.
const BYTES_MAX: usize = 128 << 20;

/// What an answer says that a damaged block has its spans missing from.
pub(super) const PARTIAL: &str =
    "a damaged part of the store was left out: counts are lower than they were";

/// Any data in the envelope.
pub(super) fn success(data: &impl Serialize, warnings: Vec<String>) -> Result<Response, Fault> {
    let stop = AtomicBool::new(false);
    enveloped(&warnings, &stop, |out| Ok(serde_json::to_writer(out, data)?))
}

/// The answer to a query, with `limit` series at the most. Ends soon after `stop` is set.
pub(super) fn answered(
    answer: Answer,
    limit: usize,
    partial: bool,
    stop: &AtomicBool,
) -> Result<Response, Fault> {
    let mut warnings = warnings(partial);
    match answer {
        Answer::Scalar(time, value) => enveloped(&warnings, stop, |out| {
            let (time, value) = (seconds(time), number_text(value));
            write!(out, "{{\"resultType\":\"scalar\",\"result\":[{time},\"{value}\"]}}")
        }),
        Answer::Text(time, text) => enveloped(&warnings, stop, |out| {
            let (time, text) = (seconds(time), Value::String(text));
            write!(out, "{{\"resultType\":\"string\",\"result\":[{time},{text}]}}")
        }),
        Answer::Vector(mut all) => {
            cut(&mut all, limit, &mut warnings)?;
            enveloped(&warnings, stop, |out| write_series(out, "vector", &all))
        }
        Answer::Matrix(mut all) => {
            cut(&mut all, limit, &mut warnings)?;
            enveloped(&warnings, stop, |out| write_series(out, "matrix", &all))
        }
    }
}

/// A list, the first `limit` of it. Ends soon after `stop` is set.
pub(super) fn listed<T: Serialize>(
    mut all: Vec<T>,
    limit: usize,
    partial: bool,
    stop: &AtomicBool,
) -> Result<Response, Fault> {
    let mut warnings = warnings(partial);
    if all.len() > limit {
        all.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
    enveloped(&warnings, stop, |out| Ok(serde_json::to_writer(out, &all)?))
}

/// Labels as an object.
pub(super) struct Object<'a>(pub(super) &'a Labels);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

fn warnings(partial: bool) -> Vec<String> {
    if partial { vec![PARTIAL.to_owned()] } else { Vec::new() }
}

/// An answer that is being written.
struct Out<'a> {
    bytes: Vec<u8>,
    bytes_max: usize,
    stop: &'a AtomicBool,
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ErrorKind::TimedOut.into());
        }
        if bytes.len() > self.bytes_max.saturating_sub(self.bytes.len()) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn enveloped(
    warnings: &[String],
    stop: &AtomicBool,
    write: impl FnOnce(&mut Out) -> std::io::Result<()>,
) -> Result<Response, Fault> {
    let mut out = Out { bytes: Vec::new(), bytes_max: BYTES_MAX, stop };
    let written = write_envelope(&mut out, warnings, write);
    written.map_err(|error| match error.kind() {
        ErrorKind::TimedOut => Fault::timeout("the query was given up"),
        ErrorKind::FileTooLarge => Fault::execution(format!(
            "the answer has more than {} MiB; ask for fewer labels, a longer step, or less with \
             the parameter limit",
            BYTES_MAX >> 20
        )),
        _ => Fault::internal(error.to_string()),
    })?;
    Ok(([(CONTENT_TYPE, "application/json")], out.bytes).into_response())
}

fn write_envelope(
    out: &mut Out,
    warnings: &[String],
    write: impl FnOnce(&mut Out) -> std::io::Result<()>,
) -> std::io::Result<()> {
    write!(out, "{{\"status\":\"success\",\"data\":")?;
    write(out)?;
    if !warnings.is_empty() {
        write!(out, ",\"warnings\":{}", Value::from(warnings))?;
    }
    write!(out, "}}")
}

fn cut(
    all: &mut Vec<AnsweredSeries>,
    limit: usize,
    warnings: &mut Vec<String>,
) -> Result<(), Fault> {
    if all.len() > limit {
        all.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
    let points: usize = all.iter().map(|series| series.points.len()).sum();
    match points > POINTS_MAX {
        true => Err(Fault::execution(format!(
            "the answer has {points} points; at most {POINTS_MAX} are told. Ask for fewer labels, \
             a longer step, or less with the parameter limit"
        ))),
        false => Ok(()),
    }
}

fn write_series(out: &mut Out, kind: &str, all: &[AnsweredSeries]) -> std::io::Result<()> {
    write!(out, "{{\"resultType\":\"{kind}\",\"result\":[")?;
    for (at, series) in all.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}{{\"metric\":")?;
        serde_json::to_writer(&mut *out, &Object(&series.labels))?;
        write!(out, ",")?;
        match (kind, series.points.first()) {
            ("vector", Some(point)) => {
                write!(out, "\"value\":")?;
                write_point(out, *point)?;
            }
            _ => {
                write!(out, "\"values\":[")?;
                for (at, point) in series.points.iter().enumerate() {
                    out.write_all(if at == 0 { b"" } else { b"," })?;
                    write_point(out, *point)?;
                }
                write!(out, "]")?;
            }
        }
        write!(out, "}}")?;
    }
    write!(out, "]}}")
}

fn write_point(out: &mut Out, (time, value): (i64, f64)) -> std::io::Result<()> {
    write!(out, "[{},\"{}\"]", seconds(time), number_text(value))
}

/// Seconds with as many places as they need.
fn seconds(time_ms: i64) -> String {
    let (sign, time) = (if time_ms < 0 { "-" } else { "" }, time_ms.unsigned_abs());
    match (time / 1000, time % 1000) {
        (whole, 0) => format!("{sign}{whole}"),
        (whole, part) => format!("{sign}{whole}.{part:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_bound_and_an_end() {
        let (go_on, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        let point = |at: i64| (at, 1.0);
        let series = AnsweredSeries {
            labels: Labels::from([("a", "\"\u{1}")]),
            points: (0..10).map(point).collect(),
        };
        let answer = Answer::Matrix(vec![series]);
        assert!(answered(answer.clone(), 1, false, &go_on).is_ok());
        let ended = answered(answer, 1, false, &stop).unwrap_err();
        assert_eq!(ended, Fault::timeout("the query was given up"));
        assert!(listed(vec!["a"], 1, false, &stop).is_err());
        let mut out = Out { bytes: Vec::new(), bytes_max: 5, stop: &go_on };
        assert!(out.write_all(b"12345").is_ok());
        assert_eq!(out.write_all(b"6").unwrap_err().kind(), ErrorKind::FileTooLarge);
        let long = "\u{1}".repeat(BYTES_MAX / 6);
        let told = listed(vec![long], 1, false, &go_on).unwrap_err();
        assert!(format!("{told:?}").contains("more than 128 MiB"), "{told:?}");
    }

    #[test]
    fn times_are_seconds() {
        for (time, text) in [
            (0, "0"),
            (1_700_000_000_000, "1700000000"),
            (1_700_000_000_050, "1700000000.050"),
            (-1, "-0.001"),
        ] {
            assert_eq!(seconds(time), text);
        }
    }
}
