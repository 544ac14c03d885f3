//! The rows of a waterfall: guides, service, name, duration.

use std::borrow::Cow;

use model::tree::{Hold, TraceTree};
use model::{Span, SpanBatch};

use super::Options;
use super::glyphs::Glyphs;
use crate::printer::Paint;
use crate::text::{clean, columns, cut, duration};

const GUIDE_COLUMNS: usize = 3;

/// In front of a span whose parent is not stored.
const ORPHAN: &str = "? ";
/// In front of a span at which a circle of parents is cut.
const CIRCLE: &str = "@ ";

/// ANSI colours that read on dark and light.
const PALETTE: [&str; 12] = [
    "38;5;75", "38;5;114", "38;5;179", "38;5;141", "38;5;80", "38;5;209", "38;5;176", "38;5;107",
    "38;5;215", "38;5;110", "38;5;204", "38;5;150",
];

/// A service's colour: the same in every trace and on every machine, and the place in the palette
/// that the UI gives it (`ui/src/model/color.ts`).
pub fn color_of(service: &str) -> &'static str {
    let hash = service
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    PALETTE[(hash ^ (hash >> 15)) as usize % PALETTE.len()]
}

/// One visible span.
#[derive(Debug)]
pub struct Row<'a> {
    /// Index into the batch's spans.
    pub span: usize,
    /// Guides of the lines below, up to the next span.
    pub below: String,
    /// The service, cleaned.
    pub service: Cow<'a, str>,
    /// The duration, or what is wrong with it.
    pub duration: String,
    guides: String,
    name: Cow<'a, str>,
    /// Spans below that the depth hides.
    hidden: usize,
}

/// The rows of a tree down to the depth asked for.
pub fn rows<'a>(
    batch: &'a SpanBatch,
    tree: &TraceTree,
    options: Options,
    glyphs: &Glyphs,
) -> Vec<Row<'a>> {
    let depth_max = options.depth.unwrap_or(usize::MAX);
    // A quarter of the line; deeper levels are counted instead of drawn.
    let levels_max = (options.width / 4 / GUIDE_COLUMNS).max(1);
    // For every level above the node, whether a sibling follows further down.
    let mut more: Vec<bool> = Vec::new();
    let mut rows = Vec::new();
    for (index, node) in tree.nodes.iter().enumerate() {
        if node.depth >= depth_max {
            continue;
        }
        more.truncate(node.depth.saturating_sub(1));
        if let Some(parent) = node.parent {
            more.push(index + node.subtree < parent + tree.nodes[parent].subtree);
        }
        let span = &batch.spans()[node.span];
        let cut_off = node.depth + 1 >= depth_max;
        let has_rows_below = node.subtree > 1 && !cut_off;
        let guides = match node.hold {
            Hold::Orphan => ORPHAN.to_owned(),
            Hold::Circle => CIRCLE.to_owned(),
            Hold::Root | Hold::Child => guides(&more, levels_max, glyphs),
        };
        rows.push(Row {
            span: node.span,
            below: below(&more, has_rows_below, levels_max, glyphs),
            service: clean(batch.service_name(batch.origin(span).1)),
            duration: glyphs.spell(duration_text(span)),
            guides,
            name: clean(batch.text(span.name)),
            hidden: if cut_off { node.subtree - 1 } else { 0 },
        });
    }
    rows
}

fn guides(more: &[bool], levels_max: usize, glyphs: &Glyphs) -> String {
    let Some((last, above)) = more.split_last() else { return String::new() };
    let mut out = level_counts(more.len(), levels_max, glyphs);
    if out.is_empty() {
        out.extend(above.iter().map(|more| if *more { glyphs.pass } else { "   " }));
    }
    out + if *last { glyphs.branch } else { glyphs.last }
}

fn below(more: &[bool], has_rows_below: bool, levels_max: usize, glyphs: &Glyphs) -> String {
    let counted = columns(&level_counts(more.len(), levels_max, glyphs));
    let mut out = " ".repeat(counted);
    let drawn = if counted > 0 { &more[more.len() - 1..] } else { more };
    out.extend(drawn.iter().chain([&has_rows_below]).map(
        |more| {
            if *more { glyphs.pass } else { "   " }
        },
    ));
    out
}

/// In place of guides that would take too many columns: `…17 `.
fn level_counts(depth: usize, levels_max: usize, glyphs: &Glyphs) -> String {
    if depth <= levels_max {
        return String::new();
    }
    format!("{}{depth} ", glyphs.ellipsis)
}

fn duration_text(span: &Span) -> String {
    match (span.start_unix_nano, span.end_unix_nano) {
        (0, _) => "?".to_owned(),
        (_, 0) => "no end".to_owned(),
        (start, end) if end < start => format!("-{}", duration(start - end)),
        (start, end) => duration(end - start),
    }
}

impl Row<'_> {
    /// Columns of the left text, uncut.
    pub fn left_columns(&self) -> usize {
        let service = columns(&self.service);
        let name = columns(&self.name);
        columns(&self.guides)
            + service
            + usize::from(service > 0 && name > 0)
            + name
            + columns(&self.hidden_text())
    }

    /// The left text in at most so many columns, and how many it takes.
    pub fn left(&self, columns_max: usize, glyphs: &Glyphs, paint: Paint) -> (String, usize) {
        let hidden = self.hidden_text();
        let room = columns_max.saturating_sub(columns(&self.guides) + columns(&hidden));
        // A long service leaves half of the room to the name.
        let name_columns = columns(&self.name);
        let service_max = room.saturating_sub(name_columns + 1).max(room / 2);
        let service = cut(&self.service, service_max, glyphs.ellipsis);
        let gap = if service.is_empty() { "" } else { " " };
        let name_max = room.saturating_sub(columns(&service) + gap.len());
        let name = cut(&self.name, name_max, glyphs.ellipsis);
        let gap = if name.is_empty() { "" } else { gap };
        let taken = columns(&self.guides)
            + columns(&service)
            + gap.len()
            + columns(&name)
            + columns(&hidden);
        let text = format!(
            "{}{}{gap}{name}{}",
            paint.dim(&self.guides),
            paint.with(color_of(&self.service), &service),
            paint.dim(&hidden),
        );
        (text, taken)
    }

    fn hidden_text(&self) -> String {
        if self.hidden == 0 { String::new() } else { format!(" +{}", self.hidden) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_those_of_the_ui() {
        // From `colorOf` of ui/src/model/color.ts.
        for (service, place) in
            [("", 8), ("cart", 5), ("checkout", 7), ("frontend", 11), ("注文", 1)]
        {
            assert_eq!(color_of(service), PALETTE[place], "{service}");
        }
    }
}
