//! `manifests/`: the chart, and what kustomize makes of it.

mod chart;
mod overlays;
pub mod render;
