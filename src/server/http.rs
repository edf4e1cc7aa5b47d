//! Paths, methods and statuses.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use axum::response::IntoResponse;
use axum::routing::get;
use http_body_util::{Either, Full};
use tower::ServiceExt;

use super::admission::Admission;
use super::body::{self, RequestBody};
use super::probes::Probes;
use super::progress::Visit;
use super::rejection::{Rejection, line};
use crate::ADMISSION_PATH;

/// The body of an answer: an AdmissionReview, or any other.
pub type AnswerBody = Either<Full<Bytes>, Body>;

/// Returns an answer that is no AdmissionReview.
pub fn other(answer: impl IntoResponse) -> Response<AnswerBody> {
    answer.into_response().map(Either::Right)
}

/// What an endpoint answers.
#[derive(Debug, Clone)]
pub enum Service {
    /// Admission requests. There is one path, so a router, which is cloned for each request, would only cost time.
    Admission(Arc<Admission>),
    /// `/metrics`, `/livez` and `/readyz`, for the kubelet and Prometheus.
    Probes(Router),
}

impl Service {
    pub fn probes(probes: Arc<Probes>) -> Service {
        let router = Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .fallback(|| async {
                line(StatusCode::NOT_FOUND, "path not found; this port serves /livez, /readyz and /metrics")
            });
        Service::Probes(router.with_state(probes))
    }

    /// Answers a request.
    pub fn answer(
        &self,
        request: Request<impl RequestBody>,
        visit: Visit,
    ) -> Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>> {
        match self {
            Service::Admission(admission) => Box::pin(admit(Arc::clone(admission), request, visit)),
            Service::Probes(router) => {
                let answer = router.clone().oneshot(request);
                Box::pin(async move { other(answer.await) })
            }
        }
    }
}

/// Answers an admission request. The future holds no part of the request but the body, so that it is small.
fn admit(
    admission: Arc<Admission>,
    request: Request<impl RequestBody>,
    visit: Visit,
) -> impl Future<Output = Response<AnswerBody>> {
    let (head, mut body) = request.into_parts();
    let checked = check(&head);
    let sends_rest = sends_rest(&head);
    async move {
        let answer = match checked {
            Ok(()) => admission.answer(&mut body, &visit).await,
            // Other paths and methods are no admissions, and are not counted.
            Err(rejection @ Rejection::ContentType(_)) => Err(admission.refused(rejection)),
            Err(rejection) => Err(rejection),
        };
        match answer {
            Ok(review) => {
                let mut response = Response::new(Either::Left(Full::new(review)));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Err(rejection) => {
                let has_ended = matches!(rejection, Rejection::TooSlow { .. } | Rejection::Interrupted(_));
                if sends_rest && !has_ended {
                    body::discard(&mut body, admission.limits()).await;
                }
                other(rejection)
            }
        }
    }
}

/// Returns whether a client sends a body to its end even if it is rejected. With `Expect: 100-continue`, it does not send the body
/// after this answer. HTTP/2 resets the stream and keeps the connection.
fn sends_rest(head: &Parts) -> bool {
    !head.headers.contains_key(EXPECT) && head.version != Version::HTTP_2
}

/// Checks path, method and content type.
fn check(head: &Parts) -> Result<(), Rejection> {
    if head.uri.path() != ADMISSION_PATH {
        return Err(Rejection::NotFound);
    }
    if head.method != Method::POST {
        return Err(Rejection::Method { method: head.method.clone() });
    }
    content_type(&head.headers)
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

async fn readyz(State(probes): State<Arc<Probes>>) -> Response<Body> {
    match probes.ready() {
        Ok(()) => line(StatusCode::OK, "ready"),
        Err(why) => line(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
    }
}

async fn metrics(State(probes): State<Arc<Probes>>) -> Response<Body> {
    match probes.metrics() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
