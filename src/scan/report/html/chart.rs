//! Bars of images and places.

use maud::{Markup, html};

use super::class;
use crate::scan::report::words;
use crate::scan::{Bucket, Sums};
use crate::words::count;

/// The number of bars. More would hide the large ones.
const MAX_BARS: usize = 15;

struct Bar {
    name: String,
    images: usize,
    buckets: [usize; Bucket::ALL.len()],
}

impl Bar {
    fn length(&self) -> usize {
        self.buckets.iter().sum()
    }

    fn segments(&self) -> impl Iterator<Item = (Bucket, usize)> {
        Bucket::ALL.into_iter().zip(self.buckets).filter(|(_, count)| *count > 0)
    }
}

/// Draws a bar for each registry. Names and numbers are text outside the drawing, which wraps on narrow screens.
pub fn chart(sums: &Sums) -> Markup {
    let bars = bars(sums);
    let max = bars.iter().map(Bar::length).max().unwrap_or_default();
    html! {
        ul #chart {
            @for each in &bars {
                li {
                    div.head { code { (each.name) } span.number { (count(each.images, "image")) } }
                    (bar(each.segments(), max))
                    div.parts {
                        @for (bucket, count) in each.segments() { span.bucket.(class(bucket)) { (count) " " (bucket.title()) } }
                    }
                }
            }
        }
    }
}

/// Draws one bar. `max` is the number that fills its width. Text beside it has the numbers.
pub fn bar(segments: impl Iterator<Item = (Bucket, usize)>, max: usize) -> Markup {
    let percent = |count: usize| {
        let hundredths = count * 10_000 / max.max(1);
        format!("{}.{:02}%", hundredths / 100, hundredths % 100)
    };
    let mut start = 0;
    let placed = segments.map(|(bucket, count)| {
        start += count;
        (bucket, start - count, count)
    });
    html! {
        svg width="100%" height="12" aria-hidden="true" {
            rect.track x="0" y="0" width="100%" height="12" {}
            @for (bucket, start, count) in placed {
                rect.bar.(class(bucket)) x=(percent(start)) y="0" width=(percent(count)) height="12" {
                    title { (count) " " (bucket.title()) }
                }
            }
        }
    }
}

fn bars(sums: &Sums) -> Vec<Bar> {
    let shown = if sums.groups.len() > MAX_BARS { MAX_BARS - 1 } else { MAX_BARS };
    let mut bars: Vec<Bar> = Vec::new();
    for (index, group) in sums.groups.iter().enumerate() {
        let buckets = Bucket::ALL.map(|bucket| group.share.of_bucket(bucket));
        match bars.get_mut(shown) {
            Some(rest) => {
                rest.images += group.share.images;
                rest.buckets.iter_mut().zip(buckets).for_each(|(sum, count)| *sum += count);
            }
            None => {
                let name = if index == shown {
                    format!("{} more", count(sums.groups.len() - shown, "registry"))
                } else {
                    words::registry(group)
                };
                bars.push(Bar { name, images: group.share.images, buckets });
            }
        }
    }
    bars
}
