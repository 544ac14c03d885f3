//! The connector `count`: spans and their events as metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use model::{Owner, SpanBatch};
use ottl::{Condition, Evaluator};

use super::otlp_metrics::{DeltaPoint, DeltaSum, put_resource_metrics};
use super::{Room, TEXT_BYTES};
use crate::consumer::{Consumer, Refusal};
use crate::data::{Client, Data, Encoded, Request};
use crate::processors::item::Item;
use crate::processors::statements::{Counters, ErrorMode};

/// The scope of the metrics.
const SCOPE: &str = "spanfall/count";

/// A metric.
#[derive(Debug)]
pub struct Counted {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Counts what meets one of these; all when empty.
    pub conditions: Vec<Condition>,
    /// Attributes by which counts are told apart, and what stands for one that is missing. An item
    /// that lacks one without such a value is not counted.
    pub attributes: Vec<(String, Option<String>)>,
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Settings {
    /// Of spans.
    pub spans: Vec<Counted>,
    /// Of their events.
    pub events: Vec<Counted>,
}

impl Settings {
    /// The Collector's defaults: all spans and all events.
    pub fn all() -> Self {
        let counted = |name: &str, description: &str| Counted {
            name: name.to_owned(),
            description: description.to_owned(),
            conditions: Vec::new(),
            attributes: Vec::new(),
        };
        Self {
            spans: vec![counted("trace.span.count", "The number of spans observed.")],
            events: vec![counted("trace.span.event.count", "The number of span events observed.")],
        }
    }
}

/// The connector.
pub struct Count {
    settings: Settings,
    next: Arc<dyn Consumer>,
    counters: Arc<Counters>,
}

/// Counts of a resource: by metric and the values of its attributes.
type Counts = BTreeMap<(usize, Vec<String>), u64>;

impl Count {
    /// In front of pipelines of metrics.
    pub fn new(settings: Settings, next: Arc<dyn Consumer>, counters: Arc<Counters>) -> Self {
        Self { settings, next, counters }
    }

    /// Counts an item in a metric.
    fn add(
        &self,
        counts: &mut Counts,
        metric: usize,
        evaluator: &Evaluator,
        item: &Item<'_>,
        owners: &[Owner],
        room: &mut Room,
    ) -> Result<(), Refusal> {
        let Some(counted) = self.metrics().nth(metric) else { return Ok(()) };
        let mut meets = counted.conditions.is_empty();
        for condition in &counted.conditions {
            match evaluator.matches(condition, item) {
                Ok(held) => meets |= held,
                Err(error) => {
                    self.counters.failed(ErrorMode::Ignore, &error, condition.as_str())?;
                }
            }
        }
        if !meets {
            return Ok(());
        }
        let batch = item.batch();
        let mut values = Vec::with_capacity(counted.attributes.len());
        for (key, default) in &counted.attributes {
            let found = owners.iter().find_map(|&owner| {
                let place = batch.find_attribute(owner, key.as_bytes())?;
                Some(model::json::value_text(batch, batch.attributes(owner)[place].value))
            });
            let Some(value) = found.or_else(|| default.clone()) else { return Ok(()) };
            room.take(value.len())?;
            values.push(value);
        }
        let kept = values.len() + 1;
        let count = counts.entry((metric, values)).or_default();
        if *count == 0 {
            room.take(kept * TEXT_BYTES)?;
        }
        *count += 1;
        Ok(())
    }

    fn metrics(&self) -> impl Iterator<Item = &Counted> {
        self.settings.spans.iter().chain(&self.settings.events)
    }

    fn count(
        &self,
        batch: &SpanBatch,
        client: &Client,
        room: &mut Room,
    ) -> Result<Vec<Counts>, Refusal> {
        let evaluator = Evaluator::default();
        let mut own = batch.clone();
        let mut counts: Vec<Counts> = vec![Counts::new(); batch.resources().len()];
        let spans = self.settings.spans.len();
        for (at, span) in batch.spans().iter().enumerate() {
            let scope = span.scope as usize;
            let resource = batch.scopes()[scope].resource as usize;
            let around = [Owner::Span(at), Owner::Scope(scope), Owner::Resource(resource)];
            for metric in 0..spans {
                let item = Item::span(&mut own, client, at);
                self.add(&mut counts[resource], metric, &evaluator, &item, &around, room)?;
            }
            for event in 0..batch.span_events(span).len() {
                let [own_span, own_scope, own_resource] = around;
                let owners = [Owner::Event { span: at, event }, own_span, own_scope, own_resource];
                for metric in spans..spans + self.settings.events.len() {
                    let item = Item::event(&mut own, client, at, event);
                    self.add(&mut counts[resource], metric, &evaluator, &item, &owners, room)?;
                }
            }
        }
        Ok(counts)
    }

    fn sums(&self, counts: Counts) -> Vec<DeltaSum> {
        let mut sums: Vec<DeltaSum> = Vec::new();
        let mut last = None;
        for ((metric, values), count) in counts {
            let Some(counted) = self.metrics().nth(metric) else { continue };
            if last != Some(metric) {
                last = Some(metric);
                sums.push(DeltaSum {
                    name: counted.name.clone(),
                    description: counted.description.clone(),
                    points: Vec::new(),
                });
            }
            let keys = counted.attributes.iter().map(|(key, _)| key.clone());
            let attributes = keys.zip(values).collect();
            if let Some(sum) = sums.last_mut() {
                sum.points.push(DeltaPoint { attributes, count });
            }
        }
        sums
    }
}

#[async_trait]
impl Consumer for Count {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let Data::Traces(batches) = &request.data else {
            let reason = "the connector count takes traces only".to_owned();
            return Err(Refusal::Internal { reason });
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_nanos() as u64);
        let mut message = Vec::new();
        let mut items = 0;
        let mut room = Room::of(batches);
        for batch in batches {
            let counts = self.count(batch, &request.client, &mut room)?;
            for (resource, counts) in batch.resources().iter().zip(counts) {
                let sums = self.sums(counts);
                if !sums.is_empty() {
                    items += sums.iter().map(|sum| sum.points.len() as u64).sum::<u64>();
                    let resource = batch.resource_message(resource);
                    put_resource_metrics(&mut message, &resource, SCOPE, now, &sums);
                }
            }
        }
        if items == 0 {
            return Ok(());
        }
        let data = Data::Metrics(Encoded { parts: vec![message.into()], items });
        self.next.consume(Request { data, client: request.client.clone() }).await
    }
}
