//! Parts of requests, refused in the shape of the API that was asked when they are wrong.

use std::marker::PhantomData;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::IntoResponse;
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;

/// Why a part of a request could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) status: StatusCode,
    pub(crate) problem: String,
}

/// The part of the path that a route leaves open, without its escapes.
pub(crate) struct Segment<E>(pub(crate) String, pub(crate) PhantomData<E>);

impl<S, E> FromRequestParts<S> for Segment<E>
where
    S: Send + Sync,
    E: From<Unreadable> + IntoResponse,
{
    type Rejection = E;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, E> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text, PhantomData)),
            Err(_) => {
                let problem = "the path is not UTF-8".to_owned();
                Err(Unreadable { status: StatusCode::BAD_REQUEST, problem }.into())
            }
        }
    }
}

/// The whole body.
pub(crate) struct Whole<E>(pub(crate) Bytes, pub(crate) PhantomData<E>);

impl<S, E> FromRequest<S> for Whole<E>
where
    S: Send + Sync,
    E: From<Unreadable> + IntoResponse,
{
    type Rejection = E;

    async fn from_request(request: Request, state: &S) -> Result<Self, E> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes, PhantomData)),
            Err(error) => Err(Unreadable::from(error).into()),
        }
    }
}

impl From<BytesRejection> for Unreadable {
    fn from(error: BytesRejection) -> Self {
        let problem = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "the body is too large".to_owned(),
            _ => error.body_text(),
        };
        Self { status: error.status(), problem }
    }
}
