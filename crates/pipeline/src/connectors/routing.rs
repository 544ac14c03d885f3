//! The connector `routing`: to pipelines by what the data says.

use std::sync::Arc;

use async_trait::async_trait;
use model::SpanBatch;
use ottl::{Condition, Context, Evaluator};

use super::some_of;
use crate::consumer::{Consumer, Refusal};
use crate::data::{Client, Data, Request};
use crate::processors::item::Item;
use crate::processors::statements::{Counters, ErrorMode};

/// What a row of the table asks.
#[derive(Debug)]
pub enum Asked {
    /// A condition on every resource, scope or span.
    Ottl(Context, Condition),
    /// That a header of the request has this value, or another one.
    Header {
        /// The header.
        name: String,
        /// Its value.
        value: String,
        /// Whether it is this one that is asked for.
        equal: bool,
    },
}

/// A row of the table.
pub struct Route {
    /// The condition.
    pub asked: Asked,
    /// Where data goes that meets it.
    pub to: Arc<dyn Consumer>,
    /// Whether later rows and the default get it as well.
    pub copies: bool,
}

/// The connector. The first row that data meets has it, unless it copies.
pub struct Routing {
    routes: Vec<Route>,
    default: Option<Arc<dyn Consumer>>,
    error_mode: ErrorMode,
    counters: Arc<Counters>,
}

impl Routing {
    /// With a table; what no row takes away goes to the default, or is dropped without one.
    pub fn new(
        routes: Vec<Route>,
        default: Option<Arc<dyn Consumer>>,
        error_mode: ErrorMode,
        counters: Arc<Counters>,
    ) -> Self {
        Self { routes, default, error_mode, counters }
    }

    /// Which of a batch's spans that are left meet a row.
    fn met(
        &self,
        asked: &Asked,
        batch: &mut SpanBatch,
        left: &[bool],
        client: &Client,
    ) -> Result<Vec<bool>, Refusal> {
        let evaluator = Evaluator::default();
        let meets =
            |condition: &Condition, item: Item<'_>| match evaluator.matches(condition, &item) {
                Ok(meets) => Ok(meets),
                Err(error) => {
                    let text = condition.as_str();
                    self.counters.failed(self.error_mode, &error, text).map(|()| false)
                }
            };
        Ok(match asked {
            Asked::Header { name, value, equal } => {
                let has = client.values(name).any(|own| own == value);
                left.iter().map(|&left| left && has == *equal).collect()
            }
            Asked::Ottl(Context::Resource, condition) => {
                let of: Vec<bool> = (0..batch.resources().len())
                    .map(|at| meets(condition, Item::resource(batch, client, at)))
                    .collect::<Result<_, _>>()?;
                let resource =
                    |at: usize| batch.scopes()[batch.spans()[at].scope as usize].resource as usize;
                left.iter().enumerate().map(|(at, &left)| left && of[resource(at)]).collect()
            }
            Asked::Ottl(Context::Scope, condition) => {
                let of: Vec<bool> = (0..batch.scopes().len())
                    .map(|at| meets(condition, Item::scope(batch, client, at)))
                    .collect::<Result<_, _>>()?;
                let scope = |at: usize| batch.spans()[at].scope as usize;
                left.iter().enumerate().map(|(at, &left)| left && of[scope(at)]).collect()
            }
            Asked::Ottl(_, condition) => left
                .iter()
                .enumerate()
                .map(|(at, &left)| Ok(left && meets(condition, Item::span(batch, client, at))?))
                .collect::<Result<_, Refusal>>()?,
        })
    }
}

