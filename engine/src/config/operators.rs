//! Checks `operators`.

use std::collections::HashSet;

use serde_saphyr::Spanned;

use super::checker::{Checker, is_dns_label};
use super::schema::NamespacesEntry;
use super::schema::operators::{OnRecreateLoopEntry, OperatorsEntry, Skip, SkipEntry, SkipFields};
use crate::{Creator, Namespaces, OnRecreateLoop, Operator, Operators, SkippedOperator};

/// The share of equal characters from which a name is another one misspelled.
const LEAST_LIKENESS: f64 = 0.6;

impl Checker {
    pub(super) fn operators(&mut self, entry: OperatorsEntry) -> Operators {
        let OperatorsEntry { skip, on_recreate_loop } = entry;
        let on_recreate_loop = match on_recreate_loop {
            OnRecreateLoopEntry::Report => OnRecreateLoop::Report,
            OnRecreateLoopEntry::StandDown => OnRecreateLoop::StandDown,
        };
        Operators { skip: skip.map_or_else(Vec::new, |skip| self.skip(skip)), on_recreate_loop }
    }

    fn skip(&mut self, skip: Spanned<Skip>) -> Vec<SkippedOperator> {
        let entries = match &skip.value {
            Skip::Word(word) if word == "known" => {
                return Operator::ALL.iter().filter_map(|operator| with_defaults(operator, Namespaces::All)).collect();
            }
            Skip::Word(word) => {
                let fix = match Operator::named(word) {
                    Some(operator) => format!("write `[{}]`", operator.name),
                    None => "write `known`, or a list of names of operators".to_owned(),
                };
                self.problem(&skip, format!("unknown value `{word}`"), fix);
                return Vec::new();
            }
            Skip::Other => {
                self.problem(&skip, "expected a list of operators", "write `known`, or a list of names of operators");
                return Vec::new();
            }
            Skip::List(entries) => entries,
        };
        let mut names = HashSet::new();
        let mut skipped = Vec::new();
        for entry in entries {
            let operator = match &entry.value {
                SkipEntry::Name(name) => self.operator(entry, name),
                SkipEntry::Fields(fields) => self.operator(&fields.name, &fields.name.value),
                SkipEntry::Other => {
                    self.problem(entry, "expected the name of an operator", "write `- NAME`, or `- {name: NAME}`");
                    None
                }
            };
            let Some(operator) = operator else { continue };
            if !names.insert(operator.name) {
                self.problem(entry, format!("duplicate operator `{}`", operator.name), "join the entries");
            }
            skipped.extend(match &entry.value {
                SkipEntry::Name(_) | SkipEntry::Other => self.skipped(entry, operator, None, None),
                SkipEntry::Fields(fields) => {
                    let SkipFields { name, operator_namespaces, namespaces } = &**fields;
                    self.skipped(name, operator, operator_namespaces.as_ref(), namespaces.as_ref())
                }
            });
        }
        skipped
    }

    fn operator<T>(&mut self, at: &Spanned<T>, name: &str) -> Option<&'static Operator> {
        let found = Operator::named(name);
        if found.is_none() {
            let names: Vec<String> = Operator::ALL.iter().map(|operator| format!("`{}`", operator.name)).collect();
            let all = names.join(", ");
            let written = name.to_lowercase();
            let likeness = |operator: &&Operator| strsim::normalized_damerau_levenshtein(operator.name, &written);
            let nearest = Operator::ALL.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
            let nearest = nearest.filter(|nearest| likeness(nearest) >= LEAST_LIKENESS);
            let fix = match nearest {
                _ if name == "known" => "write `skip: known` instead of a list".to_owned(),
                Some(nearest) => format!("did you mean `{}`? Known here: {all}", nearest.name),
                None => format!("known here: {all}; for others, set `onRecreateLoop`"),
            };
            self.problem(at, format!("unknown operator `{name}`"), fix);
        }
        found
    }

    fn skipped<T>(
        &mut self,
        at: &Spanned<T>,
        operator: &'static Operator,
        service_accounts_in: Option<&Spanned<Vec<Spanned<String>>>>,
        namespaces: Option<&Spanned<NamespacesEntry>>,
    ) -> Option<SkippedOperator> {
        let name = operator.name;
        let is_included = namespaces.is_some_and(|namespaces| namespaces.value.include.is_some());
        let namespaces = namespaces.map_or(Namespaces::All, |namespaces| self.namespaces(namespaces));
        match (operator.creator, service_accounts_in) {
            (Creator::StatefulSetController, Some(list)) => {
                let fix = "remove it: the StatefulSet controller creates the Pods, and not the operator";
                self.problem(list, format!("`operatorNamespaces` has no effect for `{name}`"), fix);
                None
            }
            (Creator::StatefulSetController, None) if !is_included => {
                let message = format!("`{name}` needs the namespaces of its Pods");
                let fix = format!(
                    "write `{{name: {name}, namespaces: {{include: [NAMESPACE]}}}}`: its Pods belong to StatefulSets, and every \
                     user who may create one could have its Pods skipped"
                );
                self.problem(at, message, fix);
                None
            }
            (Creator::StatefulSetController, None) => {
                Some(SkippedOperator { operator, service_accounts_in: Vec::new(), namespaces })
            }
            (Creator::Operator { .. }, Some(list)) => {
                if list.value.is_empty() {
                    self.problem(
                        list,
                        "`operatorNamespaces` is empty",
                        "name a namespace, or remove it for the default",
                    );
                }
                for namespace in list.value.iter().filter(|namespace| !is_dns_label(&namespace.value)) {
                    let fix = "write the name of a namespace, without `*`";
                    self.problem(namespace, format!("invalid namespace `{}`", namespace.value), fix);
                }
                let service_accounts_in = list.value.iter().map(|namespace| namespace.value.clone()).collect();
                Some(SkippedOperator { operator, service_accounts_in, namespaces })
            }
            (Creator::Operator { .. }, None) => {
                let skipped = with_defaults(operator, namespaces);
                if skipped.is_none() {
                    let message = format!("`{name}` has no default for `operatorNamespaces`");
                    let fix = format!(
                        "write `{{name: {name}, operatorNamespaces: [NAMESPACE]}}` with the namespace in which the operator runs"
                    );
                    self.problem(at, message, fix);
                }
                skipped
            }
        }
    }
}

/// Returns an operator with the namespaces of its project's manifests, if it creates its Pods itself and they have one.
fn with_defaults(operator: &'static Operator, namespaces: Namespaces) -> Option<SkippedOperator> {
    match operator.creator {
        Creator::Operator { namespaces: defaults } if !defaults.is_empty() => {
            let service_accounts_in = defaults.iter().map(|&namespace| namespace.to_owned()).collect();
            Some(SkippedOperator { operator, service_accounts_in, namespaces })
        }
        Creator::Operator { .. } | Creator::StatefulSetController => None,
    }
}
