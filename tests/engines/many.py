"""Many containers through dockerd, and runsc whose processes are killed at any moment: nothing may be left.

With --full: 200 containers in a row, 50 at once, 20 kills of each process in each verb.
"""
import json
import os
import random
import signal
import subprocess
import time

import docker
from common import PATIENCE, Failed, equal, processes, run, until

FULL = os.environ.get("RUN_ENGINES_FULL") == "1"
IN_A_ROW, AT_ONCE, KILLS = (200, 50, 20) if FULL else (15, 8, 3)


class Engine(docker.Engine):
    def __init__(self, runsc, directory, group):
        super().__init__(runsc, directory, group)
        self.runsc = runsc

    def start(self, tar):
        super().start(tar)
        self.bundle = bundle(self.directory)
        # What the first container brings into being for good is there.
        self.docker("run", "--rm", "bb", "true")
        settled(self, None)
        self.before = left(self)


def bundle(directory):
    """A bundle of the image for runsc itself, in a cgroup of its own beneath the engine's."""
    place = f"{directory}/bundle"
    os.makedirs(place)
    config = {
        "ociVersion": "1.0.2", "root": {"path": f"{directory}/image"},
        "process": {"args": ["/bin/sh", "-c", "sleep 1000 & sleep 1000 & wait"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                    "env": ["PATH=/bin"]},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/tmp", "type": "bind", "source": directory, "options": ["rbind"]}],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "mount", "network", "ipc", "uts")],
                  "cgroupsPath": f"/{os.path.basename(directory)}/killed", "resources": {"memory": {"limit": 256 << 20}}},
    }
    with open(f"{place}/config.json", "w") as file:
        json.dump(config, file)
    return place


def left(e):
    """All that a container may leave behind, as a set of words."""
    found = {f"zombie {pid}" for pid, state, _ in processes() if state == "Z"}
    lines = [(pid, line.replace("\0", " ").strip()) for pid, _, line in processes()]
    found |= {f"process {pid} {line}" for pid, line in lines if line.startswith(("runsc-", "containerd-shim"))}
    with open("/proc/self/mountinfo") as file:
        found |= {f"mount {line.split()[4]}" for line in file}
    for pid, _, _ in processes():
        try:
            found.add("namespace " + os.readlink(f"/proc/{pid}/ns/net"))
            found.add("namespace " + os.readlink(f"/proc/{pid}/ns/mnt"))
        except OSError:
            pass
    for top, _, files in os.walk("/sys/fs/cgroup"):
        if f"/{e.group}/" in top + "/" and os.path.basename(top) != e.group:
            found.add(f"cgroup {top}")
    # Docker's own runtime directory has the one name, whatever the runtime is called.
    for place in (f"{e.directory}/exec/runtime-runc/moby", f"{e.directory}/state", f"{e.directory}/data/containers"):
        found |= {f"state {place}/{name}" for name in (os.listdir(place) if os.path.exists(place) else [])}
    return found


def settled(e, before, patience=PATIENCE):
    """Waits until nothing is there that was not before."""
    end = time.monotonic() + patience
    while True:
        more = left(e) - (before or set())
        if before is None:
            more = {word for word in more if word.startswith(("process", "zombie", "state"))}
        if not more:
            return
        if time.monotonic() > end:
            raise Failed(f"left: {'; '.join(sorted(more))[:400]}")
        time.sleep(0.1)


def check_in_a_row(e):
    for i in range(IN_A_ROW):
        equal(e.docker("run", "--rm", "bb", "echo", str(i)), f"{i}\n")
    settled(e, e.before)


def check_at_once(e):
    names = [f"many{i}" for i in range(AT_ONCE)]
    children = [subprocess.Popen(["docker", "run", "--rm", "--name", n, "bb", "sh", "-c", f"sleep 1; echo {n}"], env=e.env,
                                 stdout=subprocess.PIPE, text=True) for n in names]
    equal([c.communicate(timeout=600)[0].strip() for c in children], names)
    settled(e, e.before)


def check_all_running(e):
    names = [f"run{i}" for i in range(AT_ONCE)]
    for name in names:
        e.docker("run", "-d", "--name", name, "bb", "sleep", "1000")
    equal(len(e.docker("ps", "-q").split()), AT_ONCE)
    for name in names:
        equal(e.docker("exec", name, "echo", name), f"{name}\n")
    e.docker("rm", "-f", *names, timeout=600)
    settled(e, e.before)


def runsc(e, *args):
    return [e.runsc, "--root", f"{e.directory}/state", *args]


def shot(e, victim, verb, ident, latest):
    """Runs the verb and kills one process at a random moment; how long it took if it came to its end."""
    start = time.monotonic()
    child = subprocess.Popen(runsc(e, *verb, ident), cwd=e.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    time.sleep(random.uniform(0, latest))
    pids = [child.pid] if victim == "runsc" else [pid for pid, _, line in processes() if line.startswith(victim)]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    child.wait(PATIENCE)
    return time.monotonic() - start


def kills(e, verb):
    before = left(e)
    hits = 0
    for victim in ("runsc", "runsc-sandbox", "runsc-gofer"):
        for i in range(KILLS):
            ident = f"killed{i}"
            steps = [["create", ["create"]], ["start", ["start"]], ["delete", ["delete", "--force"]]]
            for name, command in steps:
                if name == verb:
                    shot(e, victim, command, ident, 0.06)
                    break
                run(*runsc(e, *command, ident)) if name != "create" else create(e, ident)
            # What an engine does when anything has failed.
            state = subprocess.run(runsc(e, "state", ident), capture_output=True, text=True)
            hits += state.returncode != 0 or '"stopped"' in state.stdout
            subprocess.run(runsc(e, "list"), check=True, stdout=subprocess.DEVNULL)
            run(*runsc(e, "delete", "--force", ident))
            settled(e, before)
    if not hits:
        raise Failed(f"no kill came in time: nothing was tested")


def create(e, ident):
    null = subprocess.DEVNULL
    subprocess.run(runsc(e, "create", ident), cwd=e.bundle, stdin=null, stdout=null, stderr=null, check=True)


def check_killed_in_create(e):
    kills(e, "create")


def check_killed_in_start(e):
    kills(e, "start")


def check_killed_in_delete(e):
    kills(e, "delete")


def check_killed_under_docker(e):
    """The daemon sees each end, and removes what is left."""
    for i in range(KILLS):
        name = f"shot{i}"
        child = subprocess.Popen(["docker", "run", "--name", name, "bb", "sleep", "1000"], env=e.env, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.1, 0.7))
        for pid, _, line in processes():
            if line.startswith(random.choice(("runsc-sandbox", "runsc-gofer", e.runsc))):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        # It may be that nothing runs yet.
        until("its end", lambda: e.docker("kill", name, code=None) and child.poll() is not None)
        e.docker("rm", "-f", name, code=None)
        until("the removal", lambda: not e.docker("ps", "-aq"))
    # A start that fails before containerd has heard of the end leaves containerd's task behind, with every runtime.
    ctr = ["ctr", "--address", f"{e.directory}/exec/containerd/containerd.sock", "--namespace", "moby"]
    for name in run(*ctr, "task", "ls", "-q").split():
        run(*ctr, "task", "rm", "-f", name, code=None)
        run(*ctr, "containers", "rm", name, code=None)
    settled(e, e.before)
