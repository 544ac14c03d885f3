//! TraceQL by way of the API's `/query`.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::api::{Client, TraceSummary};

/// A query and what goes with it, as the API's parameters.
pub type Parameters = Vec<(&'static str, String)>;

/// What a query gives.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// Series over time.
    Series(SeriesList),
    /// Traces, newest first.
    Traces(FoundPage),
}

/// A page of a search.
#[derive(Debug, Deserialize)]
pub struct FoundPage {
    /// Newest first.
    pub traces: Vec<FoundTrace>,
    /// `None` on the last page.
    pub next_cursor: Option<String>,
    /// A damaged block was left out.
    pub partial: bool,
    /// What it took, if asked.
    pub stats: Option<Stats>,
}

/// A trace and what was found of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct FoundTrace {
    /// Its row.
    #[serde(flatten)]
    pub summary: TraceSummary,
    /// Its spans that the query is about.
    pub spansets: serde_json::Value,
}

/// Series of a metrics query.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeriesList {
    /// Where the first interval starts; decimal.
    pub start_unix_nano: String,
    /// How long each is; decimal.
    pub step_nano: String,
    /// The series.
    pub series: Vec<Series>,
    /// A damaged block was left out.
    pub partial: bool,
    /// What it took, if asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

/// A series.
#[derive(Debug, Serialize, Deserialize)]
pub struct Series {
    /// What tells it from others.
    pub labels: Vec<Label>,
    /// A value for each interval that has one.
    pub values: Vec<Option<f64>>,
    /// Spans that stand for the others.
    pub exemplars: serde_json::Value,
}

/// A named value.
#[derive(Debug, Serialize, Deserialize)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub value_type: String,
    /// As text.
    pub value: String,
}

/// What a query took.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stats {
    /// Blocks, and chunks of the head.
    pub pieces: u64,
    /// Those that were not read, by their times.
    pub pieces_skipped: u64,
    /// Those that were not read because enough newer results were found.
    pub pieces_behind: u64,
    /// Row groups that were looked at.
    pub row_groups: u64,
    /// Those that no scope or column of let meet the query.
    pub row_groups_skipped_by_statistics: u64,
    /// Those whose Bloom filters or dictionaries lack what is asked for.
    pub row_groups_skipped_by_filters: u64,
    /// Spans in them.
    pub spans: u64,
    /// Traces in them.
    pub traces: u64,
    /// Traces that filters left to be judged.
    pub candidates: u64,
    /// Traces of several pieces that were put together.
    pub traces_joined: u64,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// The steps, in order.
    pub steps: Vec<StepTime>,
    /// The columns that were read.
    pub columns: Vec<ReadColumn>,
}

/// How long a step took.
#[derive(Debug, Serialize, Deserialize)]
pub struct StepTime {
    /// A word.
    pub name: String,
    /// Milliseconds in which at least one thread was at it.
    pub wall_ms: f64,
    /// Milliseconds of all threads together.
    pub work_ms: f64,
}

/// A column that was read.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadColumn {
    /// As TraceQL names it.
    pub name: String,
    /// Rows that were decoded.
    pub rows: u64,
    /// Bytes read from files.
    pub bytes: u64,
}

/// A text that is no query.
#[derive(Debug, Deserialize)]
pub struct Misspelt {
    /// What is wrong, and where.
    pub error: String,
    /// The guilty line, and a mark under the spot.
    pub caret: String,
}

/// How far a query is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HowFar {
    /// From 0 to 1.
    pub share: f64,
    /// Traces, or series, so far.
    pub found: usize,
    /// They are series.
    pub is_series: bool,
}

/// A line before the last.
#[derive(Deserialize)]
struct SoFar {
    progress: f64,
    traces: Option<Vec<IgnoredAny>>,
    series: Option<Vec<IgnoredAny>>,
}

/// What ended a query that had begun.
#[derive(Deserialize)]
struct Ended {
    #[serde(rename = "error")]
    _error: String,
}

impl Client {
    /// Asks a query, and tells how far it is; or tells what is wrong with its text.
    pub fn query(
        &self,
        parameters: &Parameters,
        mut progress: impl FnMut(HowFar),
    ) -> anyhow::Result<Result<Answer, Misspelt>> {
        let line = |line: &[u8]| {
            // What cannot be read is not worth to end a query for.
            let Ok(SoFar { progress: share, traces, series }) = serde_json::from_slice(line) else {
                return;
            };
            let found = series.as_ref().or(traces.as_ref()).map_or(0, Vec::len);
            progress(HowFar { share, found, is_series: series.is_some() });
        };
        let (status, body) = self.get_lines("/query", parameters, line)?;
        if let (200, Ok(Ended { .. })) = (status, serde_json::from_slice(&body)) {
            return Err(self.failure(status, &body));
        }
        match (status, serde_json::from_slice(&body)) {
            (200, _) => self.json(&body).map(Ok),
            (400, Ok(misspelt)) => Ok(Err(misspelt)),
            _ => Err(self.failure(status, &body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ServerArgs;
    use super::super::stub::{Stub, reply};
    use super::*;

    fn asked(status: u16, body: &str) -> (anyhow::Result<Result<Answer, Misspelt>>, Vec<HowFar>) {
        let stub = Stub::new([reply(status, &[], body.as_bytes())]);
        let args = ServerArgs { server: stub.url().to_owned(), token: None };
        let mut told = Vec::new();
        let answer = Client::new(&args).query(&Vec::new(), |far| told.push(far));
        (answer, told)
    }

    #[test]
    fn lines_tell_how_far_it_is_and_the_last_is_the_answer() {
        let page = r#"{"traces":[],"next_cursor":null,"partial":false}"#;
        let series = r#"{"start_unix_nano":"0","step_nano":"1","series":[],"partial":false}"#;
        let far = |share, found, is_series| HowFar { share, found, is_series };
        for (body, expected) in [
            (page.to_owned(), vec![]),
            (format!("{page}\n"), vec![]),
            (
                format!("{{\"progress\":0.5,\"traces\":[1,2]}}\nodd\n{page}\n"),
                vec![far(0.5, 2, false)],
            ),
            (
                format!(
                    "{{\"progress\":0,\"series\":[]}}\n{{\"progress\":1,\"series\":[3]}}\n{series}\n"
                ),
                vec![far(0.0, 0, true), far(1.0, 1, true)],
            ),
        ] {
            let (answer, told) = asked(200, &body);
            assert!(matches!(answer, Ok(Ok(_))), "{body}: {answer:?}");
            assert_eq!(told, expected, "{body}");
        }
        let (answer, told) =
            asked(200, "{\"progress\":0,\"traces\":[]}\n{\"error\":\"too much\"}\n");
        let error = answer.unwrap_err().to_string();
        assert!(error.ends_with("answered: too much") && told.len() == 1, "{error}");
        let wrong = r#"{"error":"odd","parameter":"q","line":1,"column":2,"caret":"x"}"#;
        assert!(matches!(asked(400, wrong).0, Ok(Err(_))));
        for (parameter, named) in [("q", "the argument TRACEQL"), ("some_name", "--some-name")] {
            let body = format!("{{\"error\":\"odd\",\"parameter\":\"{parameter}\"}}");
            assert_eq!(asked(400, &body).0.unwrap_err().to_string(), format!("{named}: odd"));
        }
    }
}
