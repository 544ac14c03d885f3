//! Clock skew, as Jaeger finds it: a span that runs on another host than its parent should lie
//! inside it; where it does not, it and those below it on its host are moved.

use std::collections::HashMap;

use model::SpanId;

/// What the adjustment looks at in a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed<'a> {
    /// The span's id.
    pub id: SpanId,
    /// Its parent's; none for a root.
    pub parent: SpanId,
    /// Nanoseconds since 1970.
    pub start_unix_nano: u64,
    /// Nanoseconds since 1970.
    pub end_unix_nano: u64,
    /// What tells the host from others; empty when nothing does.
    pub host: &'a str,
}

/// What becomes of a span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adjusted {
    /// To be added to its start, its end and the times of its events.
    pub shift_nano: i64,
    /// The skew that was found, whether it is applied or not.
    pub delta_nano: i64,
    /// What a reader of the trace should know.
    pub warnings: Vec<String>,
}

/// The skew against which a span is compared: that of its nearest ancestor on another host.
#[derive(Clone, Copy)]
struct Skew<'a> {
    delta: i64,
    host: &'a str,
}

/// The adjustment of every span of a trace. No shift is longer than `max_nano`; with 0 nothing is
/// shifted, and the warnings tell what would be.
pub fn adjust(spans: &[Timed<'_>], max_nano: u64) -> Vec<Adjusted> {
    let mut adjusted = vec![Adjusted::default(); spans.len()];
    let mut by_id: HashMap<SpanId, usize> = HashMap::with_capacity(spans.len());
    let mut distinct = Vec::with_capacity(spans.len());
    for (at, span) in spans.iter().enumerate() {
        let first = *by_id.entry(span.id).or_insert(at);
        if first == at {
            distinct.push(at);
        } else {
            let text = "duplicate span IDs; skipping clock skew adjustment";
            adjusted[at].warnings.push(text.to_owned());
        }
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for at in distinct {
        let parent = spans[at].parent;
        match by_id.get(&parent) {
            _ if parent.is_none() => roots.push(at),
            Some(&parent) => children[parent].push(at),
            None => {
                adjusted[at].warnings.push(format!(
                    "parent span ID={parent} is not in the trace; skipping clock skew adjustment"
                ));
                roots.push(at);
            }
        }
    }
    // Parents before children: a child is compared with its parent as adjusted. Circles of parents
    // have no root and are left as they are.
    let mut open: Vec<(usize, Option<usize>, Skew<'_>)> =
        roots.iter().map(|&root| (root, None, Skew { delta: 0, host: spans[root].host })).collect();
    while let Some((at, parent, mut skew)) = open.pop() {
        let host = spans[at].host;
        if let Some(parent) = parent
            && (host != skew.host || host.is_empty())
        {
            skew = Skew { delta: delta(&spans[at], &spans[parent], &adjusted[parent]), host };
        }
        apply(&mut adjusted[at], skew.delta, max_nano);
        open.extend(children[at].iter().map(|&child| (child, Some(at), skew)));
    }
    adjusted
}

/// How far a child is to be moved to lie inside its parent.
fn delta(child: &Timed<'_>, parent: &Timed<'_>, moved: &Adjusted) -> i64 {
    let shift = i128::from(moved.shift_nano);
    let (start, end) = (i128::from(child.start_unix_nano), i128::from(child.end_unix_nano));
    let parent_start = i128::from(parent.start_unix_nano) + shift;
    let parent_end = i128::from(parent.end_unix_nano) + shift;
    let (length, parent_length) = (end - start, parent_end - parent_start);
    let delta = if length > parent_length {
        // It outlasts its parent, which did not wait: all that is known is who came first.
        (parent_start - start).max(0)
    } else if start >= parent_start && end <= parent_end {
        0
    } else {
        // The way there is taken to be as long as the way back.
        parent_start + (parent_length - length) / 2 - start
    };
    delta.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn apply(adjusted: &mut Adjusted, delta: i64, max_nano: u64) {
    adjusted.delta_nano = delta;
    if delta == 0 {
        return;
    }
    let shown = duration_text(delta);
    adjusted.warnings.push(if delta.unsigned_abs() <= max_nano {
        adjusted.shift_nano = delta;
        format!("This span's timestamps were adjusted by {shown}")
    } else if max_nano == 0 {
        format!("clock skew adjustment disabled; not applying calculated delta of {shown}")
    } else {
        let max = duration_text(i64::try_from(max_nano).unwrap_or(i64::MAX));
        format!(
            "max clock skew adjustment delta of {max} exceeded; not applying calculated delta of \
             {shown}"
        )
    });
}

/// A duration as Go writes it, which readers of these warnings know: `35ms`, `-1.5s`, `1h0m2s`.
pub fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let decimal = |unit: u64, digits: usize| {
        let (whole, rest) = (nanos / unit, nanos % unit);
        if rest == 0 {
            return whole.to_string();
        }
        let rest = format!("{rest:0digits$}");
        format!("{whole}.{}", rest.trim_end_matches('0'))
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{nanos}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(1_000_000, 6)),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let mut seconds = (nanos % 60_000_000_000 / 1_000_000_000).to_string();
            let rest = nanos % 1_000_000_000;
            if rest > 0 {
                let rest = format!("{rest:09}");
                seconds = format!("{seconds}.{}", rest.trim_end_matches('0'));
            }
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}
