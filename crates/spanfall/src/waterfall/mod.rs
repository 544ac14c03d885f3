//! A trace as text: who called whom, and when.
//!
//! Owns the drawing alone; where spans come from and where the text goes is the commands' affair.

mod axis;
mod detail;
mod glyphs;
mod head;
mod rows;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use model::SpanBatch;
use model::tree::{Hold, TraceTree};

use crate::printer::Paint;
use crate::text::{columns, padding};
use axis::{Axis, Place};
use glyphs::Glyphs;
use rows::Row;

/// How a trace is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Columns of a line.
    pub width: usize,
    /// Colours.
    pub paint: Paint,
    /// ASCII characters alone, but for what spans say themselves.
    pub ascii: bool,
    /// Attributes, events and links below each span.
    pub attributes: bool,
    /// Levels of the tree that are shown; all when `None`.
    pub depth: Option<usize>,
}

/// Draws all spans of `batch`, which are of one trace.
pub fn draw(batch: &SpanBatch, options: Options, out: &mut impl Write) -> io::Result<()> {
    let glyphs = if options.ascii { glyphs::ASCII } else { glyphs::UNICODE };
    let tree = TraceTree::new(batch);
    let axis = Axis::new(batch.spans());
    let rows = rows::rows(batch, &tree, options, &glyphs);
    let picture = Picture {
        layout: Layout::new(&rows, options.width),
        batch,
        axis,
        glyphs,
        paint: options.paint,
    };
    head::draw(&picture, &tree, out)?;
    picture.ruler(out)?;
    for row in &rows {
        picture.row(row, out)?;
        if options.attributes {
            detail::draw(&picture, row, out)?;
        }
    }
    picture.remarks(&tree, &rows, out)
}

/// Columns of a row: left text, a space, bar, a space, duration, a space, error mark.
#[derive(Debug, Clone, Copy)]
struct Layout {
    left: usize,
    bar: usize,
    duration: usize,
}

/// Shorter names are not cut, however narrow the terminal.
const LEFT_MIN: usize = 12;

impl Layout {
    fn new(rows: &[Row<'_>], width: usize) -> Self {
        let widest = |of: fn(&Row<'_>) -> usize| rows.iter().map(of).max().unwrap_or(0);
        let duration = widest(|row| columns(&row.duration));
        let room = width.saturating_sub(duration + 4);
        let left_max = (room * 11 / 20).max(LEFT_MIN.min(room.saturating_sub(1)));
        let left = widest(|row| row.left_columns()).min(left_max);
        Self { left, bar: room.saturating_sub(left).max(1), duration }
    }
}

/// All that drawing a row needs.
struct Picture<'a> {
    batch: &'a SpanBatch,
    axis: Axis,
    layout: Layout,
    glyphs: Glyphs,
    paint: Paint,
}

impl Picture<'_> {
    /// The axis' ends, over the bars.
    fn ruler(&self, out: &mut impl Write) -> io::Result<()> {
        let end = self.glyphs.spell(crate::text::duration(self.axis.nanos()));
        if self.axis.start() == 0 || self.layout.bar < columns(&end) + 2 {
            return Ok(());
        }
        let lead = " ".repeat(self.layout.left + 1);
        let gap = " ".repeat(self.layout.bar - 1 - columns(&end));
        writeln!(out, "{}", self.paint.dim(&format!("{lead}0{gap}{end}")))
    }

    fn row(&self, row: &Row<'_>, out: &mut impl Write) -> io::Result<()> {
        let span = &self.batch.spans()[row.span];
        let (left, left_columns) = row.left(self.layout.left, &self.glyphs, self.paint);
        let bar = match self.axis.place(span, self.layout.bar * 8) {
            Place::At(from, to) => {
                let (lead, cells) = self.glyphs.bar(from, to);
                let tail = self.layout.bar.saturating_sub(lead + columns(&cells));
                let color = rows::color_of(&row.service);
                format!(
                    "{}{}{}",
                    " ".repeat(lead),
                    self.paint.with(color, &cells),
                    " ".repeat(tail)
                )
            }
            Place::NoStart => self.remark("no start time"),
            Place::Far => {
                self.remark(&format!("started {}", crate::text::time(span.start_unix_nano)))
            }
        };
        let mark = if span.is_error() { self.glyphs.error } else { "" };
        let line = format!(
            "{left}{} {bar} {}{} {}",
            " ".repeat(self.layout.left.saturating_sub(left_columns)),
            padding(&row.duration, self.layout.duration),
            row.duration,
            self.paint.red(mark),
        );
        writeln!(out, "{}", line.trim_end())
    }

    /// Text in the place of a bar.
    fn remark(&self, text: &str) -> String {
        let text = crate::text::cut(text, self.layout.bar, self.glyphs.ellipsis);
        let tail = padding(&text, self.layout.bar);
        self.paint.dim(&text) + &tail
    }

    /// What the picture does not show by itself.
    fn remarks(&self, tree: &TraceTree, rows: &[Row<'_>], out: &mut impl Write) -> io::Result<()> {
        let mut remarks = Vec::new();
        let count = |hold: Hold| tree.nodes.iter().filter(|node| node.hold == hold).count() as u64;
        let orphans = count(Hold::Orphan);
        if orphans > 0 {
            let have = if orphans == 1 { "has a parent that is" } else { "have parents that are" };
            let orphans = crate::text::counted(orphans, "span");
            remarks.push(format!("? {orphans} {have} not stored"));
        }
        let circles = count(Hold::Circle);
        if circles > 0 {
            let was = if circles == 1 { "was" } else { "were" };
            let circles = crate::text::counted(circles, "circle");
            remarks.push(format!("@ {circles} of parents {was} cut at the earliest span"));
        }
        let hidden = (tree.nodes.len() - rows.len()) as u64;
        if hidden > 0 {
            let hidden = crate::text::counted(hidden, "span");
            remarks.push(format!("+ {hidden} below this depth; leave out --depth to see all"));
        }
        if !remarks.is_empty() {
            writeln!(out)?;
        }
        remarks.iter().try_for_each(|remark| writeln!(out, "{}", self.paint.dim(remark)))
    }
}
