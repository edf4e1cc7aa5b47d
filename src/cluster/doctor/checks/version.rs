//! Does the API server's version serve what is used?

use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::{Objects, Version};
use crate::cluster::doctor::report::Check;

/// Since then matchConditions are there for good.
const LEAST: u32 = 30;
/// Since then image volumes are on by default.
const IMAGE_VOLUMES: u32 = 35;
const TESTED: std::ops::RangeInclusive<u32> = 33..=36;

pub fn check(objects: &Objects) -> Check {
    let mut check = Check::new("version", "Does the API server's version serve what is used?");
    let Version { git, minor } = match &objects.version {
        Ok(version) => version,
        Err(failure) => {
            check.could_not_look(failure, "the API server's version");
            return check;
        }
    };
    check.fact(format!("Kubernetes {git}"));
    let place = "the API server";
    let tested = format!("1.{} to 1.{}", TESTED.start(), TESTED.end());
    match minor {
        None => check.unseen("the API server's version", format!("{git} is no version of Kubernetes 1")),
        Some(minor) if *minor < LEAST => {
            let what = format!("{git} has no stable matchConditions, which came with 1.{LEAST}; {tested} are tested");
            check.find(Fault::ServerTooOld, place, what);
        }
        Some(minor) => {
            if !TESTED.contains(minor) {
                check.find(Fault::ServerUntested, place, format!("{git} is not tested; {tested} are"));
            }
            if *minor < IMAGE_VOLUMES {
                let what = format!("{git} drops image volumes from Pods unless the feature gate ImageVolume is on");
                check.find(Fault::ImageVolumesOff, place, what);
            }
        }
    }
    check
}
