//! From a request of OTLP to messages, none of which is larger than it may be.

use std::collections::BTreeMap;

use bytes::Bytes;
use formats::jaeger::{otlp_to_json_spans, otlp_to_proto_spans, trace_id_text};
use formats::zipkin::{UNKNOWN_SERVICE, otlp_to_proto, write_json};
use kafka::records::NewRecord;
use model::{Resource, SpanBatch, TraceId, Value};

use super::KafkaExporterSettings;
use crate::Signal;
use crate::net::KafkaEncoding;

/// A message, and how many spans, data points or log records it has.
pub(super) struct Message {
    pub(super) record: NewRecord,
    pub(super) items: u64,
}

/// The messages of a request by topic, and what is in none.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) topics: BTreeMap<String, Vec<Message>>,
    pub(super) refused: u64,
    pub(super) why: String,
}

/// Spans that go together, by their numbers in the batch, ascending.
struct Group {
    topic: String,
    key: Option<String>,
    spans: Vec<u32>,
}

/// The messages of a request.
///
/// # Errors
/// Bytes that are no request.
pub(super) fn messages(
    settings: &KafkaExporterSettings,
    signal: Signal,
    bytes: Bytes,
    items: u64,
) -> Result<Messages, String> {
    let mut maker =
        Maker { headers: settings.headers(signal), settings, made: Messages::default() };
    let is_as_it_came = settings.encoding == KafkaEncoding::OtlpProto
        && !settings.partition_traces_by_id
        && settings.topic_from_attribute.is_none();
    if signal != Signal::Traces || is_as_it_came {
        let message = maker.message(None, bytes.clone(), items);
        if maker.fits(&message) {
            maker.push(settings.topic(signal), message);
            return Ok(maker.made);
        }
        if signal != Signal::Traces {
            maker.refuse(items, message.record.batch_bytes());
            return Ok(maker.made);
        }
    }
    let batch = SpanBatch::decode(bytes).map_err(|error| error.to_string())?;
    let left_out = batch.rejection();
    if left_out.spans > 0 {
        maker.made.refused = left_out.spans;
        maker.made.why.clone_from(&left_out.reason);
    }
    for group in groups(settings, &batch) {
        match settings.encoding {
            KafkaEncoding::JaegerProto | KafkaEncoding::JaegerJson => {
                maker.spans(&batch, &group)?
            }
            _ => maker.cut(&batch, group)?,
        }
    }
    Ok(maker.made)
}

/// Spans by topic and, where it is asked for, by trace.
fn groups(settings: &KafkaExporterSettings, batch: &SpanBatch) -> Vec<Group> {
    let mut places: BTreeMap<(&str, Option<TraceId>), Vec<u32>> = BTreeMap::new();
    for (number, span) in (0..).zip(batch.spans()) {
        let (_, resource) = batch.origin(span);
        let named = settings.topic_from_attribute.as_deref();
        let topic = named.and_then(|name| text_of(batch, resource, name));
        let topic = topic.unwrap_or(&settings.traces_topic);
        let trace = settings.partition_traces_by_id.then_some(span.trace_id);
        places.entry((topic, trace)).or_default().push(number);
    }
    let group = |((topic, trace), spans): ((&str, Option<TraceId>), Vec<u32>)| Group {
        topic: topic.to_owned(),
        key: trace.map(|trace| trace.to_string()),
        spans,
    };
    places.into_iter().map(group).collect()
}

/// A resource's attribute, where it is text that is not empty.
fn text_of<'a>(batch: &'a SpanBatch, resource: &Resource, name: &str) -> Option<&'a str> {
    let all = batch.resource_attributes(resource).iter();
    let found = all.into_iter().find(|own| batch.text(own.key) == name)?;
    match found.value {
        Value::String(text) if !text.is_empty() => Some(batch.text(text)),
        _ => None,
    }
}

struct Maker<'a> {
    settings: &'a KafkaExporterSettings,
    headers: Vec<(String, Bytes)>,
    made: Messages,
}

