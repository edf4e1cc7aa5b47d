//! Requests that are rejected with an HTTP error instead of an AdmissionReview.

use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::ledger::Full;
use crate::ADMISSION_PATH;

/// Why a request is rejected. The text is the whole body of the answer, one line.
///
/// `Retry-After` is never sent: it makes the API server sleep and retry (docs/background/how-rewriting-works.md).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// 404
    #[error("path not found; send AdmissionReviews to POST {ADMISSION_PATH}")]
    NotFound,
    /// 405
    #[error("method {method} is not supported; send POST to {ADMISSION_PATH}")]
    Method { method: Method },
    /// 408
    #[error("timeout: the body did not arrive within {limit_secs} s")]
    TooSlow { limit_secs: f32 },
    /// 413
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    /// 415
    #[error("{}; send application/json", content_type(.0.as_deref()))]
    ContentType(Option<String>),
    /// 400: the client disconnected.
    #[error("the body ended early: {0}")]
    Interrupted(String),
    /// 400, with the engine's text.
    #[error("{0}")]
    Unreadable(String),
    /// 503
    #[error("the memory for requests is full, and this client holds the largest share")]
    OutOfMemory,
    /// 500
    #[error("answering this request crashed (bug); the log of pullthrough gives the place")]
    Panicked,
}

impl Rejection {
    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Rejection::NotFound => StatusCode::NOT_FOUND,
            Rejection::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Rejection::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Rejection::Interrupted(_) | Rejection::Unreadable(_) => StatusCode::BAD_REQUEST,
            Rejection::OutOfMemory => StatusCode::SERVICE_UNAVAILABLE,
            Rejection::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Full> for Rejection {
    fn from(Full: Full) -> Rejection {
        Rejection::OutOfMemory
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = line(self.status(), &self.to_string());
        if let Rejection::Method { .. } = self {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

fn content_type(sent: Option<&str>) -> String {
    match sent {
        Some(sent) => format!("content type {sent:?} is not supported"),
        None => "the content type is missing".to_owned(),
    }
}

/// Returns an answer with `text` as one line, control characters replaced.
pub fn line(status: StatusCode, text: &str) -> Response {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.push('\n');
    (status, line).into_response()
}
