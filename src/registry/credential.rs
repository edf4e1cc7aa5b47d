//! What a client proves itself with.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::words::visible;

/// The limit on what a message shows of a text of others, in characters.
const MAX_SHOWN: usize = 300;

/// A user name and a password. Its `Debug` output has no password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    pub username: String,
    pub password: String,
}

impl Login {
    /// Returns `USER:PASSWORD` in base64, as Basic authentication sends it.
    pub(super) fn basic(&self) -> String {
        let Self { username, password } = self;
        BASE64_STANDARD.encode(format!("{username}:{password}"))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { username, password: _ } = self;
        formatter.debug_struct("Login").field("username", username).finish_non_exhaustive()
    }
}

/// A login, or a token that a token server takes in place of one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    Login(Login),
    IdentityToken(String),
}

impl Credential {
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::Login(login) => &login.password,
            Self::IdentityToken(token) => token,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(login) => login.fmt(formatter),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken(..)"),
        }
    }
}

/// Returns a text of others for a message: bounded, without control characters, and without the secrets that they were sent.
pub(super) fn shown<'s>(text: &str, secrets: impl IntoIterator<Item = &'s str>) -> String {
    let hidden = secrets
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "(secret)"));
    let text = visible(hidden.trim());
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_are_bounded_and_have_no_secret() {
        assert_eq!(shown(" bad hunter2\u{1b}[2J ", ["hunter2", ""]), "bad (secret)\u{fffd}[2J");
        assert_eq!(shown(&"é".repeat(1000), []).chars().count(), MAX_SHOWN + 1);
        let login = Login { username: "u".to_owned(), password: "hunter2".to_owned() };
        let token = Credential::IdentityToken("hunter2".to_owned());
        assert!(!format!("{login:?} {token:?} {:?}", Credential::Login(login.clone())).contains("hunter2"));
    }
}
