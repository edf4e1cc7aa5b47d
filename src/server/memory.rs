//! The memory that this process may use: the limit of its control group.
//!
//! It is found by what is mounted and by where this process is, not by which files exist: with both versions of control
//! groups mounted (hybrid), memory belongs to the one that has its controller, and a container sees its own group at the
//! root of the mount, or far below it.

use std::fs;
use std::path::{Path, PathBuf};

/// A limit of a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLimit {
    pub bytes: u64,
    /// The file that says so.
    pub file: PathBuf,
}

/// The least limit of this process' control group and of those above it; `None` where there is none.
pub fn group_limit() -> Option<GroupLimit> {
    group_limit_of(Path::new("/"), &read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

/// Resident memory of this process, in bytes; 0 where it is unknown.
pub fn resident_bytes() -> u64 {
    let status = read("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `root` stands for `/` in tests. The formats are those of proc_pid_mountinfo(5) and cgroups(7).
fn group_limit_of(root: &Path, mounts: &str, groups: &str) -> Option<GroupLimit> {
    let hierarchy = Hierarchy::of(groups)?;
    let (mount_root, mount_point) = mounts.lines().filter_map(Mount::parse).find(|mount| hierarchy.is_at(mount))?.place;
    let group = hierarchy.path();
    // A group outside of what is mounted (`/..`, or another container's) is not visible; the mount is the nearest that is.
    let below = group.strip_prefix(&mount_root).unwrap_or(Path::new(""));
    let below = if below.components().any(|part| part.as_os_str() == "..") { Path::new("") } else { below };
    let at = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    below
        .ancestors()
        .map(|below| at(&mount_point.join(below)).join(hierarchy.file()))
        .filter_map(|file| {
            let bytes = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
            (bytes < NO_LIMIT).then_some(GroupLimit { bytes, file })
        })
        .min_by_key(|limit| limit.bytes)
}

/// Version 1 has no word for it: without a limit it says the greatest multiple of a page.
const NO_LIMIT: u64 = i64::MAX as u64 - (1 << 20);

/// The hierarchy that has the memory controller, and this process' place in it.
enum Hierarchy<'a> {
    V1(&'a str),
    V2(&'a str),
}

impl<'a> Hierarchy<'a> {
    fn of(groups: &'a str) -> Option<Self> {
        let lines = || {
            groups.lines().filter_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                Some((parts.next()?, parts.next()?))
            })
        };
        let v1 = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
        let v2 = || lines().find(|(controllers, _)| controllers.is_empty());
        v1.map(|(_, path)| Self::V1(path)).or_else(|| v2().map(|(_, path)| Self::V2(path)))
    }

    fn path(&self) -> &Path {
        match self {
            Self::V1(path) | Self::V2(path) => Path::new(path),
        }
    }

    fn file(&self) -> &'static str {
        match self {
            Self::V1(_) => "memory.limit_in_bytes",
            Self::V2(_) => "memory.max",
        }
    }

    fn is_at(&self, mount: &Mount) -> bool {
        match self {
            Self::V1(_) => mount.kind == "cgroup" && mount.options.split(',').any(|option| option == "memory"),
            Self::V2(_) => mount.kind == "cgroup2",
        }
    }
}

struct Mount<'a> {
    /// What of the file system is mounted, and where.
    place: (PathBuf, PathBuf),
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3).map(|path| PathBuf::from(unescaped(path)));
        let mut kind = kind.split(' ');
        Some(Mount {
            place: (place.next()?, place.next()?),
            kind: kind.next()?,
            options: kind.nth(1).unwrap_or_default(),
        })
    }
}

/// Blanks and backslashes in paths are written in octal.
fn unescaped(path: &str) -> String {
    let mut text = path.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\012", "\n");
    text = text.replace(r"\134", r"\");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";
    const HYBRID: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    /// The limit in MiB that is found where these files have these contents.
    fn found(mounts: &str, groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        group_limit_of(root.path(), mounts, groups).map(|limit| limit.bytes >> 20)
    }

    #[test]
    fn the_limit_is_found_by_what_is_mounted_and_where_the_process_is() {
        const MIB_128: &str = "134217728\n";
        const MIB_256: &str = "268435456\n";
        let v1_unlimited = "9223372036854771712\n";
        // A container's own view of version 2, and without a limit.
        assert_eq!(found(V2, "0::/\n", &[("sys/fs/cgroup/memory.max", MIB_128)]), Some(128));
        assert_eq!(found(V2, "0::/\n", &[("sys/fs/cgroup/memory.max", "max\n")]), None);
        // Nested: the least of all levels counts, wherever it is.
        let nested = |outer, inner| {
            [("sys/fs/cgroup/kubepods/pod1/memory.max", outer), ("sys/fs/cgroup/kubepods/pod1/app/memory.max", inner)]
        };
        let at = "0::/kubepods/pod1/app\n";
        assert_eq!(found(V2, at, &nested(MIB_128, MIB_256)), Some(128));
        assert_eq!(found(V2, at, &nested(MIB_256, MIB_128)), Some(128));
        assert_eq!(found(V2, at, &nested("max\n", MIB_256)), Some(256));
        // Version 1, with a limit and without.
        let groups = "9:name=systemd:/\n4:memory:/docker/1\n1:cpu,cpuacct:/docker/1\n";
        let v1 = |limit| [("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", limit)];
        assert_eq!(found(V1, groups, &v1(MIB_128)), Some(128));
        assert_eq!(found(V1, groups, &v1(v1_unlimited)), None);
        // Hybrid: version 2 is there, but memory is not its own, whatever its files say.
        let hybrid = [
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", MIB_256),
            ("sys/fs/cgroup/unified/a/memory.max", MIB_128),
        ];
        assert_eq!(found(HYBRID, "8:memory:/a\n0::/a\n", &hybrid), Some(256));
        // Version 1 mounted for another controller alone: memory is version 2's.
        let other = "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - \
                     cgroup2 cgroup2 rw\n";
        let files = [("sys/fs/cgroup/unified/a/memory.max", MIB_128)];
        assert_eq!(found(other, "1:cpu:/a\n0::/a\n", &files), Some(128));
        // Only a part of the tree is mounted, as in a container without a namespace of its own for it.
        let part = "30 23 0:26 /kubepods/pod1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let files = [("sys/fs/cgroup/app/memory.max", MIB_128), ("sys/fs/cgroup/memory.max", MIB_256)];
        assert_eq!(found(part, at, &files), Some(128));
        // The process is outside of what is mounted: the mount itself is what can be seen.
        assert_eq!(found(V2, "0::/../other\n", &[("sys/fs/cgroup/memory.max", MIB_256)]), Some(256));
        // A mount point with a blank, nothing mounted, and nothing known.
        let blank = "30 23 0:26 / /sys/fs/c\\040group rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found(blank, "0::/\n", &[("sys/fs/c group/memory.max", MIB_128)]), Some(128));
        assert_eq!(found("", "0::/\n", &[("sys/fs/cgroup/memory.max", MIB_128)]), None);
        assert_eq!(found(V2, "", &[("sys/fs/cgroup/memory.max", MIB_128)]), None);
    }

    #[test]
    fn this_process_is_resident() {
        assert!(resident_bytes() > 1 << 20);
    }
}
