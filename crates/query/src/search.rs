//! Search and series requests from their parameters.

use store::{SearchRequest, SeriesBy, SeriesRequest, SpanFilter};

use crate::cursor::decode_cursor;
use crate::text::{parse_attribute, parse_duration_nano, parse_time_unix_nano};

/// The most traces of a page, and the most steps of a series.
pub const LIMIT_MAX: usize = 1000;

const LIMIT_DEFAULT: usize = 20;
const STEPS_DEFAULT: usize = 60;
const SERIES_MAX: usize = 100;
const HOUR_NANO: u64 = 3_600_000_000_000;

/// A parameter is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SearchError {
    /// Its name.
    pub parameter: &'static str,
    /// What is wrong and what to write instead.
    pub problem: String,
}

fn wrong(parameter: &'static str) -> impl Fn(String) -> SearchError {
    move |problem| SearchError { parameter, problem }
}

/// The parameters that searches and series share, as texts. An empty one counts as absent, but for
/// the two names: spans may have none, and be searched for it.
#[derive(Debug, Clone, Default)]
pub struct SearchTexts {
    /// The service; empty for spans without one.
    pub service: Option<String>,
    /// The span's name; empty for spans without one.
    pub operation: Option<String>,
    /// Conditions `key=value`.
    pub attributes: Vec<String>,
    /// `unset`, `ok` or `error`.
    pub status: Option<String>,
    /// A duration.
    pub min_duration: Option<String>,
    /// A duration.
    pub max_duration: Option<String>,
    /// A time.
    pub start: Option<String>,
    /// A time.
    pub end: Option<String>,
    /// A number from 1 to [`LIMIT_MAX`].
    pub limit: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// The parameters that only series have.
#[derive(Debug, Clone, Default)]
pub struct SeriesTexts {
    /// A number from 1 to [`LIMIT_MAX`].
    pub steps: Option<String>,
    /// `service` or `operation`.
    pub by: Option<String>,
}

impl SearchTexts {
    /// The search that the texts ask for.
    pub fn to_search(&self, now_unix_nano: u64) -> Result<SearchRequest, SearchError> {
        let cursor = self.cursor.as_deref().filter(|text| !text.is_empty());
        Ok(SearchRequest {
            filter: self.to_filter(now_unix_nano)?,
            limit: number("limit", self.limit.as_deref(), LIMIT_DEFAULT)?,
            after: cursor
                .map(decode_cursor)
                .transpose()
                .map_err(|error| wrong("cursor")(error.to_string()))?,
        })
    }

    /// The series that the texts ask for.
    pub fn to_series(
        &self,
        series: &SeriesTexts,
        now_unix_nano: u64,
    ) -> Result<SeriesRequest, SearchError> {
        let filter = self.to_filter(now_unix_nano)?;
        let end = filter.start_max_unix_nano.unwrap_or(now_unix_nano);
        let start = filter.start_min_unix_nano.unwrap_or(end.saturating_sub(HOUR_NANO));
        if start >= end {
            return Err(wrong("start")("start must be before end".to_owned()));
        }
        let steps = number("steps", series.steps.as_deref(), STEPS_DEFAULT)?;
        let by = match series.by.as_deref() {
            None | Some("") => None,
            Some("service") => Some(SeriesBy::Service),
            Some("operation") => Some(SeriesBy::Operation),
            Some(other) => {
                return Err(wrong("by")(format!("{other:?} is neither service nor operation")));
            }
        };
        let step_nano = (end - start).div_ceil(steps as u64).max(1);
        Ok(SeriesRequest {
            filter,
            start_unix_nano: start,
            step_nano,
            steps,
            by,
            series_max: SERIES_MAX,
        })
    }

