//! Does this version of Kubernetes support the features that pullthrough uses?

use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::{Objects, Version};
use crate::cluster::doctor::report::Check;

/// The first minor version with stable matchConditions.
const LEAST: u32 = 30;
/// The first minor version with image volumes enabled by default.
const IMAGE_VOLUMES: u32 = 35;
const TESTED: std::ops::RangeInclusive<u32> = 33..=36;

pub fn check(objects: &Objects) -> Check {
    let mut check =
        Check::new("version", "Does this version of Kubernetes support the features that pullthrough uses?");
    let Version { git, minor } = match &objects.version {
        Ok(version) => version,
        Err(failure) => {
            check.skip_for(failure, "the API server's version");
            return check;
        }
    };
    check.fact(format!("Kubernetes {git}"));
    let place = "the API server";
    let tested = format!("1.{} to 1.{}", TESTED.start(), TESTED.end());
    match minor {
        None => check.skipped("the API server's version", format!("{git} is not a version of Kubernetes 1")),
        Some(minor) if *minor < LEAST => {
            let what = format!("{git} has no stable matchConditions; they are stable since 1.{LEAST}");
            check.find(Fault::KubernetesNotSupported, place, what);
        }
        Some(minor) => {
            if !TESTED.contains(minor) {
                check.find(
                    Fault::KubernetesNotTested,
                    place,
                    format!("{git} is not tested; tested versions are {tested}"),
                );
            }
            if *minor < IMAGE_VOLUMES {
                let what =
                    format!("{git} drops image volumes from Pods, unless the feature gate ImageVolume is enabled");
                check.find(Fault::ImageVolumesDisabled, place, what);
            }
        }
    }
    check
}
