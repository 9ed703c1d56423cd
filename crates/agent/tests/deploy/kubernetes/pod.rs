//! A pod made of processes, as its manifest has it: its environment, its volumes with the modes that a kubelet gives
//! them, a root that cannot be written, its user, its init containers. There is no pid namespace, no cgroup and no
//! seccomp, the "image" is this machine's libraries and the program, and all pods share one loopback, each with an
//! address of it.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec, Volume};
use steeple_testkit::{Process, probe_at};

use super::objects::settings;

/// Files of the objects that pods mount, by name: ConfigMaps, Secrets, tokens of the service account.
pub struct Objects {
    pub folder: PathBuf,
    /// What the DNS of the cluster knows, as a hosts file.
    pub hosts: PathBuf,
    /// Where its API server is.
    pub api_server: Vec<(&'static str, String)>,
}

/// One pod of a StatefulSet or a DaemonSet, under a name that outlives its processes and addresses.
pub struct Pod {
    pub name: String,
    /// Since it was first scheduled.
    pub address: Option<Ipv4Addr>,
    spec: PodSpec,
    program: PathBuf,
    dir: PathBuf,
    process: Option<Process>,
}

impl Pod {
    /// With an empty claim. `program` is what the image has at the path of its command.
    pub fn new(scratch: &Path, name: &str, template: &PodTemplateSpec, program: &Path) -> Self {
        let spec = template.spec.clone().expect("a spec");
        let dir = scratch.join(name);
        std::fs::create_dir_all(dir.join("root")).expect("a directory");
        let program = program.to_owned();
        Self { name: name.to_owned(), address: None, spec, program, dir, process: None }
    }

    /// Scheduled: a new address, fresh volumes but for the claim, init containers, and the container.
    pub async fn start(&mut self, address: Ipv4Addr, objects: &Objects) {
        self.address = Some(address);
        let _ = std::fs::remove_dir_all(self.dir.join("volumes"));
        for container in self.spec.init_containers.clone().into_iter().flatten() {
            let mut process = self.run(&container, address, objects);
            let status = process.exited().await.expect("it ends");
            assert!(status.success(), "{}", process.failure("an init container failed"));
        }
        let container = self.spec.containers[0].clone();
        self.process = Some(self.run(&container, address, objects));
    }

    /// As a deletion does: SIGTERM (the sleep before it is for others), and within the grace period an orderly end.
    pub async fn delete(&mut self) {
        let grace = self.spec.termination_grace_period_seconds.expect("a grace period");
        let grace = std::time::Duration::from_secs(grace.unsigned_abs());
        let mut process = self.process.take().expect("it runs");
        let status = process.terminate(grace).await.expect("it ends within the grace period");
        assert!(status.success(), "{}", process.failure(&format!("ended with {status}")));
    }

    /// Its node is gone.
    pub async fn lose(&mut self) {
        self.process.take().expect("it runs").kill9().await.expect("it ends");
    }

    /// The claim is bound to an empty volume.
    pub fn lose_claim(&self) {
        std::fs::remove_dir_all(self.dir.join("claim")).expect("it was there");
    }

    /// What a kubelet hears at `path` of the port of probes.
    pub async fn probe(&self, path: &str) -> Option<(u16, String)> {
        let ports = self.spec.containers[0].ports.iter().flatten();
        let mut health = ports.filter(|port| port.name.as_deref() == Some("health"));
        let port = health.next().expect("a port for probes").container_port;
        probe_at((self.address?, u16::try_from(port).expect("a port")), path).await
    }

    /// A file that the container sees, from outside of it.
    pub fn file(&self, volume: &str, path: &str) -> PathBuf {
        self.dir.join("volumes").join(volume).join(path)
    }

    pub fn failure(&self, what: &str) -> String {
        self.process.as_ref().map_or_else(|| what.to_owned(), |process| format!("{:#}", process.failure(what)))
    }

    fn run(&self, container: &Container, address: Ipv4Addr, objects: &Objects) -> Process {
        let script = self.dir.join("container.sh");
        std::fs::write(&script, self.script(container, objects)).expect("a script");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh"]).arg(&script).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(objects.api_server.iter().cloned());
        command.envs(environment(container, &self.name, &address.to_string())).current_dir("/");
        command.args(container.command.iter().flatten()).args(container.args.iter().flatten());
        Process::start(&self.name, command, &self.dir.join("log")).expect("it starts")
    }

