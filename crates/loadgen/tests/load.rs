//! What a generator promises of counts, trees, times and errors.

mod common;

use std::collections::{HashMap, HashSet};

use common::{
    INTERVAL_NANO, NOW_UNIX_NANO, attribute, decode, load, requests, spans, whole_traces,
};
use loadgen::{Generator, Options, SERVICES_MAX};
use model::{Span, SpanId, TraceId, Value, kind, status_code};

#[test]
fn writes_as_many_spans_as_asked() {
    for services in [1, 20, SERVICES_MAX] {
        let mut generator = Generator::new(Options { services, ..Options::default() });
        let mut out = vec![1, 2, 3];
        for count in [0, 1, 7, 512, 5000, 1] {
            generator.request(count, NOW_UNIX_NANO, &mut out);
            assert_eq!(decode(&out).len(), count, "{services} services");
        }
    }
}

#[test]
fn a_number_of_spans_is_rounded_up_to_whole_traces() {
    for wanted in [1, 20, 1000, 12_345] {
        let mut generator = Generator::with_spans(Options::default(), wanted);
        let mut out = Vec::new();
        let mut batches = Vec::new();
        loop {
            let count = generator.request(300, NOW_UNIX_NANO, &mut out);
            batches.push(decode(&out));
            assert_eq!(batches[batches.len() - 1].len(), count);
            if count < 300 {
                break;
            }
        }
        assert_eq!(generator.request(300, NOW_UNIX_NANO, &mut out), 0, "it has ended");
        let all: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
        // No trace has more than 80 spans.
        assert!((wanted..wanted + 80).contains(&all), "{all} spans for {wanted}");
        let ids: HashSet<(TraceId, SpanId)> =
            spans(&batches).map(|(_, span)| (span.trace_id, span.span_id)).collect();
        let roots = spans(&batches).filter(|(_, span)| span.parent_span_id.is_none()).count();
        let traces: HashSet<TraceId> = ids.iter().map(|(trace, _)| *trace).collect();
        assert_eq!(roots, traces.len());
        for (_, span) in spans(&batches) {
            let parent = (span.trace_id, span.parent_span_id);
            assert!(span.parent_span_id.is_none() || ids.contains(&parent), "{span:?}");
        }
    }
}

#[test]
fn a_seed_makes_the_same_bytes() {
    let bytes = |seed| {
        let mut generator = Generator::new(Options { seed, ..Options::default() });
        let (mut out, mut all) = (Vec::new(), Vec::new());
        for index in 0..20 {
            generator.request(100 + index as usize, NOW_UNIX_NANO + index, &mut out);
            all.extend_from_slice(&out);
        }
        all
    };
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
}

#[test]
fn requests_cut_the_same_spans() {
    let ids = |size: usize| {
        let mut generator = Generator::new(Options::default());
        let mut out = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..2000 / size {
            generator.request(size, NOW_UNIX_NANO, &mut out);
            ids.extend(decode(&out).spans().iter().map(|span| span.span_id));
        }
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(1), ids(500));
}

#[test]
fn traces_are_complete_trees() {
    let batches = load();
    let traces = whole_traces(&batches);
    let mut depth_max = 0;
    let mut services = 0;
    for (id, spans) in &traces {
        let by_id: HashMap<SpanId, &Span> = spans.iter().map(|(_, s)| (s.span_id, *s)).collect();
        assert_eq!(by_id.len(), spans.len(), "trace {id} has a span id twice");
        assert!((3..=80).contains(&spans.len()), "trace {id} has {} spans", spans.len());
        assert_eq!(spans.iter().filter(|(_, s)| s.parent_span_id.is_none()).count(), 1, "{id}");
        let names: HashSet<_> =
            spans.iter().map(|(batch, s)| batch.service_name(batch.origin(s).1)).collect();
        services += names.len();
        for (_, span) in spans {
            let (mut at, mut depth) = (*span, 1);
            while !at.parent_span_id.is_none() {
                at = by_id[&at.parent_span_id];
                depth += 1;
            }
            depth_max = depth_max.max(depth);
        }
    }
    let mean = traces.values().map(Vec::len).sum::<usize>() as f64 / traces.len() as f64;
    let services = services as f64 / traces.len() as f64;
    println!("{mean:.1} spans and {services:.1} services a trace, depth {depth_max}");
    assert!((14.0..16.5).contains(&mean), "{mean} spans a trace");
    assert_eq!(depth_max, 8);
    assert!(services > 2.0, "{services} services a trace");
}

