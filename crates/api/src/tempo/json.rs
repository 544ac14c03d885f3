//! Protobuf's JSON mapping where it is not as serde has it. The build script names these functions
//! beside the fields of the messages.

use serde::{Serialize, Serializer};

use super::proto::PartialStatus;

/// A whole number of 64 bits, which JSON's numbers do not hold.
pub(crate) fn text<T: ToString, S: Serializer>(value: &T, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&value.to_string())
}

/// A number, or the name of what JSON has no number for.
pub(crate) fn double<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
    match *value {
        value if value.is_finite() => value.serialize(out),
        value if value.is_nan() => out.serialize_str("NaN"),
        value if value > 0.0 => out.serialize_str("Infinity"),
        _ => out.serialize_str("-Infinity"),
    }
}

/// The name of a number.
pub(crate) fn status<S: Serializer>(value: &i32, out: S) -> Result<S::Ok, S::Error> {
    let status = PartialStatus::try_from(*value).unwrap_or_default();
    out.serialize_str(status.as_str_name())
}

/// Whether a field says nothing.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
