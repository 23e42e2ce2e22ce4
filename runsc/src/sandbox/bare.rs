//! A pod without a first container: CRI-O gives its id to the others and makes none, unless they share their processes.
//!
//! Its containers share a kernel all the same. So the first of them has a container made that does nothing, with the pod's id, in
//! the pod's cgroup and network namespace. Its sandbox ends when nothing runs in it any more and none comes; what is left goes
//! with the last of the pod's containers, or gives way to a new one.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::control::{self, Connection};
use super::making::Making;
use super::{Start, Terminal, destroy, run_detached, shared};
use crate::commands::Env;
use crate::config::{self, IdMap, Network, Plan};
use crate::error::{Context, Error, Result};
use crate::state::{Container, Phase, Pod, Record};

/// How often a sandbox may turn out to be ending.
const ATTEMPTS: u32 = 100;

/// What CRI-O gives the container that it makes in other pods: with it all of the pod would end.
const OOM_SCORE_ADJ: i32 = -998;

/// The pod's sandbox, made if there is none, which from now on expects the container.
pub fn enter(making: &mut Making<'_>, plan: &Plan, id: &str) -> Result<(Pod, Connection)> {
    let env = making.env;
    for _ in 0..ATTEMPTS {
        // Somebody else may have been faster, and may have been killed before it wrote anything down.
        let Ok(first) = env.store.open(id).or_else(|_| env.store.create(id)) else {
            continue;
        };
        let Some(now) = first.read()? else {
            make(env, first, plan, id).map_err(|e| e.context("sandbox of the pod"))?;
            continue;
        };
        if !now.bare {
            return shared::pod(env, id);
        }
        // Whoever made it had the lock to the end, or was killed; then it is made anew. As long as this has the lock, nobody thinks that
        // the pod has no containers.
        let whole = now.phase == Phase::Started;
        if let Some(sandbox) = now.sandbox.filter(|p| whole && p.alive())
            && let Ok(connection) = control::expect(first.dir())
        {
            let id = id.to_owned();
            let pod = Pod { id, sandbox };
            making.record.pod = Some(pod.clone());
            making.container.write(making.record)?;
            return Ok((pod, connection));
        }
        destroy(env, first, &now)?;
    }
    Err(Error::new(format!("sandbox of the pod: {id} always ends at once")))
}

/// One container of that pod is no more.
pub fn left(env: &Env<'_>, id: &str) {
    let unused = |record: &Record| record.bare && members(env, id) == 0;
    if env.store.load(id).is_ok_and(|record| unused(&record))
        && let Ok(container) = env.store.open(id)
        && let Ok(Some(record)) = container.read()
        && unused(&record)
        && let Err(e) = destroy(env, container, &record)
    {
        env.log.warn(&e.to_string());
    }
}

/// Whether those were killed who should have used it or removed it.
pub fn is_left(env: &Env<'_>, record: &Record) -> bool {
    record.bare && !record.creator.is_some_and(|p| p.alive()) && members(env, &record.id) == 0
}

fn members(env: &Env<'_>, id: &str) -> usize {
    let list = env.store.list().unwrap_or_default();
    let of_it = |record: &&Record| record.pod.as_ref().is_some_and(|pod| pod.id == id);
    list.iter().filter(of_it).count()
}

/// Makes the container, with its bundle in its own state directory.
fn make(env: &Env<'_>, first: Container, member: &Plan, id: &str) -> Result<()> {
    let dir = first.dir().to_owned();
    let plan = match write_bundle(&dir, member, id)
        .and_then(|()| config::read_bundle(&dir, None))
        .and_then(|bundle| config::plan(id, bundle, env.globals))
    {
        Ok(mut plan) => {
            plan.container.bare = true;
            plan
        }
        Err(e) => {
            let _ = first.remove();
            return Err(e);
        }
    };
    let start = Start {
        bundle: dir,
        config: None,
        pid_file: None,
        preserve_fds: 0,
        terminal: Terminal::Null,
        foreground: false,
        keep: false,
    };
    run_detached(env, first, &start, plan).map(drop)
}

fn write_bundle(dir: &Path, member: &Plan, id: &str) -> Result<()> {
    let root = dir.join("rootfs");
    let dev = root.join("dev");
    fs::create_dir_all(&dev).context(|| dev.display().to_string())?;
    // It is there already where a maker was killed.
    let pause = root.join("pause");
    let file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(&pause);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, &PAUSE))
        .context(|| pause.display().to_string())?;
    let path = dir.join("config.json");
    let text = serde_json::to_vec(&spec(member, id)).context(|| "config.json")?;
    fs::write(&path, text).context(|| path.display().to_string())
}

/// In the places that the engine has made for the pod, which it names for each container.
fn spec(member: &Plan, id: &str) -> Value {
    let new = ["pid", "ipc", "uts", "mount"];
    let mut namespaces: Vec<Value> = new.iter().map(|kind| json!({ "type": kind })).collect();
    match &member.network {
        Network::Join(path) => namespaces.push(json!({ "type": "network", "path": path })),
        Network::New => namespaces.push(json!({ "type": "network" })),
        Network::Inherit => {}
    }
    let mapped = !member.container.uid_map.is_empty();
    if mapped {
        namespaces.push(json!({ "type": "user" }));
    }
    let maps = |map: &IdMap| -> Vec<Value> {
        let entry = |&(inside, outside, size): &(u32, u32, u32)| json!({ "containerID": inside, "hostID": outside, "size": size });
        map.iter().map(entry).collect()
    };
    json!({
        "ociVersion": "1.0.2",
        "process": { "args": ["/pause"], "cwd": "/", "user": { "uid": 0, "gid": 0 }, "oomScoreAdj": OOM_SCORE_ADJ },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [{ "destination": "/dev", "type": "tmpfs", "source": "tmpfs" }],
        "hostname": member.container.hostname,
        "domainname": member.container.domainname,
        "annotations": { "io.kubernetes.cri-o.ContainerType": "sandbox" },
        "linux": {
            "namespaces": namespaces,
            "uidMappings": maps(&member.container.uid_map),
            "gidMappings": maps(&member.container.gid_map),
            "cgroupsPath": member.cgroups_path.as_ref().map(|path| path.replace(&member.container.id, id)),
        },
    })
}

/// `pause(2)` for ever: an ELF file with one segment.
const PAUSE: [u8; 129] = [
    0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 64 bits, little-endian
    2, 0, 62, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0, // executable, x86-64, entry
    64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // program headers, no sections
    0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0, // sizes of headers
    1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // PT_LOAD, read and execute, offset
    0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, // addresses
    129, 0, 0, 0, 0, 0, 0, 0, 129, 0, 0, 0, 0, 0, 0, 0, // sizes
    0, 16, 0, 0, 0, 0, 0, 0, // alignment
    0xb8, 34, 0, 0, 0, // mov $SYS_pause, %eax
    0x0f, 0x05, // syscall
    0xeb, 0xf7, // jmp back
];
