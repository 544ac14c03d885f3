//! Any text is refused at a place in it, or runs on an item with nothing in it without harm.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottl::{
    Context, Error, Evaluator, Path, Refusal, Target, Value, parse_condition, parse_statement,
};

/// Has one map in every field that can be set, so that editors find something.
struct One(Value<'static>);

impl Target for One {
    fn get(&self, path: &Path) -> Value<'_> {
        self.0.at(&path.keys).map(Value::view).unwrap_or_default()
    }

    fn set(&mut self, path: &Path, value: Value<'_>) -> Result<(), Refusal> {
        Ok(self.0.put(&path.keys, value.into_owned())?)
    }
}

fn at_a_place(text: &str, error: &Error) {
    assert!(text.get(error.start..error.end).is_some(), "{error}");
    error.caret(text);
}

fuzz_target!(|text: &str| {
    let mut target =
        One(Value::Map(vec![("a".into(), "text".into()), ("b".into(), Value::Int(1))]));
    let mut evaluator = Evaluator::default();
    for context in Context::ALL {
        match parse_statement(text, context) {
            Ok(statement) => {
                if let Err(error) = evaluator.execute(&statement, &mut target) {
                    assert!(text.get(error.start..error.end).is_some(), "{error}");
                }
            }
            Err(error) => at_a_place(text, &error),
        }
        match parse_condition(text, context) {
            Ok(condition) => {
                let _ = evaluator.matches(&condition, &target);
            }
            Err(error) => at_a_place(text, &error),
        }
    }
    if let Err((_, error)) = ottl::infer_context(&[text]) {
        at_a_place(text, &error);
    }
});
