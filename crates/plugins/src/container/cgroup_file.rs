//! `/proc/<pid>/cgroup`, cgroups(7): `hierarchy-ID:controller-list:cgroup-path` a line.

/// A line that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid cgroup entry, contains {fields} colon separated fields but expected at least 3: {line:?}")]
pub struct MalformedCgroup {
    fields: usize,
    line: String,
}

/// The path of each hierarchy, in the order of the file. Version 2 is the one line `0::/path`; a path may hold colons.
pub fn cgroup_paths(file: &str) -> Result<Vec<&str>, MalformedCgroup> {
    file.lines()
        .map(|line| {
            let mut fields = line.splitn(3, ':');
            let (first, second, path) = (fields.next(), fields.next(), fields.next());
            path.ok_or_else(|| MalformedCgroup {
                fields: [first, second].iter().flatten().count(),
                line: line.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_keeps_its_colons_and_a_short_line_is_refused() {
        let file = "2:cpu,cpuacct:/a\n0::/system.slice:cri-containerd:b\n";
        assert_eq!(cgroup_paths(file), Ok(vec!["/a", "/system.slice:cri-containerd:b"]));
        assert_eq!(cgroup_paths(""), Ok(Vec::new()));
        let error = cgroup_paths("0:/a").unwrap_err().to_string();
        assert_eq!(error, "invalid cgroup entry, contains 2 colon separated fields but expected at least 3: \"0:/a\"");
    }

    proptest! {
        #[test]
        fn every_path_that_the_kernel_writes_comes_back(paths in proptest::collection::vec("/[^\n\r]{0,40}", 0..6)) {
            let file: String = paths.iter().map(|path| format!("1:name=systemd:{path}\n")).collect();
            prop_assert_eq!(cgroup_paths(&file).unwrap(), paths);
        }
    }
}
