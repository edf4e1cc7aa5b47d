//! Names that are not what they look like: `docker-library`, `unescaped-dot` and `frozen`.

use regex_syntax::ast::{Ast, parse::Parser};

use super::literal::starts;
use super::{Findings, Lint, Place};
use crate::config::KUBERNETES_REGISTRY;
use crate::engine::{DOCKER_HUB, ImageRef, Prefix};
use crate::registries::is_official;

pub fn check(rules: &[Place], findings: &mut Findings) {
    for &place in rules {
        docker_library(place, findings);
        unescaped_dot(place, findings);
        frozen(place, rules, findings);
    }
}

/// The name of the official image that a prefix looks like.
fn official(name: &str) -> Option<&str> {
    let image = name.strip_prefix(DOCKER_HUB)?.strip_prefix('/')?;
    is_official(image).then_some(image)
}

/// An official image without `library`. Organisations of such a name exist; who means both names both.
fn docker_library(place: Place, findings: &mut Findings) {
    let beside = |image: &str, list: &[&Prefix]| {
        let library = format!("{DOCKER_HUB}/library/{image}");
        list.iter().any(|prefix| prefix.strip(&library).is_some())
    };
    let from: Vec<_> = place.from().collect();
    let except: Vec<_> = place.except().collect();
    for list in [from, except] {
        let prefixes: Vec<&Prefix> = list.iter().map(|(prefix, _)| *prefix).collect();
        for (prefix, span) in list {
            let Some(image) = official(prefix.canonical()).filter(|image| !beside(image, &prefixes)) else { continue };
            findings.add(
                Lint::DockerLibrary,
                place,
                span,
                format!("`{}` is not the image `{DOCKER_HUB}/library/{image}`", prefix.written()),
                format!(
                    "it stands for the images below `{DOCKER_HUB}/{image}/`; write `{DOCKER_HUB}/library/{image}` for that image"
                ),
            );
        }
    }
    if let Some((pattern, span)) = place.pattern() {
        let starts = starts(pattern);
        let Some(image) = starts.iter().filter(|start| start.is_whole).find_map(|start| {
            // No canonical name on Docker Hub has one component only.
            start.text.strip_prefix(DOCKER_HUB)?.strip_prefix('/').filter(|path| !path.contains('/'))
        }) else {
            return;
        };
        findings.add(
            Lint::DockerLibrary,
            place,
            span,
            format!("no image is called `{DOCKER_HUB}/{image}`"),
            format!("patterns see `{DOCKER_HUB}/library/{image}`, however the image is written"),
        );
    }
}

/// A `.` between two characters of a host.
fn unescaped_dot(place: Place, findings: &mut Findings) {
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
        format!("`.` in the host stands for any character: it matches `{}` too", sample.replace('\\', "")),
        format!("write `'{escaped}'`, in single quotes"),
    );
}

fn frozen(place: Place, rules: &[Place], findings: &mut Findings) {
    const NEW: &str = KUBERNETES_REGISTRY[0];
    let new = format!("{NEW}/pause");
    let Ok(image) = ImageRef::parse(&new) else { return };
    if rules.iter().any(|other| other.rule.takes(&image) || other.rule.matcher.is_above(&new)) {
        return;
    }
    let old = place.from().find(|(source, _)| KUBERNETES_REGISTRY.contains(&source.canonical()));
    if let Some((source, span)) = old {
        findings.add(
            Lint::Frozen,
            place,
            span,
            format!("no rule takes `{NEW}`, where the images of `{}` have moved", source.written()),
            format!("add `{NEW}` beside it: the old name has got no new image since April 2023"),
        );
    }
}
