//! `with(name=value, …)`.

use super::{Parsed, Parser};
use crate::ast::{Exemplars, Hints, Sampling, Static};

impl Parser<'_> {
    /// The hints after a query, if there are any. Of several lists the last counts, as in Tempo.
    pub(super) fn hints(&mut self) -> Parsed<Hints> {
        let mut hints = Hints::default();
        while self.function() == "with" {
            hints = self.hint_list()?;
        }
        Ok(hints)
    }

    fn hint_list(&mut self) -> Parsed<Hints> {
        let mut hints = Hints::default();
        self.advance();
        self.advance();
        loop {
            let name = self.word();
            if name.is_empty() {
                return Err(self.unexpected(&["the name of a hint"]));
            }
            self.advance();
            self.expect("=")?;
            let value = match self.take("-") {
                true => self.negative()?,
                false => self.constant_token()?,
            };
            let Some(value) = value else {
                return Err(self.unexpected(&["a value"]));
            };
            hints.set(name, value);
            if self.take(")") {
                return Ok(hints);
            }
            if !self.take(",") {
                return Err(self.unexpected(&[",", ")"]));
            }
        }
    }
}

impl Hints {
    /// Takes a hint. Of several of a name the first counts whose value is of the right kind. All
    /// others have no effect, those that steer the inside of an engine among them: to whom that is
    /// not allowed Tempo says nothing either.
    fn set(&mut self, name: &str, value: Static) {
        let switch = match value {
            Static::Bool(on) => Some(on),
            _ => None,
        };
        let count = match value {
            Static::Int(count) => u64::try_from(count.max(0)).ok(),
            _ => None,
        };
        let part = match value {
            Static::Int(_) | Static::Float(_) => value.number(),
            _ => None,
        };
        let part = part.filter(|part| *part > 0.0 && *part <= 1.0);
        let taken = match name {
            "most_recent" => first(&mut self.most_recent, switch),
            "extrapolate" => first(&mut self.extrapolate, switch),
            "span_sample" => first(&mut self.span_sample, part),
            "trace_sample" => first(&mut self.trace_sample, part),
            "exemplars" => {
                let value = switch.map(Exemplars::Switch).or(count.map(Exemplars::Count));
                first(&mut self.exemplars, value)
            }
            "sample" => {
                first(&mut self.sample, switch.map(Sampling::Switch).or(part.map(Sampling::Part)))
            }
            _ => false,
        };
        if !taken {
            self.ignored.push((name.to_owned(), value));
        }
    }
}

/// Whether there is a value; it stays if there was none before.
fn first<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let there = value.is_some();
    *slot = slot.take().or(value);
    there
}
