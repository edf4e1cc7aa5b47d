//! Names of metrics that `pullthrough doctor` reads to compare replicas.

pub const BUILD_INFO: &str = "pullthrough_build_info";
pub const RULES_INFO: &str = "pullthrough_rules_info";
/// Has the label [`WHAT`], a [`Reloaded`](super::Reloaded).
pub const LAST_RELOAD_SUCCESS: &str = "pullthrough_last_reload_success_timestamp_seconds";
pub const LAST_RELOAD_SUCCESSFUL: &str = "pullthrough_last_reload_successful";

/// Has the label [`CACHE`], a prefix in `caches` of the rules file.
pub const CACHE_UP: &str = "pullthrough_cache_up";

/// Has the label [`STATE`]: [`LOOPING`] or [`STANDING_DOWN`].
pub const RECREATE_LOOPS: &str = "pullthrough_recreate_loops";

// Labels.
pub const CACHE: &str = "cache";
pub const HASH: &str = "hash";
pub const STATE: &str = "state";
pub const REVISION: &str = "revision";
pub const VERSION: &str = "version";
pub const WHAT: &str = "what";

// Values of labels.
pub const LOOPING: &str = "looping";
pub const STANDING_DOWN: &str = "standing_down";
