//! The processors `attributes` (of spans) and `resource`.

use model::{Owner, SpanBatch};

use super::Edit;
use super::actions::{Action, Prepared};
use super::matching::Selection;
use crate::consumer::Refusal;
use crate::data::Client;

/// Changes the attributes of spans.
pub struct Attributes {
    /// In order.
    pub actions: Vec<Action>,
    /// Of which spans.
    pub selection: Selection,
}

impl Edit for Attributes {
    fn edit(&self, batch: &mut SpanBatch, client: &Client) -> Result<(), Refusal> {
        let prepared = Prepared::new(&self.actions, batch, client)?;
        for at in 0..batch.len() {
            if self.selection.has(batch, &batch.spans()[at]) {
                prepared.apply(batch, Owner::Span(at))?;
            }
        }
        Ok(())
    }
}

/// Changes the attributes of resources.
pub struct Resource {
    /// In order.
    pub actions: Vec<Action>,
}

impl Edit for Resource {
    fn edit(&self, batch: &mut SpanBatch, client: &Client) -> Result<(), Refusal> {
        let prepared = Prepared::new(&self.actions, batch, client)?;
        for at in 0..batch.resources().len() {
            prepared.apply(batch, Owner::Resource(at))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::super::actions::{Converted, Keys, Literal, Source};
    use super::super::matching::{Conditions, LibraryMatch, TextMatch, ValueMatch};
    use super::super::testing::Plain::{Bool, Double, Int, Text};
    use super::super::testing::{TestSpan, attributes, batch, one};
    use super::*;

    fn text(text: &str) -> Source {
        Source::Value(Literal::Text(text.to_owned()))
    }

    fn or(source: Source) -> Source {
        Source::Or(Box::new(source), Literal::Text("d".to_owned()))
    }

    fn key(key: &str) -> Keys {
        Keys { key: Some(key.to_owned()), pattern: None }
    }

    fn pattern(pattern: &str) -> Keys {
        Keys { key: None, pattern: Some(Regex::new(pattern).expect("a pattern")) }
    }

    #[test]
    fn actions_do_what_the_collectors_do() {
        use Action::{Convert, Delete, Extract, Hash, Insert, Update, Upsert};
        let name = |name: &str| name.to_owned();
        let client = Client {
            address: Some(([10, 1, 2, 3], 4000).into()),
            metadata: vec![(name("x-tenant"), name("a")), (name("x-tenant"), name("b"))],
            auth: vec![(name("subject"), name("me"))],
        };
        let before = || vec![("a", Text("1")), ("b", Int(2)), ("mail", Text("x@y.z"))];
        for (actions, after) in [
            (vec![Insert(name("c"), text("3"))], "a='1' b=2 mail='x@y.z' c='3'"),
            (vec![Insert(name("a"), text("3"))], "a='1' b=2 mail='x@y.z'"),
            (vec![Update(name("a"), text("3"))], "a='3' b=2 mail='x@y.z'"),
            (vec![Update(name("c"), text("3"))], "a='1' b=2 mail='x@y.z'"),
            (vec![Upsert(name("a"), text("3"))], "a='3' b=2 mail='x@y.z'"),
            (vec![Upsert(name("c"), text(""))], "a='1' b=2 mail='x@y.z' c=''"),
            (vec![Insert(name("c"), Source::Attribute(name("b")))], "a='1' b=2 mail='x@y.z' c=2"),
            (vec![Insert(name("c"), Source::Attribute(name("none")))], "a='1' b=2 mail='x@y.z'"),
            (
                vec![Insert(name("c"), Source::Context(name("metadata.X-Tenant")))],
                "a='1' b=2 mail='x@y.z' c='a;b'",
            ),
            (
                vec![Insert(name("c"), Source::Context(name("client.address")))],
                "a='1' b=2 mail='x@y.z' c='10.1.2.3'",
            ),
            (
                vec![Insert(name("c"), Source::Context(name("auth.subject")))],
                "a='1' b=2 mail='x@y.z' c='me'",
            ),
            (
                vec![Insert(name("c"), Source::Context(name("metadata.no")))],
                "a='1' b=2 mail='x@y.z'",
            ),
            (
                vec![Insert(name("c"), Source::Context(name("X-Tenant")))],
                "a='1' b=2 mail='x@y.z' c='a;b'",
            ),
            (
                vec![Insert(name("c"), or(Source::Context(name("metadata.no"))))],
                "a='1' b=2 mail='x@y.z' c='d'",
            ),
            (
                vec![Insert(name("c"), or(Source::Context(name("client.address"))))],
                "a='1' b=2 mail='x@y.z' c='10.1.2.3'",
            ),
            (
                vec![Insert(name("c"), or(Source::Attribute(name("none"))))],
                "a='1' b=2 mail='x@y.z' c='d'",
            ),
            (
                vec![Insert(name("c"), or(Source::Attribute(name("b"))))],
                "a='1' b=2 mail='x@y.z' c=2",
            ),
            (vec![Delete(key("a")), Delete(key("none"))], "b=2 mail='x@y.z'"),
            (vec![Delete(pattern("^[ab]$"))], "mail='x@y.z'"),
            (
                // printf 1 | sha256sum
                vec![Hash(key("a"))],
                "a='6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b' b=2 mail='x@y.z'",
            ),
            (
                // Eight bytes, little end first: printf '\\2\\0\\0\\0\\0\\0\\0\\0' | sha256sum
                vec![Hash(pattern("^b"))],
                "a='1' b='d86e8112f3c4c4442126f8e9f44f16867da487f29052bf91b810457db34209a4' mail='x@y.z'",
            ),
            (
                vec![Extract(name("mail"), Regex::new("(?P<user>.+)@(?P<b>.+)").unwrap())],
                "a='1' b='y.z' mail='x@y.z' user='x'",
            ),
            (
                vec![Extract(name("mail"), Regex::new("(?P<user>.+)#").unwrap())],
                "a='1' b=2 mail='x@y.z'",
            ),
            (vec![Convert(name("a"), Converted::Int)], "a=1 b=2 mail='x@y.z'"),
            (vec![Convert(name("b"), Converted::Double)], "a='1' b=2.0 mail='x@y.z'"),
            (vec![Convert(name("b"), Converted::String)], "a='1' b='2' mail='x@y.z'"),
            (
                vec![Convert(name("b"), Converted::Double), Convert(name("b"), Converted::String)],
                "a='1' b='2' mail='x@y.z'",
            ),
            (vec![Convert(name("mail"), Converted::Int)], "a='1' b=2 mail='x@y.z'"),
            (
                vec![Upsert(name("c"), Source::Attribute(name("a"))), Delete(key("a"))],
                "b=2 mail='x@y.z' c='1'",
            ),
        ] {
            let mut changed = one(before());
            let edit = Attributes { actions: actions.clone(), selection: Selection::default() };
            edit.edit(&mut changed, &client).unwrap();
            let found = attributes(&changed, Owner::Span(0));
            assert_eq!(found, after, "{actions:?}");
        }
    }

    #[test]
    fn resources_are_changed_once_each() {
        let mut batch = one(vec![]);
        let environment = Action::Upsert("environment".to_owned(), text("production"));
        Resource { actions: vec![environment] }.edit(&mut batch, &Client::default()).unwrap();
        let after = "service.name='shop' environment='production'";
        assert_eq!(attributes(&batch, Owner::Resource(0)), after);
        let again = SpanBatch::decode(batch.encoded()).unwrap();
        assert_eq!(attributes(&again, Owner::Resource(0)), after);
    }

    #[test]
    fn spans_are_included_and_excluded() {
        let strict = |text: &str| vec![TextMatch::Strict(text.to_owned())];
        let regexp = |text: &str| vec![TextMatch::Pattern(Regex::new(text).unwrap())];
        let has = |key: &str, value| vec![(key.to_owned(), value)];
        let equal = |literal| ValueMatch::Equal(literal);
        let conditions = Conditions::default;
        let spans = || {
            batch(&[
                TestSpan { service: "a", name: "x1", kind: 2, attributes: vec![("n", Int(1))] },
                TestSpan { service: "b", name: "x2", kind: 3, attributes: vec![("n", Text("1"))] },
                TestSpan {
                    service: "b",
                    name: "y",
                    kind: 3,
                    attributes: vec![("d", Double(1.5)), ("t", Bool(true)), ("w", Double(2.0))],
                },
            ])
        };
        for (include, exclude, touched) in [
            (None, None, "123"),
            (Some(conditions()), None, "123"),
            (Some(Conditions { services: strict("b"), ..conditions() }), None, "23"),
            (Some(Conditions { services: regexp("^[ab]$"), ..conditions() }), None, "123"),
            (Some(Conditions { span_names: regexp("x"), ..conditions() }), None, "12"),
            (Some(Conditions { span_names: strict("x"), ..conditions() }), None, ""),
            (
                Some(Conditions { span_kinds: strict("SPAN_KIND_CLIENT"), ..conditions() }),
                None,
                "23",
            ),
            (
                Some(Conditions { services: strict("b"), span_names: regexp("x"), ..conditions() }),
                None,
                "2",
            ),
            (
                Some(Conditions { services: strict("b"), ..conditions() }),
                Some(Conditions { span_names: strict("y"), ..conditions() }),
                "2",
            ),
            (None, Some(Conditions { services: strict("b"), ..conditions() }), "1"),
            (
                Some(Conditions { attributes: has("n", ValueMatch::Present), ..conditions() }),
                None,
                "12",
            ),
            (
                Some(Conditions { attributes: has("n", equal(Literal::Int(1))), ..conditions() }),
                None,
                "1",
            ),
            (
                Some(Conditions {
                    attributes: has("n", ValueMatch::Pattern(Regex::new("1").unwrap())),
                    ..conditions()
                }),
                None,
                "12",
            ),
            (
                Some(Conditions {
                    attributes: has("w", ValueMatch::Pattern(Regex::new("^2$").unwrap())),
                    ..conditions()
                }),
                None,
                "3",
            ),
            (
                Some(Conditions {
                    attributes: has("d", equal(Literal::Double(1.5))),
                    ..conditions()
                }),
                None,
                "3",
            ),
            (
                Some(Conditions {
                    attributes: has("t", equal(Literal::Bool(true))),
                    ..conditions()
                }),
                None,
                "3",
            ),
            (
                Some(Conditions {
                    resources: has("service.name", equal(Literal::Text("a".to_owned()))),
                    ..conditions()
                }),
                None,
                "1",
            ),
            (
                Some(Conditions {
                    libraries: vec![LibraryMatch {
                        name: TextMatch::Strict("lib".to_owned()),
                        version: Some(TextMatch::Strict("2".to_owned())),
                    }],
                    ..conditions()
                }),
                None,
                "",
            ),
        ] {
            let mut changed = spans();
            let selection = Selection { include, exclude };
            let edit = Attributes {
                actions: vec![Action::Insert("touched".to_owned(), text("yes"))],
                selection,
            };
            edit.edit(&mut changed, &Client::default()).unwrap();
            let found: String = (0..3)
                .filter(|&at| changed.find_attribute(Owner::Span(at), b"touched").is_some())
                .map(|at| (at + 1).to_string())
                .collect();
            assert_eq!(found, touched, "{:?}", edit.selection);
        }
    }
}