    /// Builds the root and goes into it, as the pod's user.
    fn script(&self, container: &Container, objects: &Objects) -> String {
        let root = self.dir.join("root");
        let mut script = format!("set -e\nroot={}\nmount -t tmpfs -o mode=0755 root $root\n", root.display());
        let mut bind = |source: &Path, target: &str, is_file: bool, read_only: bool| {
            let make = if is_file {
                format!("mkdir -p $(dirname $root{target}); touch $root{target}")
            } else {
                format!("mkdir -p $root{target}")
            };
            let _ = writeln!(script, "{make}\nmount --bind {} $root{target}", source.display());
            if read_only {
                let _ = writeln!(script, "mount -o remount,bind,ro $root{target}");
            }
        };
        // The image.
        bind(Path::new("/usr/lib"), "/usr/lib", false, true);
        bind(Path::new("/usr/bin/install"), "/usr/bin/install", true, true);
        let program = &self.spec.containers[0].command.as_ref().expect("a command")[0];
        bind(&self.program, program, true, true);
        // What a container runtime adds.
        bind(Path::new("/proc"), "/proc", false, false);
        for device in ["/dev/null", "/dev/urandom"] {
            bind(Path::new(device), device, true, false);
        }
        bind(&objects.hosts, "/etc/hosts", true, true);
        bind(&objects.folder.join("nsswitch.conf"), "/etc/nsswitch.conf", true, true);
        let account = objects.folder.join("service-account");
        bind(&account, "/var/run/secrets/kubernetes.io/serviceaccount", false, true);
        for mount in container.volume_mounts.iter().flatten() {
            let source = self.volume(&mount.name, objects);
            bind(&source, &mount.mount_path, false, mount.read_only == Some(true));
        }
        let user = self.user();
        let _ = write!(
            script,
            "ln -s usr/lib $root/lib\nln -s usr/lib64 $root/lib64\nmkdir -p $root/usr/lib64\n\
             mount --bind /usr/lib64 $root/usr/lib64\nmount -o remount,ro $root\n\
             exec chroot --userspec={user}:{user} --groups={user} $root \"$@\"\n",
        );
        script
    }

    /// Of the pod, or of its container.
    fn user(&self) -> u32 {
        let of_pod = self.spec.security_context.as_ref().and_then(|context| context.run_as_user);
        let of_container = self.spec.containers[0].security_context.as_ref().and_then(|context| context.run_as_user);
        u32::try_from(of_container.or(of_pod).expect("a user")).expect("an id")
    }

    /// The folder behind a volume, made when it is first mounted. With an `fsGroup` a kubelet gives what is in it to
    /// that group, and lets it read what its owner reads.
    fn volume(&self, name: &str, objects: &Objects) -> PathBuf {
        let mut volumes = self.spec.volumes.iter().flatten().filter(|volume| volume.name == name);
        let group = self.spec.security_context.as_ref().and_then(|context| context.fs_group);
        let group = group.map(|group| u32::try_from(group).expect("an id"));
        let Some(volume) = volumes.next() else {
            // A claim, of which there is one.
            return made(&self.dir.join("claim"), group, 0o775);
        };
        let path = self.dir.join("volumes").join(name);
        let Volume { config_map, secret, projected, .. } = volume;
        let mode = secret.as_ref().and_then(|secret| secret.default_mode).unwrap_or(0o644);
        let source = config_map.as_ref().map(|of| of.name.clone());
        let source = source.or_else(|| secret.as_ref().and_then(|of| of.secret_name.clone()));
        match source.or_else(|| projected.as_ref().map(|_| "tokens".to_owned())) {
            Some(object) => {
                made(&path, group, 0o755);
                for file in std::fs::read_dir(objects.folder.join(object)).expect("the object is there") {
                    let file = file.expect("a file");
                    let copy = path.join(file.file_name());
                    std::fs::copy(file.path(), &copy).expect("a copy");
                    chown(&copy, None, group).expect("a group");
                    let for_group = if group.is_some() { 0o440 } else { 0 };
                    let mode = u32::try_from(mode).expect("a mode") | for_group;
                    std::fs::set_permissions(&copy, Permissions::from_mode(mode)).expect("a mode");
                }
                path
            }
            // Empty, or of the node, where what a pod before it left stays.
            None if volume.host_path.is_some() => made(&self.dir.join("node").join(name), None, 0o755),
            None => made(&path, group, 0o777),
        }
    }
}

/// A directory for everybody of the group.
fn made(path: &Path, group: Option<u32>, mode: u32) -> PathBuf {
    if !path.exists() {
        std::fs::create_dir_all(path).expect("a directory");
        chown(path, None, group).expect("a group");
        let set_group = if group.is_some() { 0o2000 } else { 0 };
        std::fs::set_permissions(path, Permissions::from_mode(mode | set_group)).expect("a mode");
    }
    path.to_owned()
}

/// What a kubelet puts into the environment of `container`.
pub fn environment(container: &Container, pod: &str, address: &str) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    for source in container.env_from.iter().flatten() {
        let name = source.config_map_ref.as_ref().map(|map| map.name.as_str());
        assert_eq!(name, Some("steeple-settings"), "all that is taken as a whole");
        environment.extend(settings());
    }
    for EnvVar { name, value, value_from } in container.env.iter().flatten() {
        let field = value_from.as_ref().and_then(|from| from.field_ref.as_ref()).map(|field| field.field_path.as_str());
        let value = match (value, field) {
            (Some(value), None) => value.clone(),
            (None, Some("metadata.name")) => pod.to_owned(),
            (None, Some("metadata.namespace")) => "steeple".to_owned(),
            (None, Some("status.podIP" | "status.hostIP")) => address.to_owned(),
            other => panic!("{name} of {other:?}"),
        };
        environment.push((name.clone(), value));
    }
    environment
}
