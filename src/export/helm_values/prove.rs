//! Which overrides do what they should: each is rendered alone, and all that do together.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde_json::Value;

use super::rendered::{Place, Rendered, is_of, name_of};
use super::{Override, Overrides, Stays, values};
use crate::engine::Policy;
use crate::export::{Export, Omission};

/// What an override does to what is rendered.
enum Effect {
    Nothing,
    /// Places, by their number, that have what they should.
    Right(BTreeSet<usize>),
    /// What is wrong, and at which place if it is of one.
    Wrong(Option<usize>, String),
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
            Effect::Nothing => "it changes nothing that is rendered".to_owned(),
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
    let after: Vec<&str> = last.places().map(Place::image).collect();
    let is_changed = |index: usize, image: &str| after.get(index).is_some_and(|after| *after != image);
    omissions.extend(that_stay(plain, is_changed, &stays, policy, namespace));
    let proven = proven.into_iter().map(|(image, _)| image).collect();
    Ok(Export { what: proven, notes: Vec::new(), omissions })
}

/// Leaves those overrides whose image is rendered just as the values have it, where there is no way to render with them.
pub fn believe<'p>(
    found: Overrides<'p>,
    plain: &Rendered,
    policy: &Policy,
    namespace: &str,
) -> Export<Vec<Override<'p>>> {
    let Overrides { images, mut stays, mut omissions, found_image: _ } = found;
    let (images, others): (Vec<_>, Vec<_>) = images.into_iter().partition(|image| image.is_whole);
    let why = "only Helm can show where its registry is to be written";
    stays.extend(others.into_iter().map(|other| Stays { path: other.path(), image: other.image, why: why.to_owned() }));
    let changed: BTreeSet<&str> = images.iter().map(|image| name_of(&image.image)).collect();
    omissions.extend(that_stay(plain, |_, image: &str| changed.contains(name_of(image)), &stays, policy, namespace));
    Export { what: images, notes: Vec::new(), omissions }
}

/// The images that should change and do not, and why; and those of values that are not rendered.
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
            Some(stays) => format!("{image} stays: `{}` is left out: {}", stays.path, stays.why),
            None => format!("{image} stays: no value is known to change it"),
        };
        Omission { what: place.to_string(), why }
    });
    let is_rendered = |stays: &&Stays| {
        plain.places().map(Place::image).any(|image| is_of(image, &stays.image) || is_registry_of(image, stays))
    };
    let others = stays.iter().filter(|stays| !is_rendered(stays)).cloned().map(Omission::from);
    rendered.chain(others).collect()
}

fn compare(plain: &Rendered, changed: &Rendered, policy: &Policy, namespace: &str) -> Effect {
    let mut places = BTreeSet::new();
    let (before, after) = (plain.places(), changed.places());
    if before.len() != after.len() {
        let why = format!("the chart is rendered with {} images, not {}", after.len(), before.len());
        return Effect::Wrong(None, why);
    }
    for (index, (place, other)) in before.zip(after).enumerate() {
        let (image, is) = (place.image(), other.image());
        let wrong = |why: String| Effect::Wrong(Some(index), format!("{place} is rendered {why}"));
        match place.wanted(policy, namespace) {
            _ if !place.is_as(other) => return wrong(format!("as {other}")),
            _ if image == is => {}
            Some(wanted) if wanted == is => drop(places.insert(index)),
            Some(wanted) => return wrong(format!("with {is}, not {wanted}")),
            None => return wrong(format!("with {is}, and should stay {image}")),
        }
    }
    if places.is_empty() { Effect::Nothing } else { Effect::Right(places) }
}
