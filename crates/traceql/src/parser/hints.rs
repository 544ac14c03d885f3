//! `with(name=value, …)`.

use super::{Parsed, Parser};
use crate::ast::{Exemplars, Hints, Sampling, Static};
use crate::check::Problem;
use crate::error::ErrorKind;

/// Hints that show or change how an engine works inside. They are not for users.
const INTERNAL: [&str; 10] = [
    "job_size",
    "time_overlap_cutoff",
    "concurrent_blocks",
    "debug",
    "info",
    "debug_return_in",
    "debug_std_dev",
    "debug_data_factor",
    "skip_ast_transformations",
    "spanonly_fetch",
];

impl Parser<'_> {
    /// The hints after a query, if there are any.
    pub(super) fn hints(&mut self) -> Parsed<Hints> {
        let mut hints = Hints::default();
        if self.function() != "with" {
            return Ok(hints);
        }
        self.advance();
        self.advance();
        loop {
            let start = self.start();
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
            let wanted = hints.set(name, value);
            if let Err((kind, message)) = wanted {
                let problem = Problem::new(start, self.end(), message);
                self.note(Err(Problem { kind, ..problem }));
            }
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
    /// Takes a hint, or says what its value has to be. Of several of a name the first counts.
    fn set(&mut self, name: &str, value: Static) -> Result<(), (ErrorKind, String)> {
        let switch = match value {
            Static::Bool(on) => Some(on),
            _ => None,
        };
        let count = match value {
            Static::Int(count) => u64::try_from(count).ok(),
            _ => None,
        };
        let part = match value {
            Static::Int(_) | Static::Float(_) => value.number(),
            _ => None,
        };
        let part = part.filter(|part| *part > 0.0 && *part <= 1.0);
        const SWITCH: &str = "true or false";
        const PART: &str = "a part, more than 0 and at most 1";
        let (taken, wanted) = match name {
            "most_recent" => (first(&mut self.most_recent, switch), SWITCH),
            "extrapolate" => (first(&mut self.extrapolate, switch), SWITCH),
            "span_sample" => (first(&mut self.span_sample, part), PART),
            "trace_sample" => (first(&mut self.trace_sample, part), PART),
            "exemplars" => {
                let value = switch.map(Exemplars::Switch).or(count.map(Exemplars::Count));
                (first(&mut self.exemplars, value), "a number, true or false")
            }
            "sample" => {
                let value = switch.map(Sampling::Switch).or(part.map(Sampling::Part));
                let wanted = "true, false or a part, more than 0 and at most 1";
                (first(&mut self.sample, value), wanted)
            }
            name if INTERNAL.contains(&name) => {
                let message = format!("the hint {name} is not available");
                return Err((ErrorKind::Validation, message));
            }
            name => {
                self.ignored.push((name.to_owned(), value));
                return Ok(());
            }
        };
        match taken {
            true => Ok(()),
            false => Err((ErrorKind::Validation, format!("the hint {name} is {wanted}"))),
        }
    }
}

/// Whether there is a value; it stays if there was none before.
fn first<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let there = value.is_some();
    *slot = slot.take().or(value);
    there
}
