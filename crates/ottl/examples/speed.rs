//! Prints what statements and conditions cost: `cargo run --release -p ottl --example speed`.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

use ottl::{
    Context, Evaluator, Field, Key, Map, Path, Refusal, SpanField, Target, Value, parse_condition,
    parse_statement,
};

/// A span of 20 attributes and a name.
struct Span {
    attributes: Map<'static>,
}

impl Span {
    fn place(&self, path: &Path) -> Option<usize> {
        let Some(Key::Name(name)) = path.keys.first() else { return None };
        self.attributes.iter().position(|(key, _)| key == name)
    }
}

impl Target for Span {
    fn get(&self, path: &Path) -> Value<'_> {
        match path.field {
            Field::Span(SpanField::Name) => Value::from("GET /api/carts/{id}"),
            Field::Span(SpanField::Kind) => Value::Int(2),
            _ => self.place(path).map(|at| self.attributes[at].1.view()).unwrap_or_default(),
        }
    }

    fn set(&mut self, path: &Path, value: Value<'_>) -> Result<(), Refusal> {
        match self.place(path) {
            Some(at) => self.attributes[at].1 = value.into_owned(),
            None => return Err("a new attribute is not what this measures".into()),
        }
        Ok(())
    }

    fn retain_keys(&mut self, _: &Path, keep: &mut dyn FnMut(&str) -> bool) -> Result<(), Refusal> {
        self.attributes.retain(|(key, _)| keep(key));
        Ok(())
    }

    fn edit_texts(
        &mut self,
        _: &Path,
        edit: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<(), Refusal> {
        for (_, value) in &mut self.attributes {
            if let Value::String(text) = value
                && let Some(edited) = edit(text)
            {
                *text = Cow::Owned(edited);
            }
        }
        Ok(())
    }
}

fn main() {
    const ROUNDS: u32 = 1_000_000;
    let attribute = |at: u32| (format!("http.key{at}").into(), Value::from(format!("value {at}")));
    let mut span = Span { attributes: (0..20).map(attribute).collect() };
    let mut evaluator = Evaluator::default();
    let report = |text: &str, started: Instant| {
        println!("{:>6} ns  {text}", started.elapsed().as_nanos() / u128::from(ROUNDS));
    };
    for text in [
        "true",
        "kind == SPAN_KIND_SERVER",
        "attributes[\"http.key3\"] == \"value 3\"",
        "IsMatch(name, \"^GET /api/.*\")",
        "attributes[\"http.key3\"] == \"x\" or kind == 2 and IsMatch(name, \"carts\")",
    ] {
        let condition = parse_condition(text, Context::Span).expect(text);
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(evaluator.matches(black_box(&condition), black_box(&span))).expect(text);
        }
        report(text, started);
    }
    for text in [
        "set(attributes[\"http.key3\"], 1)",
        "set(attributes[\"http.key3\"], \"value\")",
        "set(attributes[\"http.key3\"], \"value\") where kind == 3",
        "delete_key(attributes, \"absent\")",
        "replace_pattern(name, \"absent\", \"\")",
        "truncate_all(attributes, 100)",
    ] {
        let statement = parse_statement(text, Context::Span).expect(text);
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(evaluator.execute(black_box(&statement), black_box(&mut span))).expect(text);
        }
        report(text, started);
    }
}
