//! Data as text for a person, as the Collector's debug exporter writes it.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{Attribute, Resource, Scope, Span, SpanBatch, Text, Value};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::time::put_go_time;
use super::{Export, ExportError};
use crate::processors::actions::text_of;
use crate::{Encoded, Signal};

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// A line of counts for each request.
    #[default]
    Basic,
    /// And a line for each span.
    Normal,
    /// And everything that a span has.
    Detailed,
}

/// Settings of the exporter `debug`. What is not spans is counted only, at any verbosity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DebugSettings {
    /// Default basic.
    pub verbosity: Verbosity,
    /// How many requests are written in a second. Default 2.
    pub sampling_initial: u64,
    /// Of the further ones in that second, each how many-th; 0 is none. Default 1, which is all.
    pub sampling_thereafter: u64,
}

impl Default for DebugSettings {
    fn default() -> Self {
        Self { verbosity: Verbosity::Basic, sampling_initial: 2, sampling_thereafter: 1 }
    }
}

/// Where the text goes.
#[derive(Clone)]
pub enum DebugOutput {
    /// The process' log, at level info.
    Log,
    /// Such as standard output.
    Writer(Arc<Mutex<dyn Write + Send>>),
}

/// Exports to the eye.
pub struct Debug {
    settings: DebugSettings,
    output: DebugOutput,
    second: Mutex<(Instant, u64)>,
}

impl Debug {
    /// An exporter.
    pub fn new(settings: DebugSettings, output: DebugOutput) -> Self {
        Self { settings, output, second: Mutex::new((Instant::now(), 0)) }
    }

    fn is_sampled(&self) -> bool {
        let mut second = self.second.lock();
        if second.0.elapsed() >= Duration::from_secs(1) {
            *second = (Instant::now(), 0);
        }
        second.1 += 1;
        let DebugSettings { sampling_initial, sampling_thereafter, .. } = self.settings;
        match second.1.checked_sub(sampling_initial) {
            None | Some(0) => true,
            Some(further) => sampling_thereafter > 0 && further.is_multiple_of(sampling_thereafter),
        }
    }
}

#[async_trait]
impl Export for Debug {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        if !self.is_sampled() {
            return Ok(());
        }
        let text = describe(self.settings.verbosity, signal, encoded);
        match &self.output {
            DebugOutput::Log => tracing::info!("{}", text.trim_end()),
            DebugOutput::Writer(writer) => {
                let mut writer = writer.lock();
                writer
                    .write_all(text.as_bytes())
                    .and_then(|()| writer.flush())
                    .map_err(|error| ExportError::retryable(error.to_string()))?;
            }
        }
        Ok(())
    }
}

fn describe(verbosity: Verbosity, signal: Signal, encoded: &Encoded) -> String {
    let items = encoded.items;
    let mut out = String::new();
    // Writing to a `String` does not fail, here and below.
    match signal {
        Signal::Metrics => {
            let _ = writeln!(out, "Metrics\t{{\"data points\": {items}}}");
        }
        Signal::Logs => {
            let _ = writeln!(out, "Logs\t{{\"log records\": {items}}}");
        }
        Signal::Traces => {
            // What is too large for one batch is only counted.
            let Ok(batch) = SpanBatch::decode(encoded.joined()) else {
                let _ = writeln!(out, "Traces\t{{\"spans\": {items}}}");
                return out;
            };
            let resources = batch.resources().len();
            let _ =
                writeln!(out, "Traces\t{{\"resource spans\": {resources}, \"spans\": {items}}}");
            match verbosity {
                Verbosity::Basic => {}
                Verbosity::Normal => walk(&batch, &mut Normal(&mut out)),
                Verbosity::Detailed => walk(&batch, &mut Detailed(&mut out)),
            }
        }
    }
    out
}

/// What writes about a batch; numbers are places within what is around.
trait Writes {
    fn resource(&mut self, at: usize, batch: &SpanBatch, resource: &Resource);
    fn scope(&mut self, at: usize, batch: &SpanBatch, scope: &Scope);
    fn span(&mut self, at: usize, batch: &SpanBatch, span: &Span);
}

fn walk(batch: &SpanBatch, writes: &mut impl Writes) {
    let (mut resource, mut scope) = (None, None);
    let (mut resources, mut scopes, mut spans) = (0, 0, 0);
    for span in batch.spans() {
        let (its_scope, its_resource) = batch.origin(span);
        if scope != Some(span.scope) {
            if resource != Some(its_scope.resource) {
                writes.resource(resources, batch, its_resource);
                resource = Some(its_scope.resource);
                resources += 1;
                scopes = 0;
            }
            writes.scope(scopes, batch, its_scope);
            scope = Some(span.scope);
            scopes += 1;
            spans = 0;
        }
        writes.span(spans, batch, span);
        spans += 1;
    }
}

/// A line for each.
struct Normal<'a>(&'a mut String);

impl Normal<'_> {
    fn attributes(&mut self, batch: &SpanBatch, attributes: &[Attribute]) {
        for attribute in attributes {
            let (key, value) = (batch.text(attribute.key), text_of(batch, attribute.value));
            let _ = write!(self.0, " {key}={value}");
        }
        self.0.push('\n');
    }

    fn schema(&mut self, batch: &SpanBatch, url: Text) {
        if !url.is_empty() {
            let _ = write!(self.0, " [{}]", batch.text(url));
        }
    }
}

