//! Processors: what changes, drops, holds back or gathers data between receivers and exporters.
//!
//! Most look at one batch after the other and are an [`Edit`]; [`Editor`] makes one a part of a
//! pipeline. Those that gather data over time ([`batch`], [`groupbytrace`]) are consumers
//! themselves.

pub mod actions;
pub mod attributes;
pub mod batch;
pub mod groupbytrace;
pub mod item;
pub mod matching;
pub mod memory_limiter;
pub mod probabilistic_sampler;
pub mod redaction;
pub mod resource_detection;
mod sieve;
pub mod span;
pub mod statements;
mod url_sanitizer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use model::{EditError, SpanBatch};

use crate::consumer::{Consumer, Refusal, Taken};
use crate::data::{Client, Data, Request, Signal};

/// What changes a batch of spans in place.
pub trait Edit: Send + Sync + 'static {
    /// Changes it. Spans that it removes are gone; a refusal is told to whoever sent the request.
    fn edit(&self, batch: &mut SpanBatch, client: &Client) -> Result<(), Refusal>;

    /// Whether [`Self::edit`] may change this batch. A batch that other pipelines have as well is
    /// copied before it is changed, and only then.
    fn concerns(&self, batch: &SpanBatch) -> bool {
        !batch.is_empty()
    }

    /// Whether data is taken at all at this moment, of any signal.
    fn admit(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// What it counts besides what every processor does: names, what they are, and how many. The
    /// numbers only grow.
    fn numbers(&self) -> Vec<(&'static str, &'static str, u64)> {
        Vec::new()
    }
}

/// Items of each signal; only grows.
#[derive(Debug, Default)]
pub struct Items([AtomicU64; 3]);

impl Items {
    /// So many more.
    pub fn add(&self, signal: Signal, items: u64) {
        self.0[signal as usize].fetch_add(items, Ordering::Relaxed);
    }

    /// How many.
    pub fn of(&self, signal: Signal) -> u64 {
        self.0[signal as usize].load(Ordering::Relaxed)
    }
}

/// What a processor counts; only grows.
#[derive(Debug, Default)]
pub struct ProcessorCounters {
    /// `otelcol_processor_incoming_items`.
    pub incoming_items: Items,
    /// `otelcol_processor_outgoing_items`.
    pub outgoing_items: Items,
    /// Items refused here.
    pub refused_items: Items,
    /// Items that an edit took out.
    pub dropped_items: Items,
}

/// An [`Edit`] as a part of a pipeline. Metrics and logs pass it as they are.
pub struct Editor<E> {
    edit: E,
    next: Arc<dyn Consumer>,
    counters: Arc<ProcessorCounters>,
}

impl<E: Edit> Editor<E> {
    /// In front of another.
    pub fn new(edit: E, next: Arc<dyn Consumer>, counters: Arc<ProcessorCounters>) -> Self {
        Self { edit, next, counters }
    }
}

impl<E: Edit> Editor<E> {
    /// What is handed on of a request, if anything is left of it.
    fn edited(&self, mut request: Request) -> Result<Option<Request>, Refusal> {
        let signal = request.data.signal();
        let incoming = request.data.items();
        self.counters.incoming_items.add(signal, incoming);
        if let Err(refusal) = self.edit.admit() {
            self.counters.refused_items.add(signal, incoming);
            return Err(refusal);
        }
        if let Data::Traces(batches) = &mut request.data {
            for batch in batches.iter_mut() {
                if !self.edit.concerns(batch) {
                    continue;
                }
                if let Err(refusal) = self.edit.edit(Arc::make_mut(batch), &request.client) {
                    self.counters.refused_items.add(signal, incoming);
                    return Err(refusal);
                }
            }
            batches.retain(|batch| !batch.is_empty());
        }
        let outgoing = request.data.items();
        self.counters.outgoing_items.add(signal, outgoing);
        if outgoing < incoming {
            self.counters.dropped_items.add(signal, incoming - outgoing);
        }
        Ok((outgoing > 0).then_some(request))
    }
}