impl Maker<'_> {
    fn message(&self, key: Option<&str>, value: Bytes, items: u64) -> Message {
        let key = key.map(|key| Bytes::from(key.to_owned()));
        Message { record: NewRecord { key, value, headers: self.headers.clone() }, items }
    }

    fn fits(&self, message: &Message) -> bool {
        message.record.batch_bytes() <= self.settings.producer.message_bytes_max
    }

    fn push(&mut self, topic: &str, message: Message) {
        self.made.topics.entry(topic.to_owned()).or_default().push(message);
    }

    fn refuse(&mut self, items: u64, bytes: usize) {
        self.made.refused += items;
        if self.made.why.is_empty() {
            let most = self.settings.producer.message_bytes_max;
            self.made.why = format!(
                "a message of {bytes} bytes is larger than producer.max_message_bytes, {most}, and \
                 cannot be cut"
            );
        }
    }

    /// A message for each span, as Jaeger has them.
    fn spans(&mut self, batch: &SpanBatch, group: &Group) -> Result<(), String> {
        let own = some(batch, &group.spans)?;
        let values: Vec<Bytes> = match self.settings.encoding {
            KafkaEncoding::JaegerProto => otlp_to_proto_spans(&own),
            _ => otlp_to_json_spans(&own).into_iter().map(Bytes::from).collect(),
        };
        for (span, value) in own.spans().iter().zip(values) {
            let message = self.message(Some(&trace_id_text(span.trace_id)), value, 1);
            if self.fits(&message) {
                self.push(&group.topic, message);
            } else {
                self.refuse(1, message.record.batch_bytes());
            }
        }
        Ok(())
    }

    /// One message, or several where it would be too large.
    fn cut(&mut self, batch: &SpanBatch, group: Group) -> Result<(), String> {
        // Halves are cut in their turn, the first one first.
        let mut left = vec![group.spans];
        while let Some(spans) = left.pop() {
            let value = self.value(batch, &spans)?;
            let message = self.message(group.key.as_deref(), value, spans.len() as u64);
            if self.fits(&message) {
                self.push(&group.topic, message);
            } else if spans.len() > 1 {
                let (first, second) = halves(batch, spans);
                left.push(second);
                left.push(first);
            } else {
                self.refuse(1, message.record.batch_bytes());
            }
        }
        Ok(())
    }

    fn value(&self, batch: &SpanBatch, spans: &[u32]) -> Result<Bytes, String> {
        let otlp = batch.encoded_some(spans);
        let decoded = |otlp| SpanBatch::decode(otlp).map_err(|error| error.to_string());
        Ok(match self.settings.encoding {
            KafkaEncoding::OtlpJson => {
                model::json::encode(&otlp).map_err(|error| error.to_string())?.into()
            }
            KafkaEncoding::ZipkinProto => otlp_to_proto(&decoded(otlp)?, UNKNOWN_SERVICE).into(),
            KafkaEncoding::ZipkinJson => {
                let mut json = Vec::new();
                write_json(&mut json, &decoded(otlp)?);
                json.into()
            }
            _ => otlp,
        })
    }
}

/// Some spans as a batch of their own.
fn some(batch: &SpanBatch, spans: &[u32]) -> Result<SpanBatch, String> {
    SpanBatch::decode(batch.encoded_some(spans)).map_err(|error| error.to_string())
}

