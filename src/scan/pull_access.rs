//! The credentials that Pods with an image have in their cluster, by name.

/// What names the pull Secrets of Pods. Pods with equal values have the same Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PullAccess {
    pub namespace: String,
    /// The Secrets that the Pod or its template names.
    pub secrets: Vec<String>,
    /// The service account whose Secrets the API server adds to a new Pod that names none. `None` for a Pod, which has them.
    pub service_account: Option<String>,
    /// The Secrets of the rules that rewrite images of the Pod, which the webhook adds where absent.
    pub of_rules: Vec<String>,
    /// Whether the service account is assumed: the object does not show the Pods that are created for it.
    pub is_assumed: bool,
}

impl PullAccess {
    /// Returns the names of the Secrets, each once, in the order of the Pod. `of_account` are those of the service account.
    pub fn names<'a>(&'a self, of_account: &'a [String]) -> Vec<&'a str> {
        let own = if self.secrets.is_empty() { of_account } else { &self.secrets };
        let mut names: Vec<&str> = Vec::new();
        // The kubelet ignores empty names.
        for name in own.iter().chain(&self.of_rules).filter(|name| !name.is_empty()) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_service_account_are_for_pods_without_any() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (own, of_account, of_rules, expected) in [
            ("", "", "", ""),
            ("a b", "c", "", "a b"),
            ("", "c d", "", "c d"),
            ("", "c", "r c", "c r"),
            ("a", "c", "r a s", "a r s"),
        ] {
            let access = PullAccess {
                namespace: "shop".to_owned(),
                secrets: list(own),
                service_account: None,
                of_rules: list(of_rules),
                is_assumed: false,
            };
            assert_eq!(access.names(&list(of_account)).join(" "), expected, "{own}, {of_account}, {of_rules}");
        }
    }
}
