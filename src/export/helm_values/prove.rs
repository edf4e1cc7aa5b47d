//! Which overrides do what they should: each is rendered alone, and all that do together.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde_json::Value;

use super::rendered::{Rendered, name_of};
use super::{Inexpressible, Override, Overrides, Stays, values};
use crate::engine::Policy;

/// What an override does to what is rendered.
enum Effect {
    Nothing,
    /// Places that have what they should.
    Right(BTreeSet<String>),
    Wrong(String),
}

/// Leaves those overrides of which `render` shows that they change what they should and nothing else, and tells which images
/// of `plain`, which is rendered without any, stay then.
///
/// # Errors
///
/// Where all together can't be rendered, though each alone can.
pub fn prove<'p>(
    found: Overrides<'p>,
    plain: &Rendered,
    policy: &Policy,
    namespace: &str,
    render: impl Fn(&Value) -> anyhow::Result<Rendered> + Sync,
) -> anyhow::Result<(Vec<Override<'p>>, Vec<Inexpressible>)> {
    let Overrides { images, mut stays, mut left_out, .. } = found;
    let effect = |changed: anyhow::Result<Rendered>| match changed {
        Ok(changed) => compare(plain, &changed, policy, namespace),
        Err(error) => Effect::Wrong(format!("the chart can't be rendered with it: {error:#}")),
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
            Effect::Wrong(why) => why,
            Effect::Nothing => "it changes nothing that is rendered".to_owned(),
        };
        stays.push(Stays { path: image.path(), image: image.image, why });
    }
    let mut last = render(&values(proven.iter().map(|(image, _)| image)))?;
    while let Effect::Wrong(why) = compare(plain, &last, policy, namespace) {
        let is_part = |places: &BTreeSet<String>| places.iter().any(|place| why.contains(place.as_str()));
        let (part, rest): (Vec<_>, Vec<_>) = proven.into_iter().partition(|(_, places)| is_part(places));
        let (part, rest) = if part.is_empty() { (rest, part) } else { (part, rest) };
        let why = format!("together with others, {why}");
        stays.extend(part.into_iter().map(|(image, _)| Stays {
            path: image.path(),
            image: image.image,
            why: why.clone(),
        }));
        proven = rest;
        last = render(&values(proven.iter().map(|(image, _)| image)))?;
    }
    let same: BTreeSet<(&str, &str)> = last.images().collect();
    left_out.extend(that_stay(plain, |place, image| !same.contains(&(place, image)), &stays, policy, namespace));
    Ok((proven.into_iter().map(|(image, _)| image).collect(), left_out))
}

/// Leaves those overrides whose image is rendered just as the values have it, where there is no way to render with them.
pub fn believe<'p>(
    found: Overrides<'p>,
    plain: &Rendered,
    policy: &Policy,
    namespace: &str,
) -> (Vec<Override<'p>>, Vec<Inexpressible>) {
    let Overrides { images, mut stays, mut left_out, .. } = found;
    let (images, others): (Vec<_>, Vec<_>) = images.into_iter().partition(|image| image.is_whole);
    let why = "only Helm can show where its registry is to be written";
    stays.extend(others.into_iter().map(|other| Stays { path: other.path(), image: other.image, why: why.to_owned() }));
    let changed: BTreeSet<&str> = images.iter().map(|image| name_of(&image.image)).collect();
    left_out.extend(that_stay(plain, |_, image| changed.contains(name_of(image)), &stays, policy, namespace));
    (images, left_out)
}

/// The images that should change and do not, and why; and those of values that are not rendered.
fn that_stay(
    plain: &Rendered,
    is_changed: impl Fn(&str, &str) -> bool,
    stays: &[Stays],
    policy: &Policy,
    namespace: &str,
) -> Vec<Inexpressible> {
    let is_of = |image: &str, stays: &Stays| {
        let (name, of) = (name_of(image), name_of(&stays.image));
        name == of || name.strip_suffix(of).is_some_and(|rest| rest.ends_with('/'))
    };
    let is_registry_of = |image: &str, stays: &Stays| {
        let registry = stays.image.trim_end_matches('/');
        image.strip_prefix(registry).is_some_and(|rest| rest.starts_with('/'))
    };
    let remain = plain.images().filter(|(place, image)| !is_changed(place, image));
    let rendered =
        remain.filter(|(place, _)| plain.wanted(place, policy, namespace).is_some()).map(|(place, image)| {
            let why = match stays.iter().find(|stays| is_of(image, stays)) {
                Some(stays) => format!("{image} stays: `{}` is left out: {}", stays.path, stays.why),
                None => format!("{image} stays: no value is known to change it"),
            };
            Inexpressible { what: place.to_owned(), why }
        });
    let is_rendered =
        |stays: &&Stays| plain.images().any(|(_, image)| is_of(image, stays) || is_registry_of(image, stays));
    let others = stays.iter().filter(|stays| !is_rendered(stays)).cloned().map(Inexpressible::from);
    rendered.chain(others).collect()
}

fn compare(plain: &Rendered, changed: &Rendered, policy: &Policy, namespace: &str) -> Effect {
    let mut places = BTreeSet::new();
    let (mut before, mut after) = (plain.images(), changed.images());
    loop {
        match (before.next(), after.next()) {
            (None, None) => break,
            (Some((place, image)), Some((same, other))) if place == same => {
                match plain.wanted(place, policy, namespace) {
                    _ if image == other => {}
                    Some(wanted) if wanted == other => drop(places.insert(place.to_owned())),
                    Some(wanted) => return Effect::Wrong(format!("{place} is rendered with {other}, not {wanted}")),
                    None => return Effect::Wrong(format!("{place} is rendered with {other}, and should stay {image}")),
                }
            }
            (Some((place, _)), _) | (None, Some((place, _))) => {
                return Effect::Wrong(format!("{place} is rendered only with it or only without it"));
            }
        }
    }
    if places.is_empty() { Effect::Nothing } else { Effect::Right(places) }
}
