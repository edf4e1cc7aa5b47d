//! Paths, methods and statuses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::admission::Admission;
use super::body;
use super::ledger::Full;
use super::limits::Limits;
use super::probes::Probes;
use super::progress::Visit;
use crate::ADMISSION_PATH;

/// Why a request gets no AdmissionReview. The text is the whole body of the answer: one line.
///
/// `Retry-After` is never sent: it makes the API server sleep and retry (docs/rewriting.md).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// 404
    #[error("there is nothing at this path; AdmissionReviews go to POST {ADMISSION_PATH}")]
    NotFound,
    /// 405
    #[error("{ADMISSION_PATH} takes POST, not {method}")]
    Method { method: Method },
    /// 408
    #[error("the body did not arrive within {limit_secs} s")]
    TooSlow { limit_secs: f32 },
    /// 413
    #[error("the body has more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    /// 415
    #[error("the content type is {0}; an AdmissionReview is sent as application/json")]
    ContentType(String),
    /// 400: the client went away.
    #[error("the body ended early: {0}")]
    Interrupted(String),
    /// 400: the engine's text.
    #[error("{0}")]
    Unreadable(String),
    /// 503
    #[error("the memory for requests is full, and this client holds the largest share")]
    OutOfMemory,
    /// 500
    #[error("a defect in pullthrough: answering this request panicked; its log says where")]
    Panicked,
}

impl Refusal {
    /// The HTTP status that goes with it.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Interrupted(_) | Refusal::Unreadable(_) => StatusCode::BAD_REQUEST,
            Refusal::OutOfMemory => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Full> for Refusal {
    fn from(Full: Full) -> Refusal {
        Refusal::OutOfMemory
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        line(self.status(), &self.to_string())
    }
}

/// An answer of one line of text, whatever is in `text`.
pub fn line(status: StatusCode, text: &str) -> Response {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.push('\n');
    (status, line).into_response()
}

/// The admission endpoint. Requests bring their [`Visit`] as an extension.
pub fn router(admission: Arc<Admission>) -> Router {
    let limits = admission.limits().clone();
    Router::new()
        .route(ADMISSION_PATH, post(mutate).fallback(other_method))
        .fallback(move |request| other_path(request, limits))
        .with_state(admission)
}

/// `/metrics`, `/livez` and `/readyz`: in plain HTTP, for the kubelet and for Prometheus.
pub fn probes_router(probes: Arc<Probes>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { line(StatusCode::NOT_FOUND, "the paths here are /livez, /readyz and /metrics") })
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
        Err(refusal) => Err(admission.refused(refusal)),
    };
    match answer {
        Ok(review) => {
            let mut response = Response::new(Body::from(review));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(refusal) => refuse(refusal, &head, &mut body, admission.limits()).await,
    }
}

async fn other_method(State(admission): State<Arc<Admission>>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let refusal = Refusal::Method { method: head.method.clone() };
    let mut response = refuse(refusal, &head, &mut body, admission.limits()).await;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn other_path(request: Request, limits: Limits) -> Response {
    let (head, mut body) = request.into_parts();
    refuse(Refusal::NotFound, &head, &mut body, &limits).await
}

async fn refuse(refusal: Refusal, head: &Parts, body: &mut Body, limits: &Limits) -> Response {
    // Who asks whether to go on has sent nothing yet, and takes the answer as a no.
    let asks_first = head.headers.contains_key(EXPECT);
    // HTTP/2 stops a stream without harm to its connection, which could bring many.
    let stops_by_itself = head.version == Version::HTTP_2;
    let has_a_rest = !matches!(refusal, Refusal::TooSlow { .. } | Refusal::Interrupted(_));
    if has_a_rest && !asks_first && !stops_by_itself {
        body::discard(body, limits).await;
    }
    refusal.into_response()
}

fn content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Refusal::ContentType("missing".to_owned()));
    };
    let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    if essence.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        Ok(())
    } else {
        Err(Refusal::ContentType(format!("{:?}", String::from_utf8_lossy(value.as_bytes()))))
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
