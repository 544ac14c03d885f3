//! Work away from the threads that carry requests.

use store::QueryError;

/// Work that may take long, as for a large answer, on a thread that may be held up: those that
/// carry requests carry those of every port. What it takes is dropped there, too.
///
/// # Errors
/// [`QueryError::Failed`] if it panicked.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, QueryError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| QueryError::Failed(error.to_string()))
}
