//! Export to Helm: values that override those of a chart, so that it renders with rewritten images.
//!
//! A chart's templates decide what its values mean. An image is a form that charts commonly have: a string `image`, or a mapping
//! with `repository` (or `repo`, `image`, `name`). The mapping may have the host in `registry`, and the last part of the name in
//! `image` or `name`. Helm's output shows whether a value is an image ([`prove`]). Without Helm, values are omitted if templates may
//! put a registry in front of them.

mod chart;
mod helm;
mod overrides;
mod prove;
mod reader;
mod registry;
mod rendered;
mod search;
mod split;
mod template;

use serde_json::{Map, Value};

pub use self::chart::{Chart, Subcharts};
pub use self::helm::Helm;
pub use self::overrides::{Override, Overrides, Stays, beside_images, values};
pub use self::prove::{believe, prove};
pub use self::reader::{Reader, read, read_values};
pub use self::rendered::Rendered;
pub use self::search::overrides;
pub use self::template::{Templates, Whose, of_template};

/// The information on a chart beside its values.
#[derive(Debug, Clone, Copy)]
pub enum Sight<'r> {
    /// Its templates, as far as the folder has them.
    Templates(&'r Templates),
    /// Helm's output.
    Rendered(&'r Rendered),
}

fn text<'v>(map: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    map.get(key)?.as_str()
}
