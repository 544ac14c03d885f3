//! Answers in Prometheus' JSON. Values are texts; JSON has no infinity.

use std::io::Write;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use query::promql::{Answer, AnsweredSeries, Labels, number_text};
use serde::Serialize;
use serde_json::{Map, Value};

use super::fault::Fault;

/// The most points of an answer: about 60 MB.
const POINTS_MAX: usize = 2_000_000;

/// What an answer says that a damaged block has its spans missing from.
pub(super) const PARTIAL: &str =
    "a damaged part of the store was left out: counts are lower than they were";

/// Any data in the envelope.
pub(super) fn success(data: &impl Serialize, warnings: Vec<String>) -> Response {
    match serde_json::to_vec(data) {
        Ok(data) => envelope(data, &warnings),
        Err(error) => Fault::internal(error.to_string()).into_response(),
    }
}

/// The answer to a query, with `limit` series at the most.
pub(super) fn answered(answer: Answer, limit: usize, partial: bool) -> Result<Response, Fault> {
    let mut warnings = warnings(partial);
    let mut data = Vec::new();
    // Writing to memory does not fail.
    let written = match answer {
        Answer::Scalar(time, value) => write!(
            data,
            "{{\"resultType\":\"scalar\",\"result\":[{},\"{}\"]}}",
            seconds(time),
            number_text(value)
        ),
        Answer::Text(time, text) => write!(
            data,
            "{{\"resultType\":\"string\",\"result\":[{},{}]}}",
            seconds(time),
            Value::String(text)
        ),
        Answer::Vector(mut all) => {
            cut(&mut all, limit, &mut warnings)?;
            write_series(&mut data, "vector", &all)
        }
        Answer::Matrix(mut all) => {
            cut(&mut all, limit, &mut warnings)?;
            write_series(&mut data, "matrix", &all)
        }
    };
    written.map_err(|error| Fault::internal(error.to_string()))?;
    Ok(envelope(data, &warnings))
}

/// A list, the first `limit` of it.
pub(super) fn listed<T: Serialize>(mut all: Vec<T>, limit: usize, partial: bool) -> Response {
    let mut warnings = warnings(partial);
    if all.len() > limit {
        all.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
    success(&all, warnings)
}

/// Labels as an object.
pub(super) fn object(labels: &Labels) -> Value {
    let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.into()));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn warnings(partial: bool) -> Vec<String> {
    if partial { vec![PARTIAL.to_owned()] } else { Vec::new() }
}

fn envelope(data: Vec<u8>, warnings: &[String]) -> Response {
    let mut body = b"{\"status\":\"success\",\"data\":".to_vec();
    body.extend(data);
    if !warnings.is_empty() {
        body.extend(b",\"warnings\":");
        body.extend(Value::from(warnings).to_string().as_bytes());
    }
    body.push(b'}');
    ([(CONTENT_TYPE, "application/json")], body).into_response()
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

fn write_series(out: &mut Vec<u8>, kind: &str, all: &[AnsweredSeries]) -> std::io::Result<()> {
    write!(out, "{{\"resultType\":\"{kind}\",\"result\":[")?;
    for (at, series) in all.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}{{\"metric\":{},", object(&series.labels))?;
        match (kind, series.points.first()) {
            ("vector", Some(point)) => {
                write!(out, "\"value\":")?;
                write_point(out, *point)?;
            }
            _ => {
                write!(out, "\"values\":[")?;
                for (at, point) in series.points.iter().enumerate() {
                    out.extend(if at == 0 { &b""[..] } else { b"," });
                    write_point(out, *point)?;
                }
                write!(out, "]")?;
            }
        }
        write!(out, "}}")?;
    }
    write!(out, "]}}")
}

fn write_point(out: &mut Vec<u8>, (time, value): (i64, f64)) -> std::io::Result<()> {
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