/// Spans in two parts of about the same number, between traces if there are several.
fn halves(batch: &SpanBatch, spans: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
    let trace = |number: &u32| batch.spans().get(*number as usize).map(|span| span.trace_id);
    let mut by_trace = spans;
    by_trace.sort_by_key(|number| (trace(number), *number));
    let middle = by_trace.len() / 2;
    let is_edge = |at: &usize| by_trace.get(*at).map(trace) != by_trace.get(at - 1).map(trace);
    let edges = (1..by_trace.len()).filter(is_edge);
    let at = edges.min_by_key(|at| at.abs_diff(middle)).unwrap_or(middle);
    let mut second = by_trace.split_off(at);
    by_trace.sort_unstable();
    second.sort_unstable();
    (by_trace, second)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::TracesEncoder;
    use model::wire::{put_bytes_field, put_message};

    use super::*;

    /// Traces of so many spans each, whose names have so many bytes.
    fn request(traces: u8, spans: u8, name_bytes: usize, topic: &str) -> Bytes {
        let mut resource = Vec::new();
        put_message(&mut resource, 1, |out| {
            put_bytes_field(out, 1, b"topic");
            put_message(out, 2, |out| put_bytes_field(out, 1, topic.as_bytes()));
        });
        let mut encoder = TracesEncoder::new();
        let place = encoder.origin(&resource, b"", b"", b"");
        for span in 0..spans {
            for trace in 0..traces {
                encoder.span(place, |out| {
                    put_bytes_field(out, 1, &[trace + 1; 16]);
                    put_bytes_field(out, 2, &[trace + 1, span + 1, 1, 1, 1, 1, 1, 1]);
                    put_bytes_field(out, 5, &vec![b'n'; name_bytes]);
                });
            }
        }
        encoder.finish().into()
    }

    fn make(settings: &KafkaExporterSettings, bytes: Bytes) -> Messages {
        let items = SpanBatch::decode(bytes.clone()).unwrap().len() as u64;
        messages(settings, Signal::Traces, bytes, items).unwrap()
    }

    fn settings(bytes_max: usize) -> KafkaExporterSettings {
        let mut settings = KafkaExporterSettings::default();
        settings.producer.message_bytes_max = bytes_max;
        settings
    }

    #[test]
    fn what_is_too_large_is_cut_between_traces_and_then_between_spans() {
        // 120 bytes a span and some more: a trace of four fits, two do not; then not even two spans.
        for (bytes_max, expected) in [(10_000, vec![12]), (800, vec![4, 4, 4]), (350, vec![1; 12])]
        {
            for encoding in
                [KafkaEncoding::OtlpProto, KafkaEncoding::ZipkinProto, KafkaEncoding::OtlpJson]
            {
                // A span alone is larger than that in the others.
                if bytes_max == 350 && encoding != KafkaEncoding::OtlpProto {
                    continue;
                }
                let settings = KafkaExporterSettings { encoding, ..settings(bytes_max) };
                let made = make(&settings, request(3, 4, 90, "t"));
                let all = &made.topics["otlp_spans"];
                assert_eq!(made.refused, 0, "{encoding:?} {bytes_max}");
                let most = all.iter().map(|one| one.record.batch_bytes()).max().unwrap();
                assert!(most <= bytes_max, "{encoding:?} {bytes_max} {most}");
                assert_eq!(all.iter().map(|one| one.items).sum::<u64>(), 12, "{encoding:?}");
                if encoding != KafkaEncoding::OtlpProto {
                    continue;
                }
                let counts: Vec<_> = all.iter().map(|one| one.items).collect();
                assert_eq!(counts, expected, "{bytes_max}");
                let mut ids = BTreeSet::new();
                for message in all {
                    let batch = SpanBatch::decode(message.record.value.clone()).unwrap();
                    ids.extend(batch.spans().iter().map(|span| span.span_id.0));
                }
                assert_eq!(ids.len(), 12);
            }
        }
    }

    #[test]
    fn a_span_that_is_too_large_alone_is_refused_and_the_others_are_not() {
        let bytes = [request(1, 3, 10, "t"), request(1, 1, 5000, "t")].concat();
        for encoding in [KafkaEncoding::OtlpProto, KafkaEncoding::JaegerProto] {
            let settings = KafkaExporterSettings { encoding, ..settings(1000) };
            let made = make(&settings, bytes.clone().into());
            assert_eq!(made.refused, 1, "{encoding:?}");
            assert!(made.why.contains("max_message_bytes, 1000"), "{}", made.why);
            let taken: u64 = made.topics["otlp_spans"].iter().map(|one| one.items).sum();
            assert_eq!(taken, 3, "{encoding:?}");
        }
    }

    #[test]
    fn topics_and_keys_are_those_asked_for() {
        let settings = KafkaExporterSettings {
            topic_from_attribute: Some("topic".to_owned()),
            partition_traces_by_id: true,
            headers: vec![("a".to_owned(), "b".to_owned())],
            signal_header: true,
            ..settings(10_000)
        };
        let bytes = [request(2, 2, 5, "one"), request(1, 1, 5, "two"), request(1, 1, 5, "")];
        let made = make(&settings, bytes.concat().into());
        let told: Vec<_> = made
            .topics
            .iter()
            .flat_map(|(topic, all)| all.iter().map(move |one| (topic.as_str(), one)))
            .map(|(topic, one)| {
                let key = String::from_utf8(one.record.key.clone().unwrap().to_vec()).unwrap();
                let names: Vec<_> =
                    one.record.headers.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(names, ["a", "otelcol.signal"]);
                (topic.to_owned(), key, one.items)
            })
            .collect();
        let expected =
            [("one", "01", 2), ("one", "02", 2), ("otlp_spans", "01", 1), ("two", "01", 1)]
                .map(|(topic, byte, items)| (topic.to_owned(), byte.repeat(16), items));
        assert_eq!(told, expected);
        let settings = KafkaExporterSettings {
            encoding: KafkaEncoding::JaegerJson,
            ..KafkaExporterSettings::default()
        };
        let made = make(&settings, request(1, 2, 5, "t"));
        let keys = made.topics["otlp_spans"].iter().map(|one| one.record.key.clone().unwrap());
        assert_eq!(keys.collect::<Vec<_>>(), vec![Bytes::from("01".repeat(16)); 2]);
    }
}
