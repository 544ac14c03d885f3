//! Exemplars of a query.

use axum::extract::Request;
use axum::response::Response;

use super::answer::listed;
use super::fault::Fault;
use super::parameters::Parameters;

pub(super) async fn query(request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    let query = parameters.required("query")?;
    query::promql::formatted(query).map_err(|error| Fault::of("query", &error))?;
    Ok(listed(Vec::<()>::new(), usize::MAX, false))
}
