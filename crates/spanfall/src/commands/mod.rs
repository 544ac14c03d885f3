//! The verbs, a file each: its arguments, and `run`, which gives the exit code.

pub mod completions;
pub mod export;
pub mod import;
pub mod loadgen;
pub mod query;
pub mod search;
pub mod serve;
pub mod trace;
