//! A span as Zipkin's v2 JSON writes it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use crate::payload::few;

/// One span. What is empty is left out of the JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Span<'a> {
    /// 1 to 32 hexadecimal digits; 32 where this crate writes it.
    #[serde(borrow)]
    pub trace_id: Cow<'a, str>,
    /// 1 to 16 hexadecimal digits; none at a root.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Cow<'a, str>>,
    /// 1 to 16 hexadecimal digits.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Which side of a call; none for what happens inside the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The operation.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// Start, microseconds since the Unix epoch.
    #[serde(deserialize_with = "whole_number", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// Microseconds, at least 1.
    #[serde(deserialize_with = "whole_number", skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
    /// Who recorded the span.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub local_endpoint: Option<Endpoint<'a>>,
    /// The other side.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub remote_endpoint: Option<Endpoint<'a>>,
    /// What happened when.
    #[serde(borrow, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation<'a>>,
    /// Texts by name.
    #[serde(
        borrow,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub tags: BTreeMap<TagKey<'a>, TagValue<'a>>,
    /// Sampling was overridden for this trace.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub debug: bool,
    /// The server's half of a span whose id the client gave.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub shared: bool,
}

/// Which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Makes a request.
    Client,
    /// Handles one.
    Server,
    /// Hands a message over.
    Producer,
    /// Takes one.
    Consumer,
}

/// One side of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint<'a> {
    /// The service.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<Cow<'a, str>>,
    /// `192.168.99.100`.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Cow<'a, str>>,
    /// `2001:db8::c001`.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Cow<'a, str>>,
    /// The port.
    #[serde(deserialize_with = "whole_number", skip_serializing_if = "Option::is_none")]
    pub port: Option<u64>,
}

/// Something that happened during a span.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotation<'a> {
    /// Microseconds since the Unix epoch.
    #[serde(deserialize_with = "whole_number", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// What.
    #[serde(borrow)]
    pub value: Cow<'a, str>,
}

/// A tag's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagKey<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl std::borrow::Borrow<str> for TagKey<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A tag's value: text. Senders that write numbers or booleans are understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TagValue<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for TagValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl<'de> Visitor<'de> for Scalar {
            type Value = TagValue<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a boolean as the value of a tag")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(TagValue(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TagValue(Cow::Owned(text.to_owned())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(TagValue(Cow::Owned(value.to_string())))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(TagValue(Cow::Owned(value.to_string())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(TagValue(Cow::Owned(value.to_string())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(TagValue(Cow::Owned(format!("{value:?}"))))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

impl<'a> Span<'a> {
    /// A tag's value.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(|value| value.0.as_ref())
    }

    /// Sets a tag, unless it is there.
    pub(crate) fn add_tag(&mut self, key: Cow<'a, str>, value: Cow<'a, str>) {
        self.tags.entry(TagKey(key)).or_insert(TagValue(value));
    }

    /// Sets a tag.
    pub(crate) fn set_tag(&mut self, key: &'static str, value: Cow<'a, str>) {
        self.tags.insert(TagKey(Cow::Borrowed(key)), TagValue(value));
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Whole numbers that are not negative, in the spellings that JSON has for them: `1`, `1.0`,
/// `1e3`, `"1"`; `null` for none.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    struct Number;
    impl<'de> Visitor<'de> for Number {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number that is not negative")
        }

        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            // 2^53: beyond it not every whole number is one of these.
            let is_whole = value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value);
            is_whole
                .then_some(Some(value as u64))
                .ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.map(Some).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Number)
}
