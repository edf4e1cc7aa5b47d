//! The challenges of `WWW-Authenticate` (RFC 9110, section 11.6.1).

/// A challenge of a scheme that is supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// Returns the supported challenge among those of the headers: Bearer before Basic, as containerd prefers.
    pub(super) fn preferred<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Self> {
        let mut basic = None;
        for header in headers {
            for (scheme, parameters) in challenges(header) {
                let parameter = |name: &str| {
                    let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
                };
                if scheme.eq_ignore_ascii_case("bearer") {
                    let realm = parameter("realm").unwrap_or_default();
                    return Some(Self::Bearer { realm, service: parameter("service"), scope: parameter("scope") });
                }
                if scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

type Parameters = Vec<(String, String)>;

/// Splits a header. What does not parse ends it.
fn challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (token, after) = split_token(rest);
        if token.is_empty() {
            return found;
        }
        let after = after.trim_start_matches([' ', '\t']);
        match (after.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = split_value(value.trim_start_matches([' ', '\t']));
                parameters.push((token.to_owned(), value));
                rest = after;
            }
            (Some(_), None) => return found,
            (None, _) => {
                found.push((token.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

fn split_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        for (headers, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                ][..],
                Some(bearer("https://auth.example/token", Some("registry.example"), Some("repository:a/b:pull,push"))),
            ),
            (&[r#"bearer  Realm = "r" , scope="s""#], Some(bearer("r", None, Some("s")))),
            (&["Bearer realm=https://r/t,service=s"], Some(bearer("https://r/t", Some("s"), None))),
            (&[r#"Basic realm="a, b=c", Bearer realm="r""#], Some(bearer("r", None, None))),
            (&[r#"Basic realm="x""#, r#"Bearer realm="r""#], Some(bearer("r", None, None))),
            (&[r#"Basic realm="a\"b\\""#], Some(Challenge::Basic)),
            (&["Basic"], Some(Challenge::Basic)),
            (&["BASIC realm="], Some(Challenge::Basic)),
            (&["Negotiate"], None),
            (&["Negotiate abc=, Basic realm=x"], Some(Challenge::Basic)),
            (&["Bearer"], Some(bearer("", None, None))),
            (&[r#"Bearer realm="never ends"#], Some(bearer("never ends", None, None))),
            (&["=\"x\""], None),
            (&["é"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(Challenge::preferred(headers.iter().copied()), expected, "{headers:?}");
        }
    }
}