#[test]
fn children_lie_in_their_parents() {
    let batches = load();
    for (id, spans) in whole_traces(&batches) {
        let by_id: HashMap<SpanId, &Span> = spans.iter().map(|(_, s)| (s.span_id, *s)).collect();
        for (_, span) in &spans {
            let Some(parent) = by_id.get(&span.parent_span_id) else {
                continue;
            };
            if span.kind == kind::CONSUMER {
                assert_eq!(parent.kind, kind::PRODUCER, "{id}");
                assert!(span.start_unix_nano >= parent.end_unix_nano, "{id}: taken before sent");
            } else {
                assert!(span.start_unix_nano >= parent.start_unix_nano, "{id}: starts early");
                assert!(span.end_unix_nano <= parent.end_unix_nano, "{id}: ends late");
            }
            if span.kind == kind::SERVER {
                assert_eq!(parent.kind, kind::CLIENT, "{id}");
            }
        }
    }
}

#[test]
fn errors_go_up() {
    let options = Options { error_rate: 0.2, ..Options::default() };
    let batches = requests(options, 200, 512);
    let traces = whole_traces(&batches);
    let mut failed_traces = 0;
    for (id, spans) in &traces {
        let by_id: HashMap<SpanId, &Span> = spans.iter().map(|(_, s)| (s.span_id, *s)).collect();
        let mut exceptions = 0;
        for (batch, span) in spans.iter().filter(|(_, span)| span.is_error()) {
            let code = attribute(batch, span, "http.response.status_code");
            assert!(matches!(code, None | Some(Value::Int(500..))), "{id}: {code:?}");
            assert!(attribute(batch, span, "error.type").is_some(), "{id}: no error.type");
            let events = batch.span_events(span).iter();
            exceptions += events.filter(|it| batch.text(it.name) == "exception").count();
            if span.kind != kind::CONSUMER
                && let Some(parent) = by_id.get(&span.parent_span_id)
            {
                assert_eq!(parent.status_code, status_code::ERROR, "{id}: swallowed");
            }
        }
        let failed = spans.iter().any(|(_, span)| span.is_error());
        failed_traces += usize::from(failed);
        assert_eq!(exceptions, usize::from(failed), "{id}");
    }
    let share = failed_traces as f64 / traces.len() as f64;
    assert!((0.18..0.22).contains(&share), "{share}");
}

#[test]
fn links_lead_to_spans_of_other_traces() {
    let batches = load();
    let ids: HashSet<(TraceId, SpanId)> =
        spans(&batches).map(|(_, span)| (span.trace_id, span.span_id)).collect();
    // The first links may lead to before the first request.
    for (batch, span) in spans(&batches[20..]) {
        for link in batch.span_links(span) {
            assert_ne!(link.trace_id, span.trace_id);
            if span.end_unix_nano < NOW_UNIX_NANO + 100 * INTERVAL_NANO {
                assert!(ids.contains(&(link.trace_id, link.span_id)), "{link:?}");
            }
        }
    }
}

#[test]
fn no_span_ends_after_now() {
    let mut generator = Generator::new(Options::default());
    let mut out = Vec::new();
    let now = NOW_UNIX_NANO;
    // A clock that stands, leaps, goes back, and one that was never set.
    let times = [now, now, now + 60_000_000_000, now + 1, now - 5_000_000_000, now, 0, 1, now];
    for now_unix_nano in times {
        for size in [1, 300, 2000] {
            generator.request(size, now_unix_nano, &mut out);
            for span in decode(&out).spans() {
                assert!(span.start_unix_nano <= span.end_unix_nano);
                assert!(span.end_unix_nano <= now_unix_nano, "{now_unix_nano}: {span:?}");
            }
        }
    }
}
