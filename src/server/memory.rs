//! Finds the memory limit of this process' control group.
//!
//! It reads the mounts and the process' group. Testing for files is not enough: if both versions of control groups are mounted
//! (hybrid), only one has the memory controller. A container sees its group at the root of the mount, or far below it.

use std::fs;
use std::path::{Path, PathBuf};

/// A limit of a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLimit {
    pub bytes: u64,
    /// The file with the limit.
    pub file: PathBuf,
}

/// Returns the lowest limit of this process' control group and its parents. `None`: no limit.
pub fn group_limit() -> Option<GroupLimit> {
    group_limit_of(Path::new("/"), &read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

/// Returns the resident memory of this process in bytes, 0 if unknown, without pages of files: the kernel reclaims those, and how
/// many there are depends on the page cache. Format: proc_pid_status(5).
pub fn resident_bytes() -> u64 {
    let status = read("/proc/self/status");
    let kib = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
    };
    ["RssAnon:", "RssShmem:"].into_iter().filter_map(kib).sum::<u64>() * 1024
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Does the work of [`group_limit`] below another `root` in tests. Formats: proc_pid_mountinfo(5), cgroups(7).
fn group_limit_of(root: &Path, mounts: &str, groups: &str) -> Option<GroupLimit> {
    let hierarchy = Hierarchy::of(groups)?;
    let (mount_root, mount_point) = mounts.lines().filter_map(Mount::parse).find(|mount| hierarchy.is_at(mount))?.place;
    let group = hierarchy.path();
    // A group outside the mount (`/..`, or another container's) is not visible. The mount is the nearest visible group.
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

/// Values from which on version 1 has no limit: it then reports the greatest multiple of a page.
const NO_LIMIT: u64 = i64::MAX as u64 - (1 << 20);

/// The hierarchy with the memory controller, and this process' group in it.
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
    /// The mounted part of the hierarchy, and the mount point.
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

/// Decodes a path, in which blanks and backslashes are octal.
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

    /// Returns the limit in MiB that is found with these files.
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
        // Version 2 as a container sees it, with a limit and without.
        assert_eq!(found(V2, "0::/\n", &[("sys/fs/cgroup/memory.max", MIB_128)]), Some(128));
        assert_eq!(found(V2, "0::/\n", &[("sys/fs/cgroup/memory.max", "max\n")]), None);
        // Nested: the lowest of all levels counts.
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
        // Hybrid: version 2 is mounted without the memory controller, and its files do not count.
        let hybrid = [
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", MIB_256),
            ("sys/fs/cgroup/unified/a/memory.max", MIB_128),
        ];
        assert_eq!(found(HYBRID, "8:memory:/a\n0::/a\n", &hybrid), Some(256));
        // Version 1 is mounted for another controller alone: version 2 has memory.
        let other = "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - \
                     cgroup2 cgroup2 rw\n";
        let files = [("sys/fs/cgroup/unified/a/memory.max", MIB_128)];
        assert_eq!(found(other, "1:cpu:/a\n0::/a\n", &files), Some(128));
        // Only a part of the tree is mounted, as in a container without a cgroup namespace.
        let part = "30 23 0:26 /kubepods/pod1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let files = [("sys/fs/cgroup/app/memory.max", MIB_128), ("sys/fs/cgroup/memory.max", MIB_256)];
        assert_eq!(found(part, at, &files), Some(128));
        // The process is outside the mount: only the mount itself is visible.
        assert_eq!(found(V2, "0::/../other\n", &[("sys/fs/cgroup/memory.max", MIB_256)]), Some(256));
        // A mount point with a blank, nothing mounted, and nothing known.
        let blank = "30 23 0:26 / /sys/fs/c\\040group rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found(blank, "0::/\n", &[("sys/fs/c group/memory.max", MIB_128)]), Some(128));
        assert_eq!(found("", "0::/\n", &[("sys/fs/cgroup/memory.max", MIB_128)]), None);
        assert_eq!(found(V2, "", &[("sys/fs/cgroup/memory.max", MIB_128)]), None);
    }

    #[test]
    fn this_process_is_resident() {
        assert!(resident_bytes() > 100 << 10);
    }
}
