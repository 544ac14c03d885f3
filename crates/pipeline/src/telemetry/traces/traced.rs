//! The span of a request that a receiver hands on, or that an exporter takes at once.

use std::pin::Pin;
use std::sync::Arc;

use config::Id;

use super::{Kind, OwnTraces, context, incoming};
use crate::consumer::{Consumer, Refusal, Taken};
use crate::data::{Request, Signal};

/// What is counted in a span, if it was taken and if it was not.
type Counts = [&'static str; 2];

/// Stands in front of a consumer, and makes a span of each request that goes through.
pub struct Traced {
    traces: OwnTraces,
    is_receiver: bool,
    /// For each signal, in their order.
    names: [Arc<str>; 3],
    next: Arc<dyn Consumer>,
}

impl Traced {
    /// Behind a receiver.
    pub(crate) fn receiver(id: &Id, traces: &OwnTraces, next: Arc<dyn Consumer>) -> Self {
        // As the Collector names them.
        let names = ["TraceDataReceived", "MetricsReceived", "LogsReceived"];
        let names = names.map(|name| format!("receiver/{id}/{name}").into());
        Self { traces: traces.clone(), is_receiver: true, names, next }
    }

    /// In front of an exporter that does its work while who sends waits. Those of this crate need
    /// none: senders make spans of their attempts.
    pub fn exporter(id: &Id, traces: &OwnTraces, next: Arc<dyn Consumer>) -> Self {
        let signals = [Signal::Traces, Signal::Metrics, Signal::Logs];
        let names = signals.map(|signal| format!("exporter/{id}/{signal}").into());
        Self { traces: traces.clone(), is_receiver: false, names, next }
    }

    fn counts(&self, signal: Signal) -> Counts {
        match (self.is_receiver, signal) {
            (true, Signal::Traces) => ["accepted_spans", "refused_spans"],
            (true, Signal::Metrics) => ["accepted_metric_points", "refused_metric_points"],
            (true, Signal::Logs) => ["accepted_log_records", "refused_log_records"],
            (false, signal) => sent(signal),
        }
    }

    async fn consumed(
        &self,
        tracer: Arc<super::Tracer>,
        request: Request,
        taken: Option<&Taken>,
    ) -> Result<(), Refusal> {
        let signal = request.data.signal();
        let items = request.data.items();
        let incoming = incoming().filter(|_| self.is_receiver);
        let parent = incoming.and_then(|own| own.parent).or_else(context);
        let kind = if self.is_receiver { Kind::Server } else { Kind::Client };
        let mut span = tracer.begin(&self.names[signal as usize], kind, parent);
        if let Some(incoming) = incoming {
            span.set_text("transport", incoming.transport);
        }
        let work = match taken {
            Some(taken) => self.next.offer(request, taken),
            None => self.next.consume(request),
        };
        let answer = span.context().scope(work).await;
        let [accepted, refused] = self.counts(signal);
        let is_taken = answer.is_ok();
        span.set(accepted, if is_taken { items } else { 0 });
        span.set(refused, if is_taken { 0 } else { items });
        if let Err(refusal) = &answer {
            span.fail(&refusal.to_string());
        }
        answer
    }
}

/// What the span of an exporter counts.
pub(crate) fn sent(signal: Signal) -> Counts {
    match signal {
        Signal::Traces => ["sent_spans", "send_failed_spans"],
        Signal::Metrics => ["sent_metric_points", "send_failed_metric_points"],
        Signal::Logs => ["sent_log_records", "send_failed_log_records"],
    }
}

impl Consumer for Traced {
    /// Written out, so that nothing is allocated where own traces are off.
    fn consume<'own, 'out>(
        &'own self,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'out>>
    where
        'own: 'out,
        Self: 'out,
    {
        match self.traces.tracer() {
            None => self.next.consume(request),
            Some(tracer) => Box::pin(self.consumed(tracer, request, None)),
        }
    }

    fn offer<'own, 'taken, 'out>(
        &'own self,
        request: Request,
        taken: &'taken Taken,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'out>>
    where
        'own: 'out,
        'taken: 'out,
        Self: 'out,
    {
        match self.traces.tracer() {
            None => self.next.offer(request, taken),
            Some(tracer) => Box::pin(self.consumed(tracer, request, Some(taken))),
        }
    }
}
