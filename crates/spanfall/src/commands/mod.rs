//! The verbs, a file each: its arguments, and `run`, which gives the exit code.

pub mod completions;
pub mod components;
pub mod config;
pub mod export;
pub mod import;
pub mod loadgen;
pub mod print_config;
pub mod query;
pub mod search;
pub mod serve;
pub mod trace;
pub mod validate;
