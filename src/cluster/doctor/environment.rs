//! The environment of a container, as far as a Deployment defines it.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource};

/// A setting of `serve`, or why it is unknown.
pub type Setting<T> = Result<T, String>;

/// The values of variables, or the objects that the kubelet takes the values from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: HashMap<String, Setting<String>>,
    /// Prefixes of names, and the object that defines all variables with each.
    objects: Vec<(String, String)>,
}

impl Environment {
    pub fn of(container: &Container) -> Self {
        let objects = container.env_from.iter().flatten();
        let objects = objects.map(|source| (source.prefix.clone().unwrap_or_default(), object(source))).collect();
        let mut environment = Self { variables: HashMap::new(), objects };
        // If two variables have the same name, the last one counts.
        for variable in container.env.iter().flatten() {
            let value = match &variable.value_from {
                Some(source) => Err(elsewhere(&variable.name, &place(source))),
                None => environment.expand(variable.value.as_deref().unwrap_or_default()),
            };
            environment.variables.insert(variable.name.clone(), value);
        }
        environment
    }

    /// Returns the value of a variable, `None` if it is not set.
    pub fn get(&self, name: &str) -> Setting<Option<String>> {
        if let Some(value) = self.variables.get(name) {
            return value.clone().map(Some);
        }
        match self.objects.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            Some((_, object)) => Err(format!("{name} may come from {object}, which doctor does not read")),
            None => Ok(None),
        }
    }

    /// Replaces `$(NAME)` as the kubelet does (`third_party/forked/golang/expansion`). If no variable has that name, the text
    /// stays unchanged; `$$` is a dollar sign.
    pub fn expand(&self, text: &str) -> Setting<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded += before;
            let name = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            if let Some((name, after)) = name {
                match self.get(name)? {
                    Some(value) => expanded += &value,
                    None => expanded += &format!("$({name})"),
                }
                rest = after;
            } else {
                expanded.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            }
        }
        Ok(expanded + rest)
    }
}

fn elsewhere(name: &str, place: &str) -> String {
    format!("{name} comes from {place}, which doctor does not read")
}

fn object(source: &EnvFromSource) -> String {
    match (&source.config_map_ref, &source.secret_ref) {
        (Some(reference), _) => format!("ConfigMap {}", reference.name),
        (None, Some(reference)) => format!("Secret {}", reference.name),
        (None, None) => "its envFrom".to_owned(),
    }
}

fn place(source: &EnvVarSource) -> String {
    let EnvVarSource { config_map_key_ref, secret_key_ref, field_ref, resource_field_ref } = source;
    if let Some(reference) = config_map_key_ref {
        format!("key {} of ConfigMap {}", reference.key, reference.name)
    } else if let Some(reference) = secret_key_ref {
        format!("key {} of Secret {}", reference.key, reference.name)
    } else if let Some(reference) = field_ref {
        format!("the Pod's field {}", reference.field_path)
    } else if let Some(reference) = resource_field_ref {
        format!("the container's {}", reference.resource)
    } else {
        "its valueFrom".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_expanded_as_the_kubelet_does() {
        let container = json!({"name": "c", "env": [
            {"name": "A", "value": "first"},
            {"name": "A", "value": "1"},
            {"name": "B", "value": "<$(A)>"},
            {"name": "EARLY", "value": "$(LATE)"},
            {"name": "LATE", "value": "2"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "$(IP):1"},
            {"name": "EMPTY"},
        ]});
        let environment = Environment::of(&serde_json::from_value(container).unwrap());
        let ip = "IP comes from the Pod's field status.podIP, which doctor does not read";
        for (text, expected) in [
            ("", Ok("")),
            ("$(A)-$(B)", Ok("1-<1>")),
            ("$(EARLY)", Ok("$(LATE)")),
            ("$(NONE)$(EMPTY)", Ok("$(NONE)")),
            ("$$(A) $$ $ $A $(A", Ok("$(A) $ $ $A $(A")),
            ("x$(IP)", Err(ip)),
            ("$(URL)", Err(ip)),
        ] {
            assert_eq!(environment.expand(text), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn values_from_other_objects_are_not_known() {
        let container = json!({"name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
            "env": [
                {"name": "P_SET", "value": "v"},
                {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            ],
        });
        let environment = Environment::of(&serde_json::from_value(container).unwrap());
        assert_eq!(environment.get("P_SET"), Ok(Some("v".to_owned())));
        assert_eq!(environment.get("NONE"), Ok(None));
        for (name, place) in [
            ("P_OTHER", "may come from ConfigMap m"),
            ("S_OTHER", "may come from Secret s"),
            ("K", "comes from key k of ConfigMap m"),
            ("S", "comes from key k of Secret s"),
            ("R", "comes from the container's limits.memory"),
        ] {
            assert_eq!(environment.get(name), Err(format!("{name} {place}, which doctor does not read")));
        }
    }
}
