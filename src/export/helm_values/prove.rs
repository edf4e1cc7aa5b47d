//! Checks overrides with Helm's output: each alone, then those that work together.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde_json::Value;

use super::rendered::{Rendered, RenderedImage, is_of, name_of};
use super::{Override, Overrides, Stays, values};
use crate::engine::Policy;
use crate::export::{Export, Omission};

/// The effect of an override on Helm's output.
enum Effect {
    Nothing,
    /// The numbers of the places that have the rewritten image.
    Right(BTreeSet<usize>),
    /// The number of the wrong place, if there is one, and the reason.
    Wrong(Option<usize>, String),
}

/// Returns the overrides that, by the output of `render`, change the right images and nothing else. Reports the images of `plain`,
/// which is the output without overrides, that are not overridden.
///
/// # Errors
///
/// If the chart can't be rendered with all overrides, although with each alone.
pub fn prove<'p>(
    found: Overrides<'p>,
    plain: &Rendered,
    policy: &Policy,
    namespace: &str,
    render: impl Fn(&Value) -> anyhow::Result<Rendered> + Sync,
) -> anyhow::Result<Export<Vec<Override<'p>>>> {
    let Overrides { images, mut stays, mut omissions, found_image: _ } = found;
    let effect = |changed: anyhow::Result<Rendered>| match changed {
        Ok(changed) => compare(plain, &changed, policy, namespace),
        Err(error) => Effect::Wrong(None, format!("the chart can't be rendered with it: {error:#}")),
    };
    let tried: Vec<_> = images
        .into_par_iter()
        .map(|image| {
            let mut last = Effect::Nothing;
            for way in &image.ways {
                let one = Override { ways: vec![way.clone()], ..image.clone() };
                match effect(render(&values([&one]))) {
                    Effect::Right(places) => return (one, Effect::Right(places)),
                    other => last = other,
                }
            }
            (image, last)
        })
        .collect();
    let mut proven = Vec::new();
    for (image, effect) in tried {
        let why = match effect {
            Effect::Right(places) => {
                proven.push((image, places));
                continue;
            }
            Effect::Wrong(_, why) => why,
            Effect::Nothing => "it does not change Helm's output".to_owned(),
        };
        stays.push(Stays { path: image.path(), image: image.image, why });
    }
    let mut last = render(&values(proven.iter().map(|(image, _)| image)))?;
    while !proven.is_empty() {
        let Effect::Wrong(place, why) = compare(plain, &last, policy, namespace) else { break };
        let is_part = |places: &BTreeSet<usize>| place.is_some_and(|place| places.contains(&place));
        let (part, rest): (Vec<_>, Vec<_>) = proven.into_iter().partition(|(_, places)| is_part(places));
        let (part, rest) = if part.is_empty() { (rest, part) } else { (part, rest) };
        let why = format!("together with others, {why}");
        let stay = |(image, _): (Override, _)| Stays { path: image.path(), image: image.image, why: why.clone() };
        stays.extend(part.into_iter().map(stay));
        proven = rest;
        last = render(&values(proven.iter().map(|(image, _)| image)))?;
    }
    let after: Vec<&str> = last.places().map(RenderedImage::image).collect();
    let is_changed = |index: usize, image: &str| after.get(index).is_some_and(|after| *after != image);
    omissions.extend(that_stay(plain, is_changed, &stays, policy, namespace));
    let proven = proven.into_iter().map(|(image, _)| image).collect();
    Ok(Export { what: proven, notes: Vec::new(), omissions })
}

/// Returns the overrides of images that Helm renders as the values have them, if rendering with overrides is not possible.
pub fn believe<'p>(
    found: Overrides<'p>,
    plain: &Rendered,
    policy: &Policy,
    namespace: &str,
) -> Export<Vec<Override<'p>>> {
    let Overrides { images, mut stays, mut omissions, found_image: _ } = found;
    let (images, others): (Vec<_>, Vec<_>) = images.into_iter().partition(|image| image.is_whole);
    let why = "without running Helm, the value for its registry is unknown";
    stays.extend(others.into_iter().map(|other| Stays { path: other.path(), image: other.image, why: why.to_owned() }));
    let changed: BTreeSet<&str> = images.iter().map(|image| name_of(&image.image)).collect();
    omissions.extend(that_stay(plain, |_, image: &str| changed.contains(name_of(image)), &stays, policy, namespace));
    Export { what: images, notes: Vec::new(), omissions }
}

/// Returns the images that the rules rewrite but no override changes, with the reasons; and those of values that Helm does not
/// render.
fn that_stay(
    plain: &Rendered,
    is_changed: impl Fn(usize, &str) -> bool,
    stays: &[Stays],
    policy: &Policy,
    namespace: &str,
) -> Vec<Omission> {
    let is_registry_of = |image: &str, stays: &Stays| {
        let registry = stays.image.trim_end_matches('/');
        image.strip_prefix(registry).is_some_and(|rest| rest.starts_with('/'))
    };
    let remain = plain.places().enumerate().filter(|(index, place)| !is_changed(*index, place.image()));
    let remain = remain.map(|(_, place)| place).filter(|place| place.wanted(policy, namespace).is_some());
    let rendered = remain.map(|place| {
        let image = place.image();
        let why = match stays.iter().find(|stays| is_of(image, &stays.image)) {
            Some(stays) => format!("{image} is not overridden, since `{}` is omitted: {}", stays.path, stays.why),
            None => format!("{image} is not overridden, since no known value changes it"),
        };
        Omission { what: place.to_string(), why }
    });
    let is_rendered = |stays: &&Stays| {
        plain.places().map(RenderedImage::image).any(|image| is_of(image, &stays.image) || is_registry_of(image, stays))
    };
    let others = stays.iter().filter(|stays| !is_rendered(stays)).cloned().map(Omission::from);
    rendered.chain(others).collect()
}

fn compare(plain: &Rendered, changed: &Rendered, policy: &Policy, namespace: &str) -> Effect {
    let mut places = BTreeSet::new();
    let (before, after) = (plain.places(), changed.places());
    if before.len() != after.len() {
        let why = format!("Helm renders {} images instead of {}", after.len(), before.len());
        return Effect::Wrong(None, why);
    }
    for (index, (place, other)) in before.zip(after).enumerate() {
        let (image, is) = (place.image(), other.image());
        let wrong = |why: String| Effect::Wrong(Some(index), format!("Helm renders {place} {why}"));
        match place.wanted(policy, namespace) {
            _ if !place.is_as(other) => return wrong(format!("as {other}")),
            _ if image == is => {}
            Some(wanted) if wanted == is => drop(places.insert(index)),
            Some(wanted) => return wrong(format!("with {is} instead of {wanted}")),
            None => return wrong(format!("with {is}, although {image} is not rewritten")),
        }
    }
    if places.is_empty() { Effect::Nothing } else { Effect::Right(places) }
}
