//! The engine as its callers see it: every property in every layout that spans can lie in.

#[allow(dead_code, reason = "the model's generator, of which a part serves here")]
#[path = "../../../model/tests/all/arbitrary.rs"]
mod arbitrary;
mod bench;
mod canonical;
mod oracle;
mod sent;
mod traceql_oracle;
mod traceql_traces;

mod catalog;
mod choices;
mod concurrency;
mod crash;
mod damage;
mod edges;
mod explain;
mod full_disk;
mod late;
mod layouts;
mod log_damage;
mod odd_times;
mod opening;
mod retention;
mod round_trip;
mod seams;
mod search;
mod spm;
mod trace_metrics;
mod traceql_random;
mod traceql_suite;
mod wide;
