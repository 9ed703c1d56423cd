//! What kernel, kubelet and container engine tell of a workload's process.

use steeple_plugins::container::Wanted;
use steeple_plugins::container::cgroup_file::cgroup_paths;
use steeple_plugins::container::extract::extract;
use steeple_plugins::container::legacy::extract_legacy;
use steeple_plugins::container::mount_info::cgroup_mount_roots;
use steeple_plugins::docker::fuzzing::selector_values;
use steeple_plugins::docker::{Matchers, SocketTemplate};
use steeple_plugins::k8s::fuzzing::pods_in;
use steeple_transport::uds::fuzzing::{effective_ids, start_time};

use super::text;
use crate::{Verdict, within};

/// `/proc/<pid>/cgroup`
pub fn cgroup(data: &[u8]) -> Verdict {
    let Some(text) = text(data) else { return Verdict::Refused };
    let Ok(paths) = within(60, data, || cgroup_paths(text)) else { return Verdict::Refused };
    assert_eq!(paths.len(), text.lines().count());
    let found = [Wanted::PodAndContainer, Wanted::ContainerOnly].map(|wanted| extract(paths.iter().copied(), wanted));
    for container in found.iter().flatten().flatten() {
        assert!(text.contains(&container.container_id), "an ID that stands nowhere");
        assert!(text.replace('_', "-").contains(&container.pod_uid), "a pod that stands nowhere");
    }
    let _ = extract_legacy(paths.iter().copied());
    Verdict::read_if(found.iter().any(|found| matches!(found, Ok(Some(_)))))
}

/// `/proc/<pid>/mountinfo`
pub fn mount_info(data: &[u8]) -> Verdict {
    let Some(text) = text(data) else { return Verdict::Refused };
    let Ok(roots) = within(60, data, || cgroup_mount_roots(text)) else { return Verdict::Refused };
    assert!(roots.iter().all(|root| text.contains(root)));
    Verdict::read_if(!roots.is_empty())
}

/// `/proc/<pid>/stat`. A process chooses its name, and must not choose its start time with it.
pub fn proc_stat(data: &[u8]) -> Verdict {
    let Ok(found) = within(60, data, || start_time(data)) else { return Verdict::Refused };
    assert!(data.windows(found.to_string().len()).any(|digits| digits == found.to_string().as_bytes()) || found == 0);
    let Some(name_end) = data.iter().rposition(|byte| *byte == b')') else { panic!("a stat without a name") };
    let renamed = [b"1 (a) b) ", &data[name_end..]].concat();
    assert_eq!(start_time(&renamed).ok(), Some(found));
    Verdict::Read
}

/// `/proc/<pid>/status`
pub fn proc_status(data: &[u8]) -> Verdict {
    Verdict::of(within(2, data, || effective_ids(data)).ok())
}

/// The kubelet's pod list.
pub fn pod_list(data: &[u8]) -> Verdict {
    // A pod of a few letters is a dozen strings and lists.
    let Some(pods) = within(POD_TIMES_MAX, data, || pods_in(data)) else { return Verdict::Refused };
    assert!(pods * SHORTEST_POD_BYTES <= data.len());
    Verdict::read_if(pods > 0)
}

/// The engine's description of a container.
pub fn container_inspect(data: &[u8]) -> Verdict {
    let Some(values) = within(60, data, || selector_values(data)) else { return Verdict::Refused };
    assert!(values.iter().all(|value| value.contains(':')));
    Verdict::read_if(!values.is_empty())
}

/// `podman_socket_path_template`, then a line for each of `container_id_cgroup_matchers`.
pub fn socket_template(data: &[u8]) -> Verdict {
    let Some(text) = text(data) else { return Verdict::Refused };
    let mut lines = text.lines();
    let template = SocketTemplate::parse(lines.next().unwrap_or_default());
    let patterns: Vec<String> = lines.map(str::to_owned).collect();
    let matchers = within(120, data, || Matchers::new(&patterns));
    Verdict::read_if(template.is_ok() && matchers.is_ok())
}

const POD_TIMES_MAX: u64 = 60;
/// `{"metadata":{"uid":"u"}}`
const SHORTEST_POD_BYTES: usize = 24;
