//! The places of a report by outcome.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::{chart, class};
use crate::scan::{Bucket, Share, Sums};

/// Each bucket's share of the places, in percent. They add up to 100.
pub(super) struct Percents {
    percents: [usize; Bucket::ALL.len()],
    share: Share,
}

impl Percents {
    /// Rounds by the largest remainder.
    pub fn new(share: Share) -> Self {
        let hundredfold = Bucket::ALL.map(|bucket| share.places_of_bucket(bucket) * 100);
        let mut percents = hundredfold.map(|places| places / share.places.max(1));
        let mut by_remainder: Vec<usize> = (0..percents.len()).collect();
        by_remainder.sort_by_key(|&index| Reverse(hundredfold[index] % share.places.max(1)));
        let missing = 100_usize.saturating_sub(percents.iter().sum());
        by_remainder.into_iter().take(missing).for_each(|index| percents[index] += 1);
        Self { percents, share }
    }

    pub fn of(&self, buckets: &[Bucket]) -> String {
        let places: usize = buckets.iter().map(|bucket| self.share.places_of_bucket(*bucket)).sum();
        match buckets.iter().map(|bucket| self.percents[*bucket as usize]).sum() {
            0 if places > 0 => "<1%".to_owned(),
            100 if places < self.share.places => ">99%".to_owned(),
            percent => format!("{percent}%"),
        }
    }
}

/// A bar of all places by outcome, with its legend.
pub(super) fn outcomes(sums: &Sums) -> Markup {
    let total = &sums.total;
    let percents = Percents::new(*total);
    let buckets: Vec<Bucket> = total.buckets().collect();
    let segments = buckets.iter().map(|bucket| (*bucket, total.places_of_bucket(*bucket)));
    html! {
        section aria-labelledby="outcomes" {
            h2 #outcomes { "Outcomes" }
            (chart::bar(segments, total.places))
            table.outcomes role="table" {
                caption {
                    "A place is a field with an image, such as a container's. Coverage is the share of places whose image \
                     names a cache."
                }
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" { "outcome" }
                        th.number role="columnheader" scope="col" { "images" }
                        th.number role="columnheader" scope="col" { "places" }
                        th.number role="columnheader" scope="col" { "share" }
                    }
                }
                tbody role="rowgroup" {
                    @for bucket in &buckets {
                        tr role="row" {
                            th role="rowheader" scope="row" { span.bucket.(class(*bucket)) { (bucket.title()) } }
                            (numbers(total.of_bucket(*bucket), total.places_of_bucket(*bucket), &percents.of(&[*bucket])))
                        }
                    }
                }
                tfoot role="rowgroup" {
                    tr role="row" {
                        th role="rowheader" scope="row" { "total" }
                        (numbers(total.images, total.places, &percents.of(&Bucket::ALL)))
                    }
                }
            }
            @if let Some(note) = surplus(total) { p.note { (note) } }
        }
    }
}

fn numbers(images: usize, places: usize, share: &str) -> Markup {
    html! {
        td.number role="cell" { (images) }
        td.number role="cell" { (places) }
        td.number role="cell" { (share) }
    }
}

/// Why the images of the outcomes add up to more than their total.
fn surplus(share: &Share) -> Option<String> {
    let surplus = share.surplus();
    (surplus > 0).then(|| {
        format!("Images add up to {} more than the total: an image with several outcomes counts in each.", surplus)
    })
}
