//! Exemplars of a query.

use axum::extract::Request;
use axum::response::Response;

use super::answer::listed;
use super::fault::Fault;
use super::parameters::Parameters;
use super::query::formatted;

pub(super) async fn query(request: Request) -> Result<Response, Fault> {
    let parameters = Parameters::of(request).await?;
    formatted(&parameters).await?;
    listed(Vec::<()>::new(), usize::MAX, false, &Default::default())
}