    fn to_filter(&self, now_unix_nano: u64) -> Result<SpanFilter, SearchError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let duration = |parameter, text: &Option<String>| {
            given(text)
                .map(|text| parse_duration_nano(&text))
                .transpose()
                .map_err(|error| wrong(parameter)(error.to_string()))
        };
        let time = |parameter, text: &Option<String>| {
            given(text)
                .map(|text| parse_time_unix_nano(&text, now_unix_nano))
                .transpose()
                .map_err(|error| wrong(parameter)(error.to_string()))
        };
        let status = match self.status.as_deref() {
            None | Some("") => None,
            Some("unset") => Some(model::status_code::UNSET),
            Some("ok") => Some(model::status_code::OK),
            Some("error") => Some(model::status_code::ERROR),
            Some(other) => {
                return Err(wrong("status")(format!("{other:?} is none of unset, ok, error")));
            }
        };
        let start = time("start", &self.start)?;
        let end = time("end", &self.end)?;
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            return Err(wrong("start")("start is after end; nothing can lie between".to_owned()));
        }
        let attributes: Result<Vec<_>, _> =
            self.attributes.iter().map(|text| parse_attribute(text)).collect();
        Ok(SpanFilter {
            service: self.service.clone(),
            operation: self.operation.clone(),
            attributes: attributes.map_err(|error| wrong("attribute")(error.to_string()))?,
            status,
            duration_min_nano: duration("min_duration", &self.min_duration)?,
            duration_max_nano: duration("max_duration", &self.max_duration)?,
            start_min_unix_nano: start,
            start_max_unix_nano: end,
        })
    }
}

fn number(
    parameter: &'static str,
    text: Option<&str>,
    default: usize,
) -> Result<usize, SearchError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(default) };
    text.parse().ok().filter(|number| (1..=LIMIT_MAX).contains(number)).ok_or_else(|| {
        wrong(parameter)(format!("{text:?} is not a whole number from 1 to {LIMIT_MAX}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000_000;

    #[test]
    fn nothing_given_asks_for_everything() {
        let request = SearchTexts::default().to_search(NOW).unwrap();
        assert_eq!(
            request,
            SearchRequest { filter: SpanFilter::default(), limit: 20, after: None }
        );
    }

    #[test]
    fn an_empty_name_is_a_name_and_any_other_empty_text_is_none() {
        let empty = || Some(String::new());
        let texts = SearchTexts {
            service: empty(),
            operation: empty(),
            status: empty(),
            min_duration: empty(),
            max_duration: empty(),
            start: empty(),
            end: empty(),
            limit: empty(),
            cursor: empty(),
            ..SearchTexts::default()
        };
        let names = SpanFilter { service: empty(), operation: empty(), ..SpanFilter::default() };
        assert_eq!(texts.to_search(NOW).unwrap().filter, names);
        assert_eq!(texts.to_series(&SeriesTexts::default(), NOW).unwrap().filter, names);
    }

    #[test]
    fn the_wrong_parameter_is_named() {
        let some = |text: &str| Some(text.to_owned());
        let table = [
            (SearchTexts { status: some("bad"), ..Default::default() }, "status"),
            (SearchTexts { limit: some("0"), ..Default::default() }, "limit"),
            (SearchTexts { limit: some("1001"), ..Default::default() }, "limit"),
            (SearchTexts { limit: some("-1"), ..Default::default() }, "limit"),
            (SearchTexts { cursor: some("x"), ..Default::default() }, "cursor"),
            (SearchTexts { min_duration: some("1"), ..Default::default() }, "min_duration"),
            (SearchTexts { max_duration: some("x"), ..Default::default() }, "max_duration"),
            (SearchTexts { start: some("soon"), ..Default::default() }, "start"),
            (SearchTexts { end: some("soon"), ..Default::default() }, "end"),
            (SearchTexts { start: some("now"), end: some("-1ns"), ..Default::default() }, "start"),
            (SearchTexts { attributes: vec!["x".to_owned()], ..Default::default() }, "attribute"),
        ];
        for (texts, parameter) in table {
            assert_eq!(texts.to_search(NOW).unwrap_err().parameter, parameter);
        }
    }

    #[test]
    fn a_series_covers_its_range_in_whole_steps() {
        let texts = SearchTexts {
            start: Some("-10s".to_owned()),
            end: Some("now".to_owned()),
            ..Default::default()
        };
        let steps = SeriesTexts { steps: Some("3".to_owned()), by: Some("service".to_owned()) };
        let request = texts.to_series(&steps, NOW).unwrap();
        assert_eq!(request.start_unix_nano, NOW - 10_000_000_000);
        assert!(request.step_nano * 3 >= 10_000_000_000);
        let reversed =
            SearchTexts { start: texts.end.clone(), end: texts.start, ..Default::default() };
        assert_eq!(reversed.to_series(&steps, NOW).unwrap_err().parameter, "start");
    }
}
