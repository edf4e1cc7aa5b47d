//! Rewrites the images of manifests in their text.

pub mod diff;
mod task;

pub use task::{
    Done, Kept, KeptFor, LEFT_SHOWN, Left, Refused, RewriteOptions, Task, TextOutcome, fixed, not_rolled_out,
};
