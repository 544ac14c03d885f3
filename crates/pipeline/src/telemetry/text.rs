//! Metrics as text: Prometheus' format 0.0.4 and OpenMetrics 1.0.
//!
//! Source: Prometheus, "Exposition formats"; OpenMetrics 1.0; OpenTelemetry, "Prometheus and
//! OpenMetrics Compatibility".

use std::fmt::Write;

use super::resource::Resource;
use super::{HistogramPart, MetricKind, Sample};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// What a client prefers; Prometheus' own if it does not say.
    pub(super) fn accepted(accept: &str) -> Self {
        let mut best = (Self::Prometheus, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next() {
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain") => Self::Prometheus,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            let quality = quality.unwrap_or(1.0);
            if quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// How metrics are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Style {
    /// Labels of every series, ready to be written.
    constant: Vec<(String, String)>,
    /// Labels of `target_info`.
    target: Vec<(String, String)>,
    without_type_suffix: bool,
}

impl Style {
    /// Attributes of the resource that a pattern of `included` matches, and none of `excluded`, are
    /// labels of every series.
    pub(super) fn new(
        resource: &Resource,
        included: &[String],
        excluded: &[String],
        without_type_suffix: bool,
    ) -> Self {
        let mut own = Self { without_type_suffix, ..Self::default() };
        for (key, value) in &resource.attributes {
            let name = label_name(key);
            add(&mut own.target, &name, value.text());
            let any = |patterns: &[String]| patterns.iter().any(|own| matches(own, key));
            if any(included) && !any(excluded) {
                add(&mut own.constant, &name, value.text());
            }
        }
        own
    }

    /// All samples, which are in order: those of one name together.
    pub(super) fn write(&self, format: Format, samples: &[Sample]) -> String {
        let mut out = String::with_capacity(samples.len() * 96);
        let target = if format == Format::OpenMetrics { "target" } else { "target_info" };
        let kind = if format == Format::OpenMetrics { "info" } else { "gauge" };
        let _ = writeln!(out, "# HELP {target} What sends these metrics\n# TYPE {target} {kind}");
        out.push_str("target_info");
        put_labels(&mut out, &self.target, &[], None);
        out.push_str(" 1\n");
        for family in samples.chunk_by(|a, b| a.name == b.name) {
            if let Some(first) = family.first() {
                self.family(&mut out, format, first, family);
            }
        }
        if format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    fn family(&self, out: &mut String, format: Format, first: &Sample, family: &[Sample]) {
        let has_total = format == Format::OpenMetrics || !self.without_type_suffix;
        let counted = match first.kind {
            MetricKind::Counter if has_total && !first.name.ends_with("_total") => "_total",
            _ => "",
        };
        let kind = match first.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        // OpenMetrics names the family without what its samples end with.
        let suffix = if format == Format::OpenMetrics { "" } else { counted };
        let name = match format {
            Format::OpenMetrics if first.kind == MetricKind::Counter => {
                first.name.trim_end_matches("_total")
            }
            _ => first.name,
        };
        let _ = write!(out, "# HELP {name}{suffix} ");
        escape(out, first.help, format == Format::OpenMetrics);
        let _ = writeln!(out, "\n# TYPE {name}{suffix} {kind}");
        for sample in family {
            out.push_str(sample.name);
            out.push_str(match sample.kind {
                MetricKind::Histogram(HistogramPart::Bucket(_)) => "_bucket",
                MetricKind::Histogram(HistogramPart::Sum) => "_sum",
                MetricKind::Histogram(HistogramPart::Count) => "_count",
                MetricKind::Counter | MetricKind::Gauge => counted,
            });
            let bound = match sample.kind {
                MetricKind::Histogram(HistogramPart::Bucket(u64::MAX)) => Some("+Inf".to_owned()),
                MetricKind::Histogram(HistogramPart::Bucket(bound)) => Some(match format {
                    Format::Prometheus => bound.to_string(),
                    // There, bounds are floats.
                    Format::OpenMetrics => format!("{bound}.0"),
                }),
                _ => None,
            };
            put_labels(out, &self.constant, &sample.labels, bound.as_deref());
            out.push(' ');
            put_number(out, sample.value);
            out.push('\n');
        }
    }
}

fn put_labels(
    out: &mut String,
    constant: &[(String, String)],
    own: &[(&'static str, String)],
    bound: Option<&str>,
) {
    let mut mark = '{';
    let mut put = |out: &mut String, name: &str, value: &str| {
        out.push(mark);
        mark = ',';
        out.push_str(name);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
    };
    for (name, value) in own {
        put(out, name, value);
    }
    let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
    for (name, value) in constant.iter().filter(|(name, _)| !is_own(name)) {
        put(out, name, value);
    }
    if let Some(bound) = bound {
        put(out, "le", bound);
    }
    if mark == ',' {
        out.push('}');
    }
}

fn put_number(out: &mut String, value: f64) {
    let _ = match value {
        value if value.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        value => write!(out, "{value}"),
    };
}

/// Backslashes and ends of lines, and quotes where text stands between them.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for mark in text.chars() {
        match mark {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            mark => out.push(mark),
        }
    }
}

/// A label's name of an attribute's: letters, digits and `_`.
fn label_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    if key.starts_with(|mark: char| mark.is_ascii_digit()) || key.is_empty() {
        name.push_str("key_");
    }
    name.extend(key.chars().map(|mark| if mark.is_ascii_alphanumeric() { mark } else { '_' }));
    name
}

/// Attributes that have the same label share it.
fn add(labels: &mut Vec<(String, String)>, name: &str, value: String) {
    match labels.iter_mut().find(|(own, _)| own == name) {
        Some((_, own)) => {
            own.push(';');
            own.push_str(&value);
        }
        None => labels.push((name.to_owned(), value)),
    }
}

/// Whether a pattern with `*` for any text, and `?` for any character, is that of a key.
fn matches(pattern: &str, key: &str) -> bool {
    let (pattern, key): (Vec<char>, Vec<char>) = (pattern.chars().collect(), key.chars().collect());
    let (mut at, mut place) = (0, 0);
    // Where to go back to: behind the last star, and what it stands for up to now.
    let mut back = None;
    while place < key.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                back = Some((at, place));
            }
            Some(mark) if *mark == '?' || key.get(place) == Some(mark) => {
                at += 1;
                place += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    at = star;
                    place = from + 1;
                    back = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|mark| *mark == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::resource::Scalar;

    fn sample(name: &'static str, kind: MetricKind, labels: &[&str], value: f64) -> Sample {
        let keys = ["receiver", "transport"];
        let labels = keys.into_iter().zip(labels.iter().map(|&label| label.to_owned()));
        Sample {
            name,
            help: "Spans \\ taken,\nall \"of\" them",
            kind,
            labels: labels.collect(),
            value,
        }
    }

    fn style(without_type_suffix: bool) -> Style {
        let attributes = [("service.name", "shop \"é\"\n"), ("a.b", "1"), ("a_b", "2"), ("9x", "")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), Scalar::from(value)));
        let resource = Resource { attributes: attributes.to_vec() };
        let included = ["service.*".to_owned(), "9x".to_owned()];
        Style::new(&resource, &included, &["9?".to_owned()], without_type_suffix)
    }

    #[test]
    fn both_formats_are_written_as_they_are_specified() {
        let bucket = |bound| MetricKind::Histogram(HistogramPart::Bucket(bound));
        let samples = [
            sample("a_spans", MetricKind::Counter, &["otlp", "grpc"], 3.0),
            sample("a_spans", MetricKind::Counter, &["x\\y\"z\n{},=", "ü"], 1e16),
            sample("b_size", MetricKind::Gauge, &[], 0.5),
            sample("c_sizes", bucket(10), &["b"], 1.0),
            sample("c_sizes", bucket(u64::MAX), &["b"], 2.0),
            sample("c_sizes", MetricKind::Histogram(HistogramPart::Sum), &["b"], 70.0),
            sample("c_sizes", MetricKind::Histogram(HistogramPart::Count), &["b"], 2.0),
            sample("d", MetricKind::Gauge, &[], f64::NAN),
            sample("d", MetricKind::Gauge, &["x"], f64::NEG_INFINITY),
        ];
        let service = r#"service_name="shop \"é\"\n""#;
        let prometheus = format!(
            r#"# HELP target_info What sends these metrics
# TYPE target_info gauge
target_info{{{service},a_b="1;2",key_9x=""}} 1
# HELP a_spans_total Spans \\ taken,\nall "of" them
# TYPE a_spans_total counter
a_spans_total{{receiver="otlp",transport="grpc",{service}}} 3
a_spans_total{{receiver="x\\y\"z\n{{}},=",transport="ü",{service}}} 10000000000000000
# HELP b_size Spans \\ taken,\nall "of" them
# TYPE b_size gauge
b_size{{{service}}} 0.5
# HELP c_sizes Spans \\ taken,\nall "of" them
# TYPE c_sizes histogram
c_sizes_bucket{{receiver="b",{service},le="10"}} 1
c_sizes_bucket{{receiver="b",{service},le="+Inf"}} 2
c_sizes_sum{{receiver="b",{service}}} 70
c_sizes_count{{receiver="b",{service}}} 2
# HELP d Spans \\ taken,\nall "of" them
# TYPE d gauge
d{{{service}}} NaN
d{{receiver="x",{service}}} -Inf
"#
        );
        assert_eq!(style(false).write(Format::Prometheus, &samples), prometheus);
        let plain = prometheus.replace("a_spans_total", "a_spans");
        assert_eq!(style(true).write(Format::Prometheus, &samples), plain);
        let open = prometheus
            .replace("# HELP target_info", "# HELP target")
            .replace("# TYPE target_info gauge", "# TYPE target info")
            .replace("HELP a_spans_total", "HELP a_spans")
            .replace("TYPE a_spans_total", "TYPE a_spans")
            .replace("all \"of\" them", "all \\\"of\\\" them")
            .replace("le=\"10\"", "le=\"10.0\"")
            + "# EOF\n";
        for without_type_suffix in [false, true] {
            let style = style(without_type_suffix);
            assert_eq!(style.write(Format::OpenMetrics, &samples), open);
        }
    }

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        use Format::{OpenMetrics, Prometheus};
        for (accept, expected) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/html", Prometheus),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2,*/*;q=0.1",
                OpenMetrics,
            ),
            ("application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.5", Prometheus),
            ("application/openmetrics-text;q=0, text/plain", Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn patterns_of_attributes() {
        for (pattern, key, expected) in [
            ("*", "", true),
            ("*", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "ab", false),
            ("*.b*c", "a.bbxc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "a", false),
            ("a", "a", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }
}