#[async_trait]
impl Consumer for Routing {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let Data::Traces(batches) = &request.data else {
            let reason = "the connector routing takes traces only".to_owned();
            return Err(Refusal::Internal { reason });
        };
        // By row, and the default behind them.
        let mut parts: Vec<Vec<Arc<SpanBatch>>> = vec![Vec::new(); self.routes.len() + 1];
        for batch in batches {
            let mut left = vec![true; batch.len()];
            let mut own = (**batch).clone();
            for (route, parts) in self.routes.iter().zip(&mut parts) {
                let met = self.met(&route.asked, &mut own, &left, &request.client)?;
                let spans = chosen(&met);
                if spans.is_empty() {
                    continue;
                }
                parts.push(some_of(batch, &spans)?);
                if !route.copies {
                    left.iter_mut().zip(met).for_each(|(left, met)| *left &= !met);
                }
            }
            let rest = chosen(&left);
            if !rest.is_empty()
                && let Some(parts) = parts.last_mut()
            {
                parts.push(some_of(batch, &rest)?);
            }
        }
        let to = self.routes.iter().map(|route| Some(&route.to)).chain([self.default.as_ref()]);
        let asked = to.zip(parts).filter_map(|(to, batches)| {
            let data = Data::Traces(batches);
            let request = Request { data, client: request.client.clone() };
            (request.data.items() > 0).then(|| to.map(|to| to.consume(request)))?
        });
        let mut refused: Option<Refusal> = None;
        for answer in futures_util::future::join_all(asked).await {
            if let Err(refusal) = answer {
                refused = Some(match refused {
                    Some(first) => first.or(refusal),
                    None => refusal,
                });
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

fn chosen(which: &[bool]) -> Vec<u32> {
    which.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(at, _)| at as u32).collect()
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::processors::testing::{TestSpan, batch, names};

    struct Sink {
        name: &'static str,
        seen: Arc<Mutex<Vec<String>>>,
    }

    #[async_trait]
    impl Consumer for Sink {
        async fn consume(&self, request: Request) -> Result<(), Refusal> {
            let Data::Traces(batches) = request.data else { return Ok(()) };
            for batch in batches {
                self.seen.lock().push(format!("{}: {}", self.name, names(&batch).join(" ")));
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn data_goes_where_the_table_says() {
        let spans = || {
            let span = |service, name, kind| TestSpan { service, name, kind, attributes: vec![] };
            batch(&[span("a", "a1", 2), span("b", "b1", 3), span("b", "b2", 2)])
        };
        let resource = |service: &str| {
            let text = format!(r#"attributes["service.name"] == "{service}""#);
            let condition = ottl::parse_condition(&text, Context::Resource);
            Asked::Ottl(Context::Resource, condition.expect("a condition"))
        };
        let span = |text: &str| {
            let condition = ottl::parse_condition(text, Context::Span).expect("a condition");
            Asked::Ottl(Context::Span, condition)
        };
        let header =
            |equal| Asked::Header { name: "X-Tenant".to_owned(), value: "t".to_owned(), equal };
        for (rows, with_default, expected) in [
            (vec![], true, "d: a1 b1 b2"),
            (vec![(resource("b"), false)], true, "d: a1 | x: b1 b2"),
            (vec![(resource("b"), false)], false, "x: b1 b2"),
            (
                vec![(resource("b"), false), (span("kind == SPAN_KIND_SERVER"), false)],
                true,
                "x: b1 b2 | y: a1",
            ),
            (
                vec![(resource("b"), true), (span("kind == SPAN_KIND_SERVER"), false)],
                true,
                "d: b1 | x: b1 b2 | y: a1 b2",
            ),
            (vec![(resource("b"), true)], true, "d: a1 b1 b2 | x: b1 b2"),
            (vec![(resource("b"), true)], false, "x: b1 b2"),
            (
                vec![(span(r#"name == "a1""#), false), (resource("a"), false)],
                true,
                "d: b1 b2 | x: a1",
            ),
            (vec![(header(true), false)], true, "x: a1 b1 b2"),
            (vec![(header(false), false)], true, "d: a1 b1 b2"),
            // Fails on all of them, which go on.
            (vec![(span("ParseJSON(name) == nil"), false)], true, "d: a1 b1 b2"),
        ] {
            let seen: Arc<Mutex<Vec<String>>> = Arc::default();
            let sink = |name| Arc::new(Sink { name, seen: seen.clone() }) as Arc<dyn Consumer>;
            let sinks = ["x", "y"].map(sink);
            let routes = rows.into_iter().zip(sinks);
            let routes = routes.map(|((asked, copies), to)| Route { asked, to, copies }).collect();
            let default = with_default.then(|| sink("d"));
            let routing = Routing::new(routes, default, ErrorMode::Silent, Arc::default());
            let metadata = vec![("x-tenant".to_owned(), "t".to_owned())];
            let client = Arc::new(Client { metadata, ..Client::default() });
            let request = Request { client, ..Request::traces(spans()) };
            routing.consume(request).await.unwrap();
            let mut found = seen.lock().clone();
            found.sort();
            assert_eq!(found.join(" | "), expected);
        }
    }
}
