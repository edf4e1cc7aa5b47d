//! Control groups that tests create, of version 1 and 2. A process enters one by writing its ID to `cgroup.procs`.

use std::path::{Path, PathBuf};
use std::{fs, io, thread, time};

use anyhow::{Context, Result};

/// For a moment after the last process has ended, the removal fails.
const REMOVAL_ATTEMPTS: usize = 100;
const REMOVAL_INTERVAL: time::Duration = time::Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// A place where groups with a controller can be created.
#[derive(Debug)]
pub struct Place {
    pub version: Version,
    root: PathBuf,
}

/// A group. Dropping this removes it, after its processes have ended.
#[derive(Debug)]
pub struct Cgroup {
    pub version: Version,
    folder: PathBuf,
}

impl Place {
    /// Finds a mount of a controller, such as `memory`, where `limit` can limit a new group; or why there is none.
    pub fn find(controller: &str, limit: impl Fn(&Cgroup) -> Result<()>) -> Result<Result<Place, String>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
        let mut reasons = Vec::new();
        for line in mounts.lines() {
            let Some((fields, filesystem)) = line.split_once(" - ") else { continue };
            let Some(root) = fields.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut filesystem = filesystem.split(' ');
            let version = match (filesystem.next(), filesystem.nth(1)) {
                (Some("cgroup"), Some(options)) if options.split(',').any(|option| option == controller) => Version::V1,
                (Some("cgroup2"), _) if has(controller, &root.join("cgroup.controllers")) => {
                    let subtree = root.join("cgroup.subtree_control");
                    if !has(controller, &subtree) {
                        let _ = fs::write(subtree, format!("+{controller}"));
                    }
                    Version::V2
                }
                _ => continue,
            };
            let place = Place { version, root };
            match place.create(&format!("pullthrough-{}", std::process::id())).and_then(|group| limit(&group)) {
                Ok(()) => return Ok(Ok(place)),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        if reasons.is_empty() {
            reasons.push(format!("no mounted cgroup file system has the {controller} controller"));
        }
        Ok(Err(reasons.join("; ")))
    }

    pub fn create(&self, name: &str) -> Result<Cgroup> {
        let folder = self.root.join(name);
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Cgroup { version: self.version, folder })
    }
}

impl Cgroup {
    /// Returns a file of the group.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn write(&self, name: &str, value: &str) -> Result<()> {
        let file = self.file(name);
        fs::write(&file, value).with_context(|| format!("write {}", file.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVAL_ATTEMPTS {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(REMOVAL_INTERVAL),
                _ => return,
            }
        }
        eprintln!("{}: still in use, and not removed", self.folder.display());
    }
}

fn has(controller: &str, list: &Path) -> bool {
    fs::read_to_string(list).is_ok_and(|list| list.split_whitespace().any(|name| name == controller))
}
