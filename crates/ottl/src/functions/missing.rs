//! Functions that the Collector has and that are not here.

const XML: &str = "XML is not read here";
const LAMBDA: &str = "functions of functions are experimental in the Collector and not here";
const LOGS: &str = "it is for logs and profiles, and Spanfall has traces";
const GROK: &str = "grok patterns are not here; ExtractPatterns takes a regular expression";
const RARE: &str = "it is not done";

/// Each function that is left out, and why.
static MISSING: &[(&str, &str)] = &[
    ("set_semconv_span_name", "set(span.name, …) sets a name; attributes are not made one here"),
    ("stringify_all", "it is not done; String() makes a string of one value"),
    ("All", LAMBDA),
    ("Any", LAMBDA),
    ("Filter", LAMBDA),
    ("Find", LAMBDA),
    ("MapEach", LAMBDA),
    ("MapKeys", LAMBDA),
    ("Reduce", LAMBDA),
    ("When", LAMBDA),
    ("CommunityID", RARE),
    ("ConvertAttributesToElementsXML", XML),
    ("ConvertTextToElementsXML", XML),
    ("GetXML", XML),
    ("InsertXML", XML),
    ("ParseSimplifiedXML", XML),
    ("ParseXML", XML),
    ("RemoveXML", XML),
    ("ExtractGrokPatterns", GROK),
    ("Murmur3Hash128", "Murmur3Hash, XXH128 and SHA256 are here"),
    ("ParseCSV", "Split takes a string apart at a delimiter"),
    ("ParseSeverity", LOGS),
    ("ProfileID", LOGS),
    ("UserAgent", "its database of user agents is not here; ExtractPatterns takes one apart"),
];

/// Why a function of the Collector is not here; nothing for a name that it does not have either.
pub(crate) fn why_missing(name: &str) -> Option<&'static str> {
    MISSING.iter().find(|(missing, _)| *missing == name).map(|(_, why)| *why)
}
