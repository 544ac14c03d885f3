//! Parameters of a URL, read as Jaeger reads them: of one that is given several times the first
//! counts, and an empty one is as good as none. Unknown ones are for each endpoint to ignore.

use http::Uri;
use query::parse_duration_nano;

use super::problem::Problem;

pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let query = uri.query().unwrap_or_default();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = |error: String| {
                Problem::bad(format!("malformed query string at {pair:?}: {error}"))
            };
            let name = unescaped(name).map_err(wrong)?;
            Ok((name, unescaped(value).map_err(wrong)?))
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(pair);
        pairs.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The first of several names for the same thing that is given, and its value.
    pub(super) fn either<'a, 'n>(&'a self, names: &[&'n str]) -> Option<(&'n str, &'a str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// Every name that is given, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What `read` makes of a parameter, in the legacy API's words when it cannot.
    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let value = self.get(name).map(read).transpose();
        value.map_err(|error| Problem::bad(format!("unable to parse param '{name}': {error}")))
    }

    /// A count of units since 1970 in nanoseconds.
    pub(super) fn time(&self, name: &str, unit_nano: u64) -> Result<Option<u64>, Problem> {
        self.read(name, |text| scaled(text, unit_nano))
    }
}

/// A text of a query without its escapes; a plus stands for a space.
pub(super) fn unescaped(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    return Err("invalid URL escape".to_owned());
                };
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            plain => bytes.push(plain),
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// A whole number of units, in nanoseconds.
pub(super) fn scaled(text: &str, unit_nano: u64) -> Result<u64, String> {
    let number = whole(text)?;
    let number = u64::try_from(number).map_err(|_| format!("{text:?} is negative"))?;
    number.checked_mul(unit_nano).ok_or_else(|| format!("{text:?} is out of range"))
}

/// A whole number.
pub(super) fn whole(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// `true`, `false` and the other spellings that Go takes.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A duration such as `1.2s`, `100ms` or `500us`, in nanoseconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let text = text.strip_prefix('+').unwrap_or(text);
    // Go allows the nought in front of a point to be left out.
    let padded = if text.starts_with('.') { format!("0{text}") } else { text.to_owned() };
    parse_duration_nano(&padded).map_err(|error| error.to_string())
}

/// The number of a span kind's name.
pub(super) fn kind(name: &str) -> Result<i32, String> {
    let known = model::kind::UNSPECIFIED..=model::kind::CONSUMER;
    known.into_iter().find(|&kind| model::kind::name(kind) == name).ok_or_else(|| {
        format!(
            "unsupported span kind: '{name}'; known are unspecified, internal, server, client, \
             producer and consumer"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn empty_ones_are_none_and_the_first_counts() {
        let params = params("a=1&a=2&b=&c=%41+b");
        assert_eq!((params.get("a"), params.get("b"), params.get("d")), (Some("1"), None, None));
        assert_eq!(params.get("c"), Some("A b"));
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(params.either(&["d", "b", "a"]), Some(("a", "1")));
        assert_eq!(params.names().collect::<Vec<_>>(), ["a", "a", "b", "c"]);
    }

    #[test]
    fn values() {
        assert_eq!(duration("1.2s"), Ok(1_200_000_000));
        assert_eq!(duration(".5ms"), Ok(500_000));
        assert_eq!(scaled("5", 1000), Ok(5000));
        assert_eq!(truth("F"), Ok(false));
        assert_eq!(kind("server"), Ok(2));
        for wrong in [scaled("-5", 1), scaled("x", 1), scaled("9223372036854775807", 1000)] {
            assert!(wrong.is_err());
        }
        assert!(truth("yes").is_err() && kind("SERVER").is_err() && duration("-1s").is_err());
    }
}
