//! Images by registry, as bars.

use maud::{Markup, html};

use super::class;
use crate::scan::report::words::{self, count};
use crate::scan::{Outcome, Sums};

/// Bars beyond these would hide the large ones.
const MAX_BARS: usize = 15;
const BAR_PX: usize = 44;
/// Characters of a name that a narrow screen has room for.
const MAX_NAME: usize = 44;

struct Bar {
    name: String,
    images: usize,
    outcomes: [usize; Outcome::ALL.len()],
}

impl Bar {
    fn length(&self) -> usize {
        self.outcomes.iter().sum()
    }

    /// `docker.io: 3 would be rewritten, 1 left alone`.
    fn told(&self) -> String {
        let parts: Vec<String> =
            self.segments().map(|(outcome, _, count)| format!("{count} {}", outcome.title())).collect();
        format!("{}: {}", self.name, parts.join(", "))
    }

    /// What there is, where it starts, and how many images it is.
    fn segments(&self) -> impl Iterator<Item = (Outcome, usize, usize)> {
        let mut start = 0;
        let segment = move |(outcome, count)| {
            start += count;
            (outcome, start - count, count)
        };
        Outcome::ALL.into_iter().zip(self.outcomes).map(segment).filter(|(_, _, count)| *count > 0)
    }
}

/// In pixels downwards and in parts of the width otherwise, so that text keeps its size on every screen.
pub fn chart(sums: &Sums) -> Markup {
    let bars = bars(sums);
    let max = bars.iter().map(Bar::length).max().unwrap_or_default().max(1);
    let percent = |count: usize| {
        let hundredths = count * 10_000 / max;
        format!("{}.{:02}%", hundredths / 100, hundredths % 100)
    };
    let told: Vec<String> = bars.iter().map(Bar::told).collect();
    html! {
        ul.legend { @for outcome in sums.total.outcomes() { li class=(class(outcome)) { (outcome.title()) } } }
        svg #chart width="100%" height=(bars.len() * BAR_PX) role="img" aria-labelledby="chart-title chart-description" {
            title #chart-title { "Images by registry" }
            desc #chart-description { (told.join("; ")) }
            @for (index, bar) in bars.iter().enumerate() {
                text x="0" y=(index * BAR_PX + 14) { (shortened(&bar.name)) }
                text.number x="100%" y=(index * BAR_PX + 14) { (bar.images) }
                rect.track x="0" y=(index * BAR_PX + 21) width="100%" height="12" rx="3" {}
                @for (outcome, start, count) in bar.segments() {
                    rect.bar.(class(outcome)) x=(percent(start)) y=(index * BAR_PX + 21) width=(percent(count)) height="12" rx="3" {
                        title { (bar.name) ": " (count) " " (outcome.title()) }
                    }
                }
            }
        }
    }
}

fn bars(sums: &Sums) -> Vec<Bar> {
    let shown = if sums.groups.len() > MAX_BARS { MAX_BARS - 1 } else { MAX_BARS };
    let mut bars: Vec<Bar> = Vec::new();
    for (index, group) in sums.groups.iter().enumerate() {
        let outcomes = Outcome::ALL.map(|outcome| group.share.of_outcome(outcome));
        match bars.get_mut(shown) {
            Some(rest) => {
                rest.images += group.share.images;
                rest.outcomes.iter_mut().zip(outcomes).for_each(|(sum, count)| *sum += count);
            }
            None => {
                let name = match index == shown {
                    true => format!("{} more", count(sums.groups.len() - shown, "registry")),
                    false => words::registry(group),
                };
                bars.push(Bar { name, images: group.share.images, outcomes });
            }
        }
    }
    bars
}

/// Without its middle, if it is long: both ends tell registries apart.
fn shortened(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    match chars.len() > MAX_NAME {
        true => {
            let (start, end) = (&chars[..MAX_NAME / 2], &chars[chars.len() + 1 - MAX_NAME / 2..]);
            start.iter().chain(&['…']).chain(end).collect()
        }
        false => name.to_owned(),
    }
}
