//! Entries of kustomizations that no longer find the images they select.

use std::collections::BTreeMap;

use super::outcome::Done;

/// A warning for each name that a kustomization selects and that images had until now.
pub fn warnings<'d>(all: impl Iterator<Item = &'d Done> + Clone) -> Vec<String> {
    let mut renamed: BTreeMap<&str, (String, usize)> = BTreeMap::new();
    for done in all.clone() {
        for change in done.changes.iter().filter(|change| change.is_selectable) {
            let place = || (format!("{}:{}", done.name, change.line), 0);
            renamed.entry(change.image_name()).or_insert_with(place).1 += 1;
        }
    }
    let selectors = all.flat_map(|done| done.selectors.iter().map(move |selector| (done, selector)));
    let warning = |(done, selector): (&Done, &super::outcome::Selector)| {
        let (place, count) = renamed.get(selector.image_name.as_str())?;
        let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        Some(format!(
            "warning: {}:{}: `images` selects `{}`, which is rewritten at {place}{more}: a kustomization that includes it no \
             longer finds it; change `name` too, or rewrite the kustomization alone",
            done.name, selector.line, selector.image_name,
        ))
    };
    selectors.filter_map(warning).collect()
}
