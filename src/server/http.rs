//! Routes: paths, methods and statuses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::admission::Admission;
use super::body;
use super::limits::Limits;
use super::probes::Probes;
use super::progress::Visit;
use super::rejection::{Rejection, line};
use crate::ADMISSION_PATH;

/// Returns the router of the admission endpoint. Requests carry their [`Visit`] as an extension.
pub fn router(admission: Arc<Admission>) -> Router {
    let limits = admission.limits().clone();
    Router::new()
        .route(ADMISSION_PATH, post(mutate).fallback(other_method))
        .fallback(move |request| other_path(request, limits))
        .with_state(admission)
}

/// Returns the router of `/metrics`, `/livez` and `/readyz`, for the kubelet and Prometheus.
pub fn probes_router(probes: Arc<Probes>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async {
            line(StatusCode::NOT_FOUND, "path not found; this port serves /livez, /readyz and /metrics")
        })
        .with_state(probes)
}

async fn mutate(
    State(admission): State<Arc<Admission>>,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    let (head, mut body) = request.into_parts();
    let answer = match content_type(&head.headers) {
        Ok(()) => admission.answer(&mut body, &visit).await,
        Err(rejection) => Err(admission.refused(rejection)),
    };
    match answer {
        Ok(review) => {
            let mut response = Response::new(Body::from(review));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(rejection) => refuse(rejection, &head, &mut body, admission.limits()).await,
    }
}

async fn other_method(State(admission): State<Arc<Admission>>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let rejection = Rejection::Method { method: head.method.clone() };
    let mut response = refuse(rejection, &head, &mut body, admission.limits()).await;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn other_path(request: Request, limits: Limits) -> Response {
    let (head, mut body) = request.into_parts();
    refuse(Rejection::NotFound, &head, &mut body, &limits).await
}

async fn refuse(rejection: Rejection, head: &Parts, body: &mut Body, limits: &Limits) -> Response {
    // With `Expect: 100-continue`, the client has not sent the body, and does not send it after this answer.
    let asks_first = head.headers.contains_key(EXPECT);
    // HTTP/2 resets the stream and keeps the connection.
    let stops_by_itself = head.version == Version::HTTP_2;
    let has_a_rest = !matches!(rejection, Rejection::TooSlow { .. } | Rejection::Interrupted(_));
    if has_a_rest && !asks_first && !stops_by_itself {
        body::discard(body, limits).await;
    }
    rejection.into_response()
}

fn content_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Rejection::ContentType(None));
    };
    let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    if essence.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        Ok(())
    } else {
        Err(Rejection::ContentType(Some(String::from_utf8_lossy(value.as_bytes()).into_owned())))
    }
}

async fn readyz(State(probes): State<Arc<Probes>>) -> Response {
    match probes.ready() {
        Ok(()) => line(StatusCode::OK, "ready"),
        Err(why) => line(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
    }
}

async fn metrics(State(probes): State<Arc<Probes>>) -> Response {
    match probes.metrics() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