#[async_trait]
impl<E: Edit> Consumer for Editor<E> {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        match self.edited(request)? {
            Some(request) => self.next.consume(request).await,
            None => Ok(()),
        }
    }

    async fn offer(&self, request: Request, taken: &Taken) -> Result<(), Refusal> {
        match self.edited(request)? {
            Some(request) => self.next.offer(request, taken).await,
            None => Ok(()),
        }
    }
}

impl From<EditError> for Refusal {
    fn from(error: EditError) -> Self {
        Self::Invalid { reason: error.to_string() }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Batches for the tests of processors, written and read as text.

    use model::{Owner, Span, SpanBatch, TracesEncoder, Value, encode_key_value};

    /// A value of the tests.
    #[derive(Debug, Clone, PartialEq)]
    pub enum Plain {
        Text(&'static str),
        Int(i64),
        Double(f64),
        Bool(bool),
    }

    /// One span of one service: name, kind, attributes; times are 1 s and 1.5 s.
    pub struct TestSpan {
        pub service: &'static str,
        pub name: &'static str,
        pub kind: i32,
        pub attributes: Vec<(&'static str, Plain)>,
    }

    fn value(out: &mut Vec<u8>, value: &Plain) {
        use model::wire::{put_bytes_field, put_fixed64_field, put_varint_field};
        match value {
            Plain::Text(text) => put_bytes_field(out, 1, text.as_bytes()),
            Plain::Bool(value) => put_varint_field(out, 2, u64::from(*value)),
            Plain::Int(value) => put_varint_field(out, 3, *value as u64),
            Plain::Double(value) => put_fixed64_field(out, 4, value.to_bits()),
        }
    }

    /// The spans as a batch; the n-th has trace id and span id n, counted from 1.
    pub fn batch(spans: &[TestSpan]) -> SpanBatch {
        use model::wire::{put_bytes_field, put_fixed64_field, put_varint_field};
        let mut encoder = TracesEncoder::new();
        for (at, span) in spans.iter().enumerate() {
            let mut resource = Vec::new();
            encode_key_value(&mut resource, 1, b"service.name", |out| {
                put_bytes_field(out, 1, span.service.as_bytes());
            });
            let mut scope = Vec::new();
            put_bytes_field(&mut scope, 1, b"lib");
            put_bytes_field(&mut scope, 2, b"1.2");
            let place = encoder.origin(&resource, b"", &scope, b"");
            encoder.span(place, |out| {
                let number = at as u64 + 1;
                put_bytes_field(out, 1, &u128::from(number).to_be_bytes());
                put_bytes_field(out, 2, &number.to_be_bytes());
                put_bytes_field(out, 5, span.name.as_bytes());
                put_varint_field(out, 6, span.kind as u64);
                put_fixed64_field(out, 7, 1_000_000_000);
                put_fixed64_field(out, 8, 1_500_000_000);
                for (key, plain) in &span.attributes {
                    encode_key_value(out, 9, key.as_bytes(), |out| value(out, plain));
                }
            });
        }
        SpanBatch::decode(encoder.finish().into()).expect("a batch")
    }

    /// One span of a service, with attributes.
    pub fn one(attributes: Vec<(&'static str, Plain)>) -> SpanBatch {
        batch(&[TestSpan { service: "shop", name: "GET /cart/42", kind: 2, attributes }])
    }

    /// An owner's attributes, as `key=value` in order.
    pub fn attributes(batch: &SpanBatch, owner: Owner) -> String {
        let of = |attribute: &model::Attribute| {
            let value = model::json::value_text(batch, attribute.value);
            let mark = match attribute.value {
                Value::String(_) => "'",
                _ => "",
            };
            format!("{}={mark}{value}{mark}", batch.text(attribute.key))
        };
        batch.attributes(owner).iter().map(of).collect::<Vec<_>>().join(" ")
    }

    /// The spans' names.
    pub fn names(batch: &SpanBatch) -> Vec<&str> {
        batch.spans().iter().map(|span: &Span| batch.text(span.name)).collect()
    }
}
