//! Misleading names: `docker-library`, `unescaped-dot` and `frozen`.

use regex_syntax::ast::{Ast, parse::Parser};

use super::{Findings, Lint, PlacedRule};
use crate::config::KUBERNETES_REGISTRY;
use crate::engine::{DOCKER_HUB, ImageRef};
use crate::registries::is_official;

pub fn check(rules: &[PlacedRule], findings: &mut Findings) {
    let new = format!("{NEW}/pause");
    let is_taken = |image: ImageRef| {
        rules.iter().any(|place| place.rule.takes(&image) || place.rule.matcher.is_above(image.canonical()))
    };
    let new_is_taken = ImageRef::parse(&new).is_ok_and(is_taken);
    for &place in rules {
        docker_library(place, findings);
        unescaped_dot(place, findings);
        if !new_is_taken {
            frozen(place, findings);
        }
    }
}

/// Returns the official image that a prefix looks like.
fn official(name: &str) -> Option<&str> {
    let image = name.strip_prefix(DOCKER_HUB)?.strip_prefix('/')?;
    is_official(image).then_some(image)
}

/// Adds an official image without `library`. Organisations with such names exist, so a list with both is not reported.
fn docker_library(place: PlacedRule, findings: &mut Findings) {
    let lists = [(place.sources(), &place.places.sources), (Some(&place.rule.except), &place.places.except)];
    for (prefixes, spans) in lists.into_iter().filter_map(|(prefixes, spans)| Some((prefixes?, spans))) {
        let beside = |image: &str| prefixes.first_above(&format!("{DOCKER_HUB}/library/{image}")).is_some();
        for (prefix, span) in prefixes.iter().zip(spans) {
            let Some(image) = official(prefix.canonical()).filter(|image| !beside(image)) else { continue };
            findings.add(
                Lint::DockerLibrary,
                place,
                span,
                format!("`{}` is not the image `{DOCKER_HUB}/library/{image}`", prefix.written()),
                format!(
                    "it matches the images below `{DOCKER_HUB}/{image}/`; write `{DOCKER_HUB}/library/{image}` for that image"
                ),
            );
        }
    }
    if let Some((pattern, span)) = place.pattern() {
        let Some(image) = pattern.starts().iter().filter(|start| start.is_whole).find_map(|start| {
            // Canonical names on Docker Hub have at least two components.
            start.text.strip_prefix(DOCKER_HUB)?.strip_prefix('/').filter(|path| !path.contains('/'))
        }) else {
            return;
        };
        findings.add(
            Lint::DockerLibrary,
            place,
            span,
            format!("no image has the name `{DOCKER_HUB}/{image}`"),
            format!("write `{DOCKER_HUB}/library/{image}`: patterns match canonical names"),
        );
    }
}

/// Adds an unescaped `.` between two characters of a host.
fn unescaped_dot(place: PlacedRule, findings: &mut Findings) {
    let Some((pattern, span)) = place.pattern() else { return };
    let Ok(Ast::Concat(ref concat)) = Parser::new().parse(pattern.written()) else { return };
    let is = |ast: Option<&Ast>, f: fn(char) -> bool| matches!(ast, Some(Ast::Literal(literal)) if f(literal.c));
    let end = concat.asts.iter().position(|ast| is(Some(ast), |c| c == '/')).unwrap_or(concat.asts.len());
    let host = &concat.asts[..end];
    let dots: Vec<usize> = (1..host.len())
        .filter(|&at| {
            matches!(host[at], Ast::Dot(_))
                && is(host.get(at - 1), |c| c.is_ascii_alphanumeric())
                && is(host.get(at + 1), |c| c.is_ascii_alphanumeric())
        })
        .map(|at| host[at].span().start.offset)
        .collect();
    let Some(&first) = dots.first() else { return };
    let mut escaped = String::new();
    for (at, c) in pattern.written().char_indices() {
        escaped.extend(dots.contains(&at).then_some('\\'));
        escaped.push(c);
    }
    let sample: String = pattern
        .written()
        .char_indices()
        .take_while(|(_, c)| *c != '/')
        .map(|(at, c)| if at == first { 'x' } else { c })
        .collect();
    findings.add(
        Lint::UnescapedDot,
        place,
        span,
        format!("`.` in the host matches any character, as in `{}`", sample.replace('\\', "")),
        format!("write `'{escaped}'`, in single quotes"),
    );
}

/// The current registry of the Kubernetes project.
const NEW: &str = KUBERNETES_REGISTRY[0];

fn frozen(place: PlacedRule, findings: &mut Findings) {
    let old = place.from().find(|(source, _)| KUBERNETES_REGISTRY.contains(&source.canonical()));
    if let Some((source, span)) = old {
        findings.add(
            Lint::Frozen,
            place,
            span,
            format!("no rule matches `{NEW}`, the successor of `{}`", source.written()),
            format!("add `{NEW}` beside it; the old name has no image from after April 2023"),
        );
    }
}
