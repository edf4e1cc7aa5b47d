//! Why a request to the API server failed.

use std::time::Duration;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    NotFound(String),
    #[error("forbidden: {message}")]
    Forbidden { needs: String, message: String },
    /// The API server returned another status than 2xx.
    #[error("{message} ({code})")]
    Rejected { code: u16, message: String },
    /// The state that the page belongs to has expired. With the token `next`, if there is one, the list can be continued.
    #[error("{message} (410)")]
    Expired { message: String, next: Option<String> },
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("the response has more than {0} bytes")]
    TooLarge(usize),
    /// No connection to the API server or to the proxy.
    #[error("{0}")]
    NotConnected(String),
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// Returns how to fix it, if the cause is one of the connection or of the credentials.
    pub fn fix(&self) -> Option<&'static str> {
        match self {
            Self::Rejected { code: 401, .. } => {
                Some("renew the credentials in the kubeconfig, or name another --context")
            }
            Self::TooSlow(_) => Some("check that the API server runs, name another --context, or raise --timeout"),
            Self::NotConnected(_) => Some("check that the API server runs, or name another --context"),
            Self::NotFound(_)
            | Self::Forbidden { .. }
            | Self::Rejected { .. }
            | Self::Expired { .. }
            | Self::TooLarge(_)
            | Self::Broken(_) => None,
        }
    }

    /// Returns whether every further request would fail alike.
    pub fn is_of_all_requests(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::Broken(_) | Self::TooSlow(_) | Self::Rejected { code: 401, .. } => true,
            Self::NotFound(_)
            | Self::Forbidden { .. }
            | Self::Rejected { .. }
            | Self::Expired { .. }
            | Self::TooLarge(_) => false,
        }
    }
}

/// An object; `None` if it does not exist.
pub type Seen<T> = Result<Option<T>, Failure>;

/// Returns the object, if it was read and exists.
pub fn found<T>(seen: &Seen<T>) -> Option<&T> {
    seen.as_ref().ok().and_then(Option::as_ref)
}

/// Returns the text of an error and of its causes, without repetitions.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
