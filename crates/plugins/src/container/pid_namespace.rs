//! Whether a process may be taken for one of the container whose cgroup it is in.
//!
//! A cgroup is only a directory: whoever may write to the cgroup filesystem, such as a privileged pod with `hostPID`,
//! can move its processes into another pod's and be attested as that pod. A pid namespace cannot be changed that way: a
//! process is born into it. So a process counts as the container's own if its pid namespace, or one around it, is that
//! of the container's init; pid 1 of a namespace lives as long as the namespace.

/// The setting `host_pid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostPid {
    /// Containers in the host's pid namespace, and processes that are not of the container's, are refused.
    #[default]
    Refuse,
    /// As SPIRE: the cgroup alone decides.
    Allow,
}

/// A pid namespace, by its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PidNamespace(pub u64);

/// Pid 1 of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    pub namespace: PidNamespace,
    /// How many namespaces it is visible in: the container's own init is in fewer than one that a workload made.
    pub depth: usize,
}

/// What is to be known of the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhabitants {
    /// The agent's, which is the node's.
    pub host: PidNamespace,
    /// The caller's, then those of its ancestors.
    pub caller: Vec<PidNamespace>,
    /// Of the container, or of the pod where its containers share a namespace.
    pub inits: Vec<Init>,
}

/// Who must have the init: it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Container(String),
    /// The pod's containers share the namespace of its sandbox (`shareProcessNamespace`).
    Pod(String),
}

/// Why a process gets no selectors of the container whose cgroup it is in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Masquerade {
    #[error(
        "{0} is in the host's pid namespace, so nothing tells its processes from others of this node (host_pid = \
         \"refuse\"); set host_pid = \"allow\" only where every such workload is trusted with the whole node"
    )]
    HostPidContainer(String),
    #[error("the process is in the host's pid namespace: it entered the cgroup of {0} from outside")]
    FromHost(String),
    #[error("the process is not in the pid namespace of {0}: it entered that cgroup from another container")]
    FromElsewhere(String),
    #[error("no process of {0} is the init of its pid namespace: the container has ended, and its cgroup is reused")]
    NoInit(String),
    #[error("{0} has several inits: a process of another container is in its cgroup")]
    SeveralInits(String),
    #[error("the process moved to another cgroup while it was attested")]
    Moved,
}

/// Decides by the namespaces alone. `unknown_init_passes` is for containers that the kernel's cgroups do not show.
pub fn check(found: &Inhabitants, whose: &Owner, unknown_init_passes: bool) -> Result<(), Masquerade> {
    if found.caller.first() == Some(&found.host) {
        return Err(Masquerade::FromHost(whose.to_string()));
    }
    let Some(depth) = found.inits.iter().map(|init| init.depth).min() else {
        return if unknown_init_passes { Ok(()) } else { Err(Masquerade::NoInit(whose.to_string())) };
    };
    let mut outermost = found.inits.iter().filter(|init| init.depth == depth).map(|init| init.namespace);
    let namespace = outermost.next();
    if outermost.any(|other| Some(other) != namespace) {
        return Err(Masquerade::SeveralInits(whose.to_string()));
    }
    if namespace.is_some_and(|namespace| found.caller.contains(&namespace)) {
        return Ok(());
    }
    Err(Masquerade::FromElsewhere(whose.to_string()))
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Container(id) => write!(f, "container {id}"),
            Self::Pod(uid) => write!(f, "pod {uid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: PidNamespace = PidNamespace(1);
    const OURS: PidNamespace = PidNamespace(2);
    const NESTED: PidNamespace = PidNamespace(3);
    const THEIRS: PidNamespace = PidNamespace(4);

    fn decide(caller: &[PidNamespace], inits: &[(PidNamespace, usize)]) -> Result<(), Masquerade> {
        let inits = inits.iter().map(|&(namespace, depth)| Init { namespace, depth }).collect();
        let found = Inhabitants { host: HOST, caller: caller.to_vec(), inits };
        check(&found, &Owner::Container("c".to_owned()), false)
    }

    #[test]
    fn a_process_of_the_container_passes() {
        assert_eq!(decide(&[OURS, OURS, HOST], &[(OURS, 2)]), Ok(()));
        // It made a namespace of its own, whose init is in the container's cgroup too.
        assert_eq!(decide(&[NESTED, OURS, HOST], &[(NESTED, 3), (OURS, 2)]), Ok(()));
        // Executed into the container: its parent is the runtime.
        assert_eq!(decide(&[OURS, HOST], &[(OURS, 2)]), Ok(()));
    }

    #[test]
    fn a_process_that_came_from_elsewhere_is_refused() {
        let whose = || "container c".to_owned();
        assert_eq!(decide(&[HOST], &[(OURS, 2)]), Err(Masquerade::FromHost(whose())));
        assert_eq!(decide(&[THEIRS, HOST], &[(OURS, 2)]), Err(Masquerade::FromElsewhere(whose())));
        assert_eq!(decide(&[NESTED, THEIRS, HOST], &[(OURS, 2)]), Err(Masquerade::FromElsewhere(whose())));
        // It brought its own init along.
        assert_eq!(decide(&[THEIRS, HOST], &[(OURS, 2), (THEIRS, 2)]), Err(Masquerade::SeveralInits(whose())));
        assert_eq!(decide(&[OURS, HOST], &[(OURS, 2), (THEIRS, 2)]), Err(Masquerade::SeveralInits(whose())));
        assert_eq!(decide(&[THEIRS, HOST], &[]), Err(Masquerade::NoInit(whose())));
        assert_eq!(decide(&[], &[]), Err(Masquerade::NoInit(whose())));
    }

    #[test]
    fn a_container_that_cgroups_do_not_show_has_no_known_init() {
        let found = Inhabitants { host: HOST, caller: vec![OURS], inits: Vec::new() };
        assert_eq!(check(&found, &Owner::Pod("u".to_owned()), true), Ok(()));
        let from_host = Inhabitants { caller: vec![HOST], ..found };
        assert!(check(&from_host, &Owner::Pod("u".to_owned()), true).is_err());
    }
}
