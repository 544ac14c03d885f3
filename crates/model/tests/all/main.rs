//! `model` against prost, against the serde JSON of `opentelemetry-proto`, and against itself.

mod arbitrary;
mod edit;
mod json_errors;
mod json_leniency;
mod json_output;
mod json_round_trip;
mod protobuf;
mod rejection;
mod tree;
