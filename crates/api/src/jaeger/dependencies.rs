//! Which service calls which.

use store::{EdgeRequest, Store};

use super::problem::Problem;
use super::shown_service;

/// Calls from one service to another.
pub(super) struct Dependency {
    pub(super) parent: String,
    pub(super) child: String,
    pub(super) call_count: u64,
}

/// Calls by caller and called.
pub(super) struct Dependencies {
    pub(super) links: Vec<Dependency>,
    /// Some could not be counted.
    pub(super) partial: bool,
}

/// The calls of spans that start in a range.
pub(super) async fn dependencies(
    store: &dyn Store,
    start_unix_nano: u64,
    end_unix_nano: u64,
) -> Result<Dependencies, Problem> {
    let set = store.edges(EdgeRequest { start_unix_nano, end_unix_nano }).await?;
    let dependency = |edge: store::EdgeRow| Dependency {
        parent: shown_service(edge.parent),
        child: shown_service(edge.child),
        call_count: edge.call_count,
    };
    let links = set.edges.into_iter().map(dependency).collect();
    Ok(Dependencies { links, partial: set.partial })
}
