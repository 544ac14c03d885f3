//! What stands above a waterfall.

use std::collections::BTreeMap;
use std::io::{self, Write};

use model::tree::{Hold, TraceTree};

use super::Picture;
use super::rows::color_of;
use crate::text::{clean, counted, duration, time};

/// Writes root, id, time and counts.
pub fn draw(picture: &Picture<'_>, tree: &TraceTree, out: &mut impl Write) -> io::Result<()> {
    let paint = picture.paint;
    let roots = tree.nodes.iter().filter(|node| node.hold == Hold::Root).count();
    let title = match tree.named.map(|node| paint.bold(&title(picture, tree.nodes[node].span))) {
        Some(root) if roots > 0 => root,
        Some(earliest) => paint.yellow("root missing; earliest: ") + &earliest,
        None => "no spans".to_owned(),
    };
    let more = match roots.saturating_sub(1) {
        0 => String::new(),
        more => paint.yellow(&format!(" and {}", counted(more as u64, "more root"))),
    };
    rest(picture, &(title + &more), out)
}

fn title(picture: &Picture<'_>, span: usize) -> String {
    let batch = picture.batch;
    let span = &batch.spans()[span];
    let service = clean(batch.service_name(batch.origin(span).1));
    let name = clean(batch.text(span.name));
    let parts: Vec<&str> =
        [&*service, &*name].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "a span without a name".to_owned() } else { parts.join(": ") }
}

fn rest(picture: &Picture<'_>, title: &str, out: &mut impl Write) -> io::Result<()> {
    let (batch, paint) = (picture.batch, picture.paint);
    let spans = batch.spans();
    let id = spans.first().map(|span| span.trace_id).unwrap_or_default();
    let started = match picture.axis.start() {
        0 => "at an unknown time".to_owned(),
        start => format!("{} for {}", time(start), duration(picture.axis.nanos())),
    };
    writeln!(out, "{title}")?;
    writeln!(out, "trace {id}  {}", picture.glyphs.spell(started))?;

    // Spans and errors.
    let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for span in spans {
        let service = services.entry(batch.service_name(batch.origin(span).1)).or_default();
        service.0 += 1;
        service.1 += u64::from(span.is_error());
    }
    let errors: u64 = services.values().map(|(_, errors)| errors).sum();
    let mut services: Vec<_> = services.into_iter().collect();
    services.sort_by_key(|(name, (spans, _))| (std::cmp::Reverse(*spans), *name));
    let errors_text = counted(errors, "error");
    let list: Vec<String> = services
        .iter()
        .map(|(name, (spans, errors))| {
            let shown = if name.is_empty() { "(no service.name)".into() } else { clean(name) };
            let mark = match errors {
                0 => String::new(),
                errors => paint.red(&format!(" {}{errors}", picture.glyphs.error)),
            };
            format!("{} {spans}{mark}", paint.with(color_of(&clean(name)), &shown))
        })
        .collect();
    writeln!(
        out,
        "{}, {}, {}: {}\n",
        counted(spans.len() as u64, "span"),
        if errors > 0 { paint.red(&errors_text) } else { errors_text },
        counted(services.len() as u64, "service"),
        list.join(", "),
    )
}
