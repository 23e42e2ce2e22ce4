//! Starting a shim, and removing what a killed one left.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use containerd_shim::api::DeleteResponse;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::publisher::RemotePublisher;
use containerd_shim::util::{convert_to_timestamp, write_address};
use containerd_shim::{Config, Error, ExitSignal, Flags, Result, Shim, StartOpts, socket_address, spawn};

use crate::events::Events;
use crate::runsc::Runsc;
use crate::task::{PID_FILE, Tasks};
use crate::{options, rootfs};

pub struct Service {
    exit: Arc<ExitSignal>,
    id: String,
    namespace: String,
    bundle: String,
    /// containerd's.
    address: String,
    /// The shim's own, while it serves.
    socket: String,
}

/// How `runsc` was called for a container, for whoever has to clean up.
const OPTIONS: &str = "runsc-options";

/// Keeps the options of a container in its bundle.
pub fn keep_options(bundle: &Path, sent: Option<&Any>) -> Result<()> {
    use containerd_shim::protos::protobuf::Message;
    let bytes = sent.and_then(|any| any.write_to_bytes().ok()).unwrap_or_default();
    let path = bundle.join(OPTIONS);
    std::fs::write(&path, bytes).map_err(|e| Error::Other(format!("{}: {e}", path.display())))
}

fn kept_options(bundle: &Path) -> Option<Any> {
    use containerd_shim::protos::protobuf::Message;
    Any::parse_from_bytes(&std::fs::read(bundle.join(OPTIONS)).ok()?).ok()
}

/// The container of whose shim this one is served: the pod's first.
fn group(bundle: &Path, id: &str) -> Result<String> {
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
    let config: serde_json::Value = serde_json::from_slice(&text)?;
    let annotations = &config["annotations"];
    let names = [
        ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"),
        ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"),
        ("io.kubernetes.docker.type", "io.kubernetes.sandbox.id"),
    ];
    let first = names
        .iter()
        .find(|(kind, _)| annotations[kind] == "container")
        .and_then(|(_, first)| annotations[first].as_str());
    Ok(first.unwrap_or(id).to_owned())
}

/// The socket of a shim that was killed.
fn remove_dead(address: &str) {
    let path = path(address);
    let connected = UnixStream::connect(path);
    if connected.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
        let _ = std::fs::remove_file(path);
    }
}

fn path(address: &str) -> &str {
    address.strip_prefix("unix://").unwrap_or(address)
}

impl Shim for Service {
    type T = Tasks;

    fn new(_runtime_id: &str, args: &Flags, _config: &mut Config) -> Self {
        Self {
            exit: Arc::default(),
            id: args.id.clone(),
            namespace: args.namespace.clone(),
            bundle: args.bundle.clone(),
            address: args.address.clone(),
            socket: args.socket.clone(),
        }
    }

    fn start_shim(&mut self, opts: StartOpts) -> Result<String> {
        // containerd calls with the bundle as working directory.
        let group = group(Path::new("."), &opts.id)?;
        let (pid, address) = spawn(opts, &group, Vec::new())?;
        write_address(&address)?;
        // A shim that found another for its pod has gone again.
        if Path::new(&format!("/proc/{pid}")).exists()
            && let Err(e) = containerd_shim::cgroup::set_cgroup_and_oom_score(pid)
        {
            eprintln!("cgroup and oom score of the shim: {e}");
        }
        Ok(address)
    }

    fn delete_shim(&mut self) -> Result<DeleteResponse> {
        let bundle = match self.bundle.as_str() {
            "" => std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            bundle => PathBuf::from(bundle),
        };
        let options = options::read(kept_options(&bundle).as_ref())?;
        let pid = std::fs::read_to_string(bundle.join(PID_FILE));
        let deleted = Runsc::new(options, &self.namespace, &bundle).run(&["delete", "--force", &self.id]);
        rootfs::take_down(&bundle.join("rootfs"));
        if let Ok(group) = group(&bundle, &self.id) {
            remove_dead(&socket_address(&self.address, &self.namespace, &group));
        }
        deleted?;
        let mut response = DeleteResponse::new();
        response.set_pid(pid.ok().and_then(|pid| pid.trim().parse().ok()).unwrap_or(0));
        response.set_exit_status(137);
        response.set_exited_at(convert_to_timestamp(Some(SystemTime::now().into())));
        Ok(response)
    }

    fn wait(&mut self) {
        self.exit.wait();
        // The bundle, where its address is written down, may be gone before the shim.
        let _ = std::fs::remove_file(path(&self.socket));
        // The server waits for calls that wait themselves, perhaps for what will not come.
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            std::process::exit(0);
        });
    }

    fn create_task_service(&self, _publisher: RemotePublisher) -> Self::T {
        let address = std::env::var("TTRPC_ADDRESS").unwrap_or_default();
        let events = Events::new(address, self.namespace.clone());
        Tasks::new(self.namespace.clone(), events, self.exit.clone())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn pods_share_a_shim() {
        let dir = std::env::temp_dir().join(format!("shim-group-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let with = |text: &str| {
            std::fs::write(dir.join("config.json"), text).unwrap();
            super::group(&dir, "c").ok()
        };
        assert_eq!(with("{}").as_deref(), Some("c"));
        let first =
            r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-id":"c"}}"#;
        assert_eq!(with(first).as_deref(), Some("c"));
        let member =
            r#"{"annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-id":"p"}}"#;
        assert_eq!(with(member).as_deref(), Some("p"));
        assert_eq!(with("{"), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