impl Writes for Normal<'_> {
    fn resource(&mut self, at: usize, batch: &SpanBatch, resource: &Resource) {
        let _ = write!(self.0, "ResourceTraces #{at}");
        self.schema(batch, resource.schema_url);
        self.attributes(batch, batch.resource_attributes(resource));
    }

    fn scope(&mut self, at: usize, batch: &SpanBatch, scope: &Scope) {
        let _ = write!(self.0, "ScopeTraces #{at}");
        if !scope.name.is_empty() {
            let _ = write!(self.0, " {}", batch.text(scope.name));
        }
        if !scope.version.is_empty() {
            let _ = write!(self.0, "@{}", batch.text(scope.version));
        }
        self.schema(batch, scope.schema_url);
        self.attributes(batch, batch.scope_attributes(scope));
    }

    fn span(&mut self, _: usize, batch: &SpanBatch, span: &Span) {
        let _ = write!(self.0, "{} {} {}", batch.text(span.name), span.trace_id, span.span_id);
        self.attributes(batch, batch.span_attributes(span));
    }
}

/// Everything.
struct Detailed<'a>(&'a mut String);

impl Detailed<'_> {
    fn attributes(&mut self, indent: &str, header: &str, batch: &SpanBatch, all: &[Attribute]) {
        if all.is_empty() {
            return;
        }
        let _ = writeln!(self.0, "{header}:");
        for attribute in all {
            let (kind, text) = (kind_of(attribute.value), text_of(batch, attribute.value));
            let key = batch.text(attribute.key);
            let _ = writeln!(self.0, "{indent}     -> {key}: {kind}({text})");
        }
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "    {name:<15}: {value}");
    }

    fn item(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "     -> {name}: {value}");
    }
}

/// Empty for an id that is not there.
fn id(id: impl std::fmt::Display, is_none: bool) -> String {
    if is_none { String::new() } else { id.to_string() }
}

fn time(unix_nano: u64) -> String {
    let mut out = String::new();
    put_go_time(&mut out, unix_nano);
    out
}

impl Writes for Detailed<'_> {
    fn resource(&mut self, at: usize, batch: &SpanBatch, resource: &Resource) {
        let _ = writeln!(self.0, "ResourceSpans #{at}");
        let _ = writeln!(self.0, "Resource SchemaURL: {}", batch.text(resource.schema_url));
        self.attributes("", "Resource attributes", batch, batch.resource_attributes(resource));
    }

    fn scope(&mut self, at: usize, batch: &SpanBatch, scope: &Scope) {
        let _ = writeln!(self.0, "ScopeSpans #{at}");
        let _ = writeln!(self.0, "ScopeSpans SchemaURL: {}", batch.text(scope.schema_url));
        let (name, version) = (batch.text(scope.name), batch.text(scope.version));
        let _ = writeln!(self.0, "InstrumentationScope {name} {version}");
        let attributes = batch.scope_attributes(scope);
        self.attributes("", "InstrumentationScope attributes", batch, attributes);
    }

    fn span(&mut self, at: usize, batch: &SpanBatch, span: &Span) {
        let _ = writeln!(self.0, "Span #{at}");
        self.field("Trace ID", span.trace_id);
        self.field("Parent ID", id(span.parent_span_id, span.parent_span_id.is_none()));
        self.field("ID", span.span_id);
        self.field("Name", batch.text(span.name));
        self.field("Kind", span_kind(span.kind));
        if !span.trace_state.is_empty() {
            self.field("TraceState", batch.text(span.trace_state));
        }
        self.field("Start time", time(span.start_unix_nano));
        self.field("End time", time(span.end_unix_nano));
        self.field("Status code", status(span.status_code));
        self.field("Status message", batch.text(span.status_message));
        let dropped = span.dropped_attributes_count;
        let _ = writeln!(self.0, "    DroppedAttributesCount: {dropped}");
        self.attributes("", "Attributes", batch, batch.span_attributes(span));
        let events = batch.span_events(span);
        if !events.is_empty() {
            self.0.push_str("Events:\n");
        }
        for (at, event) in events.iter().enumerate() {
            let _ = writeln!(self.0, "SpanEvent #{at}");
            self.item("Name", batch.text(event.name));
            self.item("Timestamp", time(event.time_unix_nano));
            self.item("DroppedAttributesCount", event.dropped_attributes_count);
            let attributes = batch.event_attributes(event);
            self.attributes("     ", "     -> Attributes:", batch, attributes);
        }
        let _ = writeln!(self.0, "    DroppedEventsCount: {}", span.dropped_events_count);
        let links = batch.span_links(span);
        if !links.is_empty() {
            self.0.push_str("Links:\n");
        }
        for (at, link) in links.iter().enumerate() {
            let _ = writeln!(self.0, "SpanLink #{at}");
            self.item("Trace ID", id(link.trace_id, link.trace_id.is_none()));
            self.item("ID", id(link.span_id, link.span_id.is_none()));
            self.item("TraceState", batch.text(link.trace_state));
            self.item("DroppedAttributesCount", link.dropped_attributes_count);
            let attributes = batch.link_attributes(link);
            self.attributes("     ", "     -> Attributes:", batch, attributes);
        }
        let _ = writeln!(self.0, "    DroppedLinksCount: {}", span.dropped_links_count);
    }
}

fn kind_of(value: Value) -> &'static str {
    match value {
        Value::Empty => "Empty",
        Value::String(_) => "Str",
        Value::Bool(_) => "Bool",
        Value::Int(_) => "Int",
        Value::Double(_) => "Double",
        Value::Bytes(_) => "Bytes",
        Value::Array(_) => "Slice",
        Value::KeyValueList(_) => "Map",
    }
}

fn span_kind(kind: i32) -> &'static str {
    match kind {
        0 => "Unspecified",
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "",
    }
}

fn status(code: i32) -> &'static str {
    match code {
        0 => "Unset",
        1 => "Ok",
        2 => "Error",
        _ => "",
    }
}
