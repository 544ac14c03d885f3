//! Headers that a configuration adds to requests. Their values are often secrets.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers whose values are never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers {
    map: HeaderMap,
}

/// Why a header cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a token (RFC 9110 5.1).
    #[error("{name:?} is not the name of a header")]
    Name {
        /// As given.
        name: String,
    },
    /// Control characters or such.
    #[error("the value of header {name} has characters that a header cannot have")]
    Value {
        /// Whose.
        name: String,
    },
}

impl Headers {
    /// Adds a header; a name may come several times.
    ///
    /// # Errors
    /// When name or value are not those of a header.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| HeaderError::Name { name: name.to_owned() })?;
        let mut value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| HeaderError::Value { name: name.to_owned() })?;
        // Out of debug output, and of what HTTP/2 keeps for later requests.
        value.set_sensitive(true);
        self.map.append(key, value);
        Ok(())
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.map.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_printed_and_names_are_checked() {
        let mut headers = Headers::default();
        headers.add("Authorization", "Bearer hunter2").unwrap();
        assert_eq!(format!("{headers:?}"), r#"{"authorization"}"#);
        assert_eq!(headers.add("a b", ""), Err(HeaderError::Name { name: "a b".to_owned() }));
        let error = headers.add("x", "hunter2\n").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
