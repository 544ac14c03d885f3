//! What targets and hosts are asked.

use std::cell::Cell;

use ottl::{
    Context, Evaluator, Field, Host, Path, Refusal, SpanField, SystemHost, Target, Value,
    parse_condition, parse_statement,
};

use crate::item::{ATTRIBUTES, Item};
use crate::{evaluator, text};

/// Counts what is asked of it.
struct Counting {
    item: Item,
    gets: Cell<usize>,
    sets: usize,
}

impl Target for Counting {
    fn get(&self, path: &Path) -> Value<'_> {
        self.gets.set(self.gets.get() + 1);
        self.item.get(path)
    }

    fn set(&mut self, path: &Path, value: Value<'_>) -> Result<(), Refusal> {
        self.sets += 1;
        self.item.set(path, value)
    }
}

/// A statement that changes nothing writes nothing, and asks no more than it has to.
#[test]
fn nothing_is_written_that_does_not_change() {
    for (text, gets, sets) in [
        ("set(attributes[\"a\"], 1)", 0, 1),
        ("set(attributes[\"a\"], 1) where attributes[\"text\"] == \"x\" and kind == 2", 1, 0),
        ("set(attributes[\"a\"], 1) where name == \"x\" or IsMatch(name, \"x\")", 2, 0),
        ("delete_key(attributes, \"absent\")", 1, 0),
        ("delete_key(attributes, \"text\")", 1, 1),
        ("delete_matching_keys(attributes, \"absent\")", 1, 0),
        ("keep_matching_keys(attributes, \"\")", 1, 0),
        ("limit(attributes, 100, [])", 1, 0),
        ("replace_pattern(name, \"absent\", \"\")", 1, 0),
        ("replace_match(name, \"absent\", \"\")", 1, 0),
        ("replace_all_patterns(attributes, \"value\", \"absent\", \"\")", 1, 0),
        ("replace_all_patterns(attributes, \"key\", \"absent\", \"\")", 1, 0),
        ("replace_all_matches(attributes, \"absent\", \"\")", 1, 0),
        ("truncate_all(attributes, 100)", 1, 0),
        ("merge_maps(attributes, {\"text\": 1}, \"insert\")", 1, 0),
        ("flatten(attributes, depth=0)", 1, 0),
        ("delete_index(attributes[\"list\"], 1, 1)", 1, 0),
        ("set(cache[\"a\"], 1)", 0, 0),
    ] {
        let statement = parse_statement(text, Context::Span).unwrap();
        let mut target = Counting { item: Item::usual(), gets: Cell::new(0), sets: 0 };
        evaluator().execute(&statement, &mut target).unwrap();
        assert_eq!((target.gets.get(), target.sets), (gets, sets), "{text}");
        assert!(sets > 0 || target.item == Item::usual(), "{text}");
    }
}

#[test]
fn values_are_put_where_keys_lead() {
    let mut item = Item::with(&[("a", text("b"))]);
    let path = |keys: &[&str]| Path {
        field: ATTRIBUTES,
        keys: keys.iter().map(|key| ottl::Key::Name((*key).to_owned())).collect(),
    };
    item.set(&path(&["x", "y"]), Value::Int(1)).unwrap();
    item.set(&path(&["x", "z"]), Value::Nil).unwrap();
    assert_eq!(item.get(&path(&["x"])), crate::map(&[("y", Value::Int(1))]));
    assert_eq!(
        item.set(&path(&["a", "b"]), Value::Int(1)),
        Err("only a map has names in it".into())
    );
    item.set(&path(&["x", "y"]), Value::Nil).unwrap();
    assert_eq!(item.get(&path(&["x"])), crate::map(&[]));
    assert_eq!(path(&["x"]).to_string(), "span.attributes[\"x\"]");
    let path = Path { field: Field::Span(SpanField::Name), keys: vec![] };
    assert_eq!(path.to_string(), "span.name");
}

#[test]
fn the_system_s_clock_goes_on_and_its_chance_differs() {
    assert!(SystemHost.now_nanos() > 1_700_000_000_000_000_000);
    assert_ne!(SystemHost.random(), SystemHost.random());
    let condition =
        parse_condition("Now() >= Unix(1700000000) and UUID() != UUID()", Context::Span);
    assert_eq!(Evaluator::default().matches(&condition.unwrap(), &Item::usual()), Ok(true));
}

/// Pipelines parse once and run on many threads.
#[test]
fn what_is_parsed_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<ottl::Statement>();
    shared::<ottl::Condition>();
    shared::<Evaluator>();
}
