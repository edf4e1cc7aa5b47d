//! Helm: values that override those of a chart, so that it renders with the images that the rules want.
//!
//! What values mean is up to a chart's templates. Here an image is what charts commonly have: a mapping with `repository`
//! (or `repo`, `image`, `name`), perhaps split off `registry`, or with its last part in `image` or `name`; or a string `image`.
//! What Helm renders shows whether it is one ([`prove`]). Without that, what templates may put a registry in front of is left
//! out.

mod chart;
mod overrides;
mod prove;
mod registry;
mod rendered;
mod search;
mod split;
mod template;

use serde_json::{Map, Value};

pub use self::chart::{Chart, Subcharts};
pub use self::overrides::{Override, Overrides, Stays, beside_images, values};
pub use self::prove::{believe, prove};
pub use self::rendered::Rendered;
pub use self::search::overrides;
pub use self::template::{Templates, Whose, of_template};

/// What is known of a chart beside its values.
#[derive(Debug, Clone, Copy)]
pub enum Sight<'r> {
    /// Its templates, as far as they are there.
    Templates(&'r Templates),
    /// What Helm renders.
    Rendered(&'r Rendered),
}

fn text<'v>(map: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    map.get(key)?.as_str()
}
