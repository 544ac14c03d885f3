//! Why a single span is left out.

use super::{SPAN_ELEMENTS_MAX, VALUE_DEPTH_MAX};

/// What is wrong with a span, or with the resource or scope around it.
pub(super) enum Fault {
    Id { what: &'static str, length: usize, wanted: usize },
    ZeroId(&'static str),
    Utf8(&'static str),
    TooDeep(&'static str),
    TooLarge,
}

impl Fault {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Id { what, length, wanted } => format!(
                "a span's {what} has {length} bytes, not {wanted} (in JSON: {} hexadecimal digits)",
                2 * wanted
            ),
            Self::ZeroId(what) => format!("a span's {what} is missing or all zeros"),
            Self::Utf8(what) => format!("a span's {what} is not valid UTF-8"),
            Self::TooDeep(what) => {
                format!("a span's {what} is nested deeper than {VALUE_DEPTH_MAX} levels")
            }
            Self::TooLarge => {
                format!("a span has more than {SPAN_ELEMENTS_MAX} attributes, events and links")
            }
        }
    }
}
