//! How many connections there may be: what the system lets the process open, divided.

use config::Document;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections to the health check and to the metrics together.
const OWN_CONNECTIONS_MAX: usize = 64;

/// Connections to each of the busy ports, at most and at least.
const CONNECTIONS_MAX: usize = 4096;
const CONNECTIONS_MIN: usize = 8;

/// Files that may be open when the system names no limit.
const UNLIMITED: u64 = 1 << 20;

/// Takes as many open files as the system gives, and tells how many these are.
pub(super) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current.unwrap_or(UNLIMITED),
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            limit.current.unwrap_or(UNLIMITED)
        }
    }
}

/// The most connections to one port of a configuration: all ports together take half of the files
/// that may be open, so that log, blocks, health check and metrics always find theirs.
pub(super) fn connections_max(open_files: u64, document: &Document) -> usize {
    share(open_files, busy_ports(document))
}

/// How many ports there are, about, to which many may connect.
fn busy_ports(document: &Document) -> usize {
    // OTLP has two, Jaeger two and datagrams, the query APIs four.
    2 * document.receivers.len() + 4 * document.extensions.len().min(1)
}

fn share(open_files: u64, busy_ports: usize) -> usize {
    let files = usize::try_from(open_files).unwrap_or(usize::MAX);
    let rest = files.saturating_sub(OWN_CONNECTIONS_MAX);
    (rest / 2 / busy_ports.max(1)).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_rest() {
        for (open_files, connections) in
            [(0, 8), (128, 8), (1024, 80), (20_000, 1661), (1 << 20, 4096), (u64::MAX, 4096)]
        {
            assert_eq!(share(open_files, 6), connections, "{open_files}");
        }
    }
}
