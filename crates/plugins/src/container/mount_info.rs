//! `/proc/<pid>/mountinfo`, proc(5), as far as it tells of cgroups.
//!
//! A workload controls its mount namespace and can make this file say anything; it is asked only where the cgroup file
//! knows of no container.

/// A line that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMount {
    #[error("missing separator in mountinfo line: {0}")]
    NoSeparator(String),
    #[error("expected at least 6 fields before separator in mountinfo line: {0}")]
    TooShort(String),
    #[error("missing filesystem type in mountinfo line: {0}")]
    NoFilesystem(String),
}

/// The roots of the mounted cgroup filesystems. `/` is left out: a container that mounts all of `/sys/fs/cgroup` says
/// nothing about itself.
pub fn cgroup_mount_roots(file: &str) -> Result<Vec<&str>, MalformedMount> {
    let mut roots = Vec::new();
    for line in file.lines().filter(|line| !line.is_empty()) {
        let (root, filesystem) = root_and_filesystem(line)?;
        if matches!(filesystem, "cgroup" | "cgroup2") && root != "/" {
            roots.push(root);
        }
    }
    Ok(roots)
}

/// Fields are split at single blanks, because the source behind the filesystem type may be empty; blanks within a
/// field are written `\040`.
fn root_and_filesystem(line: &str) -> Result<(&str, &str), MalformedMount> {
    let fields: Vec<&str> = line.split(' ').collect();
    let separator = fields.iter().position(|field| *field == "-");
    let separator = separator.ok_or_else(|| MalformedMount::NoSeparator(line.to_owned()))?;
    if separator < FIELDS_BEFORE_SEPARATOR_MIN {
        return Err(MalformedMount::TooShort(line.to_owned()));
    }
    match fields.get(separator + 1) {
        Some(filesystem) if !filesystem.is_empty() => Ok((fields[ROOT_FIELD], filesystem)),
        _ => Err(MalformedMount::NoFilesystem(line.to_owned())),
    }
}

/// Mount id, parent id, device, root, mount point, options.
const FIELDS_BEFORE_SEPARATOR_MIN: usize = 6;
const ROOT_FIELD: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_cgroup_mounts_below_the_root_count() {
        let file = "119 206 0:68 / /local rw,relatime - tmpfs  rw,size=8192k\n\
                    31 23 0:27 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n\
                    32 23 0:28 /kubepods/pod1/c /sys/fs/cgroup/cpu ro,nosuid master:12 - cgroup cgroup rw,cpu\n\
                    33 23 0:29 /../c /sys/fs/cgroup ro - cgroup2 cgroup rw\n\
                    34 23 0:30 /kubepods/pod2/c /data rw - ext4 /dev/vda rw\n";
        assert_eq!(cgroup_mount_roots(file), Ok(vec!["/kubepods/pod1/c", "/../c"]));
    }

    #[test]
    fn what_is_no_mount_is_refused() {
        let refused = |line: &str| cgroup_mount_roots(line).unwrap_err();
        assert!(matches!(refused("1 2 0:1 / /a rw cgroup x rw"), MalformedMount::NoSeparator(_)));
        assert!(matches!(refused("1 2 0:1 / /a - cgroup x rw"), MalformedMount::TooShort(_)));
        assert!(matches!(refused("1 2 0:1 / /a rw -"), MalformedMount::NoFilesystem(_)));
        assert!(matches!(refused("1 2 0:1 / /a rw - "), MalformedMount::NoFilesystem(_)));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,200}", blanks in "[ -]{0,40}") {
            let _ = cgroup_mount_roots(&text);
            let _ = cgroup_mount_roots(&blanks);
        }
    }
}
