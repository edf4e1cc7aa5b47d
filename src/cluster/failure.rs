//! Why something of the cluster could not be had.

use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    NotFound(String),
    #[error("forbidden: {message}")]
    Forbidden { needs: String, message: String },
    /// Another status than 2xx.
    #[error("{message} ({code})")]
    Refused { code: u16, message: String },
    /// The page that was asked for is of a state that is gone; the token, if there is one, leads on from there.
    #[error("{message} (410)")]
    Expired { message: String, next: Option<String> },
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Broken(String),
}

/// What was seen of something; `None`: it does not exist.
pub type Seen<T> = Result<Option<T>, Failure>;

/// The thing, where it was seen and exists.
pub fn found<T>(seen: &Seen<T>) -> Option<&T> {
    seen.as_ref().ok().and_then(Option::as_ref)
}

/// An error with its causes, those left out that say nothing new.
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
