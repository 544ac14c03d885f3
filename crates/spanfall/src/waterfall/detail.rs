//! What a span says about itself, below its row.

use std::borrow::Cow;
use std::io::{self, Write};

use model::json::value_text;
use model::{Attribute, kind};

use super::Picture;
use super::rows::Row;
use crate::text::{clean, duration};

/// Writes status message, kind, attributes, events and links, indented along the guides.
pub fn draw(picture: &Picture<'_>, row: &Row<'_>, out: &mut impl Write) -> io::Result<()> {
    let batch = picture.batch;
    let span = &batch.spans()[row.span];
    let mut lines = Lines { picture, indent: picture.paint.dim(&row.below), out };

    lines.pair("", "span.id", &span.span_id.to_string())?;
    if span.kind != kind::UNSPECIFIED {
        lines.pair("", "kind", kind::name(span.kind))?;
    }
    if !span.status_message.is_empty() {
        lines.pair("", "status", batch.text(span.status_message))?;
    }
    lines.attributes("", batch.span_attributes(span))?;
    for event in batch.span_events(span) {
        let when = match event.time_unix_nano.checked_sub(span.start_unix_nano) {
            _ if event.time_unix_nano == 0 || span.start_unix_nano == 0 => "?".to_owned(),
            Some(after) => format!("+{}", duration(after)),
            None => format!("-{}", duration(span.start_unix_nano - event.time_unix_nano)),
        };
        let when = picture.glyphs.spell(when);
        lines
            .heading(picture.glyphs.event, &format!("{} {when}", clean(batch.text(event.name))))?;
        lines.attributes("  ", batch.event_attributes(event))?;
    }
    for link in batch.span_links(span) {
        let target = format!("trace {} span {}", link.trace_id, link.span_id);
        lines.heading(picture.glyphs.link, &target)?;
        lines.attributes("  ", batch.link_attributes(link))?;
    }
    for (dropped, what) in [
        (span.dropped_attributes_count, "attributes"),
        (span.dropped_events_count, "events"),
        (span.dropped_links_count, "links"),
    ] {
        if dropped > 0 {
            lines.heading("", &format!("{dropped} {what} were dropped by the sender"))?;
        }
    }
    Ok(())
}

struct Lines<'a, W> {
    picture: &'a Picture<'a>,
    indent: String,
    out: &'a mut W,
}

impl<W: Write> Lines<'_, W> {
    fn heading(&mut self, mark: &str, text: &str) -> io::Result<()> {
        let gap = if mark.is_empty() { "" } else { " " };
        writeln!(self.out, "{}{mark}{gap}{text}", self.indent)
    }

    fn attributes(&mut self, margin: &str, attributes: &[Attribute]) -> io::Result<()> {
        let batch = self.picture.batch;
        for attribute in attributes {
            let value = value_text(batch, attribute.value);
            self.pair(margin, batch.text(attribute.key), &value)?;
        }
        Ok(())
    }

    /// A value of several lines, such as a stack trace, stands below its key.
    fn pair(&mut self, margin: &str, key: &str, value: &str) -> io::Result<()> {
        let key = self.picture.paint.dim(&format!("{} =", clean(key)));
        write!(self.out, "{}{margin}{key}", self.indent)?;
        let lines: Vec<Cow<'_, str>> =
            value.lines().map(|line| line.trim_end()).map(clean).collect();
        match &lines[..] {
            [] => writeln!(self.out),
            [line] => writeln!(self.out, " {line}"),
            lines => {
                writeln!(self.out)?;
                lines
                    .iter()
                    .try_for_each(|line| writeln!(self.out, "{}{margin}    {line}", self.indent))
            }
        }
    }
}
