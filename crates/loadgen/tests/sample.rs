//! The sample trace has what it is there to show.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use loadgen::sample_trace;
use model::{Span, SpanBatch, Value, kind};

const NOW_UNIX_NANO: u64 = 1_700_000_000_000_000_000;

fn sample(seed: u64) -> SpanBatch {
    let batch = SpanBatch::decode(Bytes::from(sample_trace(seed, NOW_UNIX_NANO))).unwrap();
    assert_eq!(batch.rejection().spans, 0, "{}", batch.rejection().reason);
    batch
}

fn named<'a>(batch: &'a SpanBatch, name: &str) -> Vec<&'a Span> {
    batch.spans().iter().filter(|span| batch.text(span.name) == name).collect()
}

#[test]
fn is_one_trace_of_a_small_shop() {
    let batch = sample(1);
    println!("{} spans", batch.len());
    assert!((35..=48).contains(&batch.len()), "{} spans", batch.len());
    let traces: HashSet<_> = batch.spans().iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 1);
    let services: HashSet<_> = batch.resources().iter().map(|it| batch.service_name(it)).collect();
    assert_eq!(services.len(), 7, "{services:?}");
    let ids: HashSet<_> = batch.spans().iter().map(|span| span.span_id).collect();
    assert_eq!(ids.len(), batch.len());
    let roots = batch.spans().iter().filter(|span| span.parent_span_id.is_none()).count();
    assert_eq!(roots, 1);
    for span in batch.spans() {
        assert!(span.parent_span_id.is_none() || ids.contains(&span.parent_span_id));
        assert!(span.start_unix_nano < span.end_unix_nano);
        assert!(span.end_unix_nano <= NOW_UNIX_NANO);
        for event in batch.span_events(span) {
            let span = span.start_unix_nano..=span.end_unix_nano;
            assert!(span.contains(&event.time_unix_nano), "{}", batch.text(event.name));
        }
    }
    let last = batch.spans().iter().map(|span| span.end_unix_nano).max();
    assert_eq!(last, Some(NOW_UNIX_NANO));
}

#[test]
fn shows_the_oddities() {
    let batch = sample(1);
    let by_id: HashMap<_, _> = batch.spans().iter().map(|span| (span.span_id, span)).collect();

    assert_eq!(named(&batch, "SELECT prices").len(), 10, "N+1");
    assert!(named(&batch, "SELECT orders")[0].duration_nano() > 300_000_000, "slow query");
    let tries = named(&batch, "shop.Stock/Reserve");
    let clients = tries.iter().filter(|span| span.kind == kind::CLIENT);
    assert_eq!(clients.map(|it| it.is_error()).collect::<Vec<_>>(), [true, true, false]);

    let late = named(&batch, "write_audit_async")[0];
    assert!(late.end_unix_nano > by_id[&late.parent_span_id].end_unix_nano, "ends late");

    let consumer = named(&batch, "process orders")[0];
    assert_eq!(by_id[&consumer.parent_span_id].kind, kind::PRODUCER);
    let link = batch.span_links(consumer)[0];
    assert!(link.trace_id != consumer.trace_id && !link.trace_id.is_none());

    let exceptions: Vec<&str> = batch
        .spans()
        .iter()
        .flat_map(|span| batch.span_events(span))
        .filter(|event| batch.text(event.name) == "exception")
        .flat_map(|event| batch.event_attributes(event))
        .filter_map(|it| match it.value {
            Value::String(text) if batch.text(it.key) == "exception.stacktrace" => {
                Some(batch.text(text))
            }
            _ => None,
        })
        .collect();
    assert_eq!(exceptions.len(), 1);
    assert!(exceptions[0].lines().count() > 5);
}

#[test]
fn leaves_a_gap_before_the_payment() {
    let batch = sample(1);
    let server = named(&batch, "shop.Checkout/Place")
        .into_iter()
        .find(|span| span.kind == kind::SERVER)
        .unwrap();
    let mut children: Vec<&Span> =
        batch.spans().iter().filter(|span| span.parent_span_id == server.span_id).collect();
    children.sort_by_key(|span| span.start_unix_nano);
    let gap = children
        .windows(2)
        .map(|pair| pair[1].start_unix_nano.saturating_sub(pair[0].end_unix_nano))
        .max();
    assert!(gap > Some(100_000_000), "{gap:?}");
}

#[test]
fn has_attributes_of_every_type() {
    let batch = sample(1);
    let types: HashSet<_> = batch
        .spans()
        .iter()
        .flat_map(|span| batch.span_attributes(span))
        .map(|it| std::mem::discriminant(&it.value))
        .collect();
    assert_eq!(types.len(), 7);
}

#[test]
fn depends_on_seed_and_time_alone() {
    assert_eq!(sample_trace(5, NOW_UNIX_NANO), sample_trace(5, NOW_UNIX_NANO));
    assert_ne!(sample_trace(5, NOW_UNIX_NANO), sample_trace(6, NOW_UNIX_NANO));
    let ids = |now| {
        let batch = SpanBatch::decode(Bytes::from(sample_trace(5, now))).unwrap();
        batch.spans().iter().map(|span| span.span_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(NOW_UNIX_NANO), ids(1_800_000_000_000_000_000));
    assert_eq!(ids(0).len(), ids(NOW_UNIX_NANO).len());
}
