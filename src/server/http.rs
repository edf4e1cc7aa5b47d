//! Paths, methods and statuses.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceExt;

use super::admission::Admission;
use super::body;
use super::limits::Limits;
use super::probes::Probes;
use super::progress::Visit;
use super::rejection::{Rejection, line};
use crate::ADMISSION_PATH;

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
    pub fn answer(&self, request: Request, visit: Visit) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        match self {
            Service::Admission(admission) => {
                let admission = Arc::clone(admission);
                Box::pin(async move { admit(&admission, request, &visit).await })
            }
            Service::Probes(router) => {
                let answer = router.clone().oneshot(request);
                Box::pin(async move { answer.await.into_response() })
            }
        }
    }
}

async fn admit(admission: &Arc<Admission>, request: Request, visit: &Visit) -> Response {
    let (head, mut body) = request.into_parts();
    let answer = match check(&head) {
        Ok(()) => admission.answer(&mut body, visit).await,
        // Other paths and methods are no admissions, and are not counted.
        Err(rejection @ Rejection::ContentType(_)) => Err(admission.refused(rejection)),
        Err(rejection) => Err(rejection),
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
