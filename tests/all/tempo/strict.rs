//! Answers as a decoder takes them that refuses what it does not know.

use serde_json::Value;

use super::list;

/// Asserts that a value has fields of these names alone.
pub fn has_only(value: &Value, names: &[&str]) {
    for name in value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys() {
        assert!(names.contains(&name.as_str()), "{name} would be refused: {value}");
    }
}

/// Asserts that a number of 64 bits is written as one.
pub fn is_text_of_digits(value: &Value) {
    let digits = value.as_str().unwrap_or_else(|| panic!("64 bits are text: {value}"));
    assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{value}");
}

/// Asserts that these are what a query took.
pub fn are_metrics(value: &Value) {
    const NAMES: [&str; 7] = [
        "inspectedTraces",
        "inspectedBytes",
        "totalBlocks",
        "completedJobs",
        "totalJobs",
        "totalBlockBytes",
        "inspectedSpans",
    ];
    has_only(value, &NAMES);
    assert!(value["inspectedSpans"].is_null() || value["inspectedSpans"].is_string(), "{value}");
}

/// Asserts that these are pairs of keys and values, if they are there at all.
pub fn are_attributes(value: &Value) {
    for attribute in value.as_array().map_or(&[][..], Vec::as_slice) {
        has_only(attribute, &["key", "value"]);
        let names = ["stringValue", "intValue", "doubleValue", "boolValue", "arrayValue"];
        has_only(&attribute["value"], &names);
        assert_eq!(attribute["value"].as_object().map_or(0, serde_json::Map::len), 1);
    }
}

/// The answer of a search as a strict decoder of protobuf's JSON takes it.
pub fn is_a_search(answer: &Value) {
    has_only(answer, &["traces", "metrics"]);
    are_metrics(&answer["metrics"]);
    for trace in list(&answer["traces"]) {
        let names = [
            "traceID",
            "rootServiceName",
            "rootTraceName",
            "startTimeUnixNano",
            "durationMs",
            "spanSet",
            "spanSets",
            "serviceStats",
        ];
        has_only(trace, &names);
        is_text_of_digits(&trace["startTimeUnixNano"]);
        assert!(trace["durationMs"].is_null() || trace["durationMs"].is_u64(), "{trace}");
        assert_eq!(trace["spanSet"], trace["spanSets"][0]);
        for stats in trace["serviceStats"].as_object().expect("services").values() {
            has_only(stats, &["spanCount", "errorCount"]);
        }
        for spanset in list(&trace["spanSets"]) {
            has_only(spanset, &["spans", "matched", "attributes"]);
            are_attributes(&spanset["attributes"]);
            for span in list(&spanset["spans"]) {
                let names = ["spanID", "name", "startTimeUnixNano", "durationNanos", "attributes"];
                has_only(span, &names);
                is_text_of_digits(&span["startTimeUnixNano"]);
                is_text_of_digits(&span["durationNanos"]);
                are_attributes(&span["attributes"]);
            }
        }
    }
}
