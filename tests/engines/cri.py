"""containerd's CRI plugin, driven as the kubelet drives it. A check is made once for each shim that may carry runsc."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from common import PATIENCE, Failed, contains, equal, processes, run, until
from containerd import oci_image
from cri_api import RESIZE, STDIN, STDOUT, Client, Refused, Stream

IMAGE, PAUSE = "docker.io/library/bb:latest", "registry.k8s.io/pause:3.6"
CREATED, RUNNING, EXITED = range(3)
POD, CONTAINER, NODE, TARGET = range(4)
HANDLERS = {"runc": "io.containerd.runc.v2", "own": "io.containerd.runsc.v1"}

CONFIG = """
version = 2
root = "{d}/root"
state = "{d}/state"
[grpc]
  address = "{d}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{d}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{d}/cni"
"""
RUNTIME = """
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
    runtime_type = "{kind}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
"""


class Engine:
    def __init__(self, runsc, directory, group):
        self.runsc, self.directory, self.group = runsc, directory, group
        self.env = {**os.environ, "CONTAINERD_ADDRESS": f"{directory}/c.sock", "CONTAINERD_NAMESPACE": "k8s.io",
                    "PATH": f"{os.path.dirname(runsc)}:{os.environ['PATH']}"}
        self.daemon = self.cri = None
        self.pods = 0

    def start(self, tar):
        d = self.directory
        # Ports of a pod are forwarded in its network namespace.
        script = f"{d}/runsc-net"
        with open(script, "w") as file:
            # Debian's runc can take its place, to see what a check is worth.
            flags = "--network=host" if "runsc" in os.path.basename(self.runsc) else ""
            file.write(f'#!/bin/sh\nexec {self.runsc} {flags} "$@"\n')
        os.chmod(script, 0o755)
        with open(f"{d}/runsc.toml", "w") as file:
            file.write(f'binary_name = "{self.runsc}"\nroot = "{d}/runsc-own"\n[runsc_config]\nnetwork = "host"\n')
        with open(f"{d}/config.toml", "w") as file:
            file.write(CONFIG.format(d=d, pause=PAUSE))
            file.write(RUNTIME.format(name="runc", kind=HANDLERS["runc"]))
            file.write(f'      BinaryName = "{script}"\n      Root = "{d}/runsc-runc"\n')
            file.write(RUNTIME.format(name="own", kind=HANDLERS["own"]))
            file.write(f'      TypeUrl = "io.containerd.runsc.v1.options"\n      ConfigPath = "{d}/runsc.toml"\n')
        os.mkdir(f"{d}/cni")
        with open(f"{d}/cni/10-pods.conflist", "w") as file:
            json.dump({"cniVersion": "0.4.0", "name": "pods", "plugins": [{
                "type": "bridge", "bridge": "runsc-cri0", "isGateway": True, "ipMasq": False,
                "ipam": {"type": "host-local", "dataDir": f"{d}/ipam", "ranges": [[{"subnet": "10.213.0.0/16"}]],
                         "routes": [{"dst": "0.0.0.0/0"}]}}]}, file)
        self.run_daemon()
        self.cri = Client(f"{d}/c.sock")
        for name, command in (IMAGE, ["/bin/sh"]), (PAUSE, ["/bin/sleep", "1000000"]):
            saved = oci_image(d, tar, name, command)
            run("ctr", "images", "import", saved, env=self.env)
            os.unlink(saved)
            shutil.rmtree(f"{d}/saved")
        until("the images", lambda: {IMAGE, PAUSE} <= set(self.cri.images()))

    def run_daemon(self):
        log = open(f"{self.directory}/containerd.log", "a")
        self.daemon = subprocess.Popen(["containerd", "--config", f"{self.directory}/config.toml"], stdout=log, stderr=log, env=self.env)
        until("containerd", lambda: subprocess.run(["ctr", "version"], env=self.env, capture_output=True).returncode == 0)

    def clean(self):
        for pod in self.cri.call("ListPodSandbox").items:
            self.cri.call("StopPodSandbox", {"pod_sandbox_id": pod.id})
            self.cri.call("RemovePodSandbox", {"pod_sandbox_id": pod.id})
        equal(list(self.cri.call("ListContainers").containers), [])
        for name in HANDLERS:
            place = f"{self.directory}/runsc-{name}/k8s.io"
            equal(os.listdir(place) if os.path.exists(place) else [], [])
        until("the shims' end", lambda: not shims())
        equal([line.split()[1] for line in open("/proc/mounts") if f"{self.directory}/state/io.containerd" in line], [])

    def stop(self):
        if self.daemon:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.daemon.kill()


# A command that takes memory until there is none.
EAT = """awk 'BEGIN { s = "x"; while (1) s = s s }'"""


def members(group):
    with open(f"{group}/cgroup.procs") as file:
        return [int(line) for line in file]


def titled(pattern):
    """Host processes with such a command line."""
    return [pid for pid, _, line in processes() if re.match(pattern, line.rstrip("\0").replace("\0", " "))]


def shims():
    return titled(r"\S*containerd-shim-")


class Pod:
    """A pod that runs."""

    def __init__(self, engine, handler, pid=CONTAINER, privileged=False, **more):
        engine.pods += 1
        self.engine, self.cri = engine, engine.cri
        self.name = f"{handler}-{engine.pods}"
        self.directory = f"{engine.directory}/pods/{self.name}"
        os.makedirs(f"{self.directory}/logs")
        self.namespaces = {"network": POD, "pid": pid, "ipc": POD}
        self.config = {
            "metadata": {"name": self.name, "uid": self.name, "namespace": "default"}, "hostname": self.name,
            "log_directory": f"{self.directory}/logs",
            "linux": {"cgroup_parent": f"/{engine.group}", "security_context": {"namespace_options": self.namespaces, "privileged": privileged}}, **more}
        self.id = self.cri.call("RunPodSandbox", {"config": self.config, "runtime_handler": handler}).pod_sandbox_id

    def create(self, name, *command, security=None, resources=None, **more):
        """A container; a single word of a command is a script."""
        command = ["/bin/sh", "-c", *command] if len(command) == 1 else list(command)
        config = {"metadata": {"name": name}, "image": {"image": IMAGE}, "command": command, "log_path": f"{name}.log",
                  "linux": {"resources": resources or {}, "security_context": {"namespace_options": self.namespaces, **(security or {})}},
                  **more}
        id = self.cri.call("CreateContainer", {"pod_sandbox_id": self.id, "config": config, "sandbox_config": self.config}).container_id
        return Container(self, id, name)

    def run(self, name, *command, **more):
        container = self.create(name, *command, **more)
        container.start()
        return container

    def state(self):
        return self.cri.call("PodSandboxStatus", {"pod_sandbox_id": self.id}).status.state

    def stop(self):
        self.cri.call("StopPodSandbox", {"pod_sandbox_id": self.id})

    def remove(self):
        self.cri.call("RemovePodSandbox", {"pod_sandbox_id": self.id})

    def volume(self, name):
        os.makedirs(f"{self.directory}/{name}", exist_ok=True)
        os.chmod(f"{self.directory}/{name}", 0o777)
        return f"{self.directory}/{name}"


class Container:
    def __init__(self, pod, id, name):
        self.pod, self.cri, self.id, self.name = pod, pod.cri, id, name

    def start(self):
        self.cri.call("StartContainer", {"container_id": self.id})

    def status(self):
        return self.cri.call("ContainerStatus", {"container_id": self.id}).status

    def ended(self, patience=PATIENCE):
        """Waits for the end; gives code and reason."""
        until(f"the end of {self.name}", lambda: self.status().state == EXITED, patience)
        return self.status().exit_code, self.status().reason

    def stop(self, timeout=10):
        self.cri.call("StopContainer", {"container_id": self.id, "timeout": timeout})

    def remove(self):
        self.cri.call("RemoveContainer", {"container_id": self.id})

    def exec(self, *command, timeout=PATIENCE - 60):
        """(exit code, output, errors)"""
        command = ["/bin/sh", "-c", *command] if len(command) == 1 else list(command)
        done = self.cri.call("ExecSync", {"container_id": self.id, "cmd": command, "timeout": timeout})
        return done.exit_code, done.stdout.decode(), done.stderr.decode()

    def says(self, script):
        code, out, err = self.exec(script)
        if code:
            raise Failed(f"{script}: exit code {code}: {err}")
        return out.strip()

    def log(self):
        """(stream, text) of the lines."""
        with open(f"{self.pod.directory}/logs/{self.name}.log") as file:
            lines = [re.fullmatch(r"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([FP]) (.*)\n", line) for line in file]
        # The last one may be half there.
        return [(line[1], line[3]) for line in lines if line]

    def pid(self):
        info = self.cri.call("ContainerStatus", {"container_id": self.id, "verbose": True}).info
        return json.loads(info["info"])["pid"]

    def working_set(self):
        return self.cri.call("ContainerStats", {"container_id": self.id}).stats.memory.working_set_bytes.value


def each(check):
    """Makes a check for each handler."""
    for handler in HANDLERS:
        globals()[f"check_{handler}_{check.__name__}"] = lambda engine, handler=handler: check(engine, handler)


@each
def life(e, handler):
    equal(e.cri.call("Version").runtime_name, "containerd")
    pod = Pod(e, handler)
    equal(pod.state(), 0)
    one = pod.create("one", "exec sleep 1000")
    equal(one.status().state, CREATED)
    one.start()
    equal(one.status().state, RUNNING)
    equal([(c.id, c.pod_sandbox_id, c.state) for c in e.cri.call("ListContainers").containers], [(one.id, pod.id, RUNNING)])
    until("the process", lambda: len(titled("sleep 1000")) == 1)
    two = pod.run("two", "exit 7")
    equal(two.ended(), (7, "Error"))
    three = pod.run("three", "exit 0")
    equal(three.ended(), (0, "Completed"))
    three.remove()
    one.stop(0)
    equal(one.ended()[0], 137)
    one.remove()
    two.remove()
    pod.stop()
    equal(pod.state(), 1)
    pod.stop()
    pod.remove()
    equal(list(e.cri.call("ListPodSandbox").items), [])


@each
def exec_sync(e, handler):
    one = Pod(e, handler).run("one", "exec sleep 1000")
    equal(one.exec("echo out; echo err >&2; exit 5"), (5, "out\n", "err\n"))
    equal(len(one.exec("seq 20000")[1].splitlines()), 20000)
    equal(one.exec("cat")[:2], (0, ""))
    try:
        one.exec("/no/such/program", "x")
        raise Failed("a missing program was run")
    except Refused as refused:
        contains(str(refused), "no such file")
    begin = time.monotonic()
    try:
        one.exec("sleep 1234", timeout=1)
        raise Failed("no timeout")
    except Refused as refused:
        contains(str(refused), "DEADLINE_EXCEEDED")
    if time.monotonic() - begin > PATIENCE:
        raise Failed("the timeout came late")
    until("the end of what was too slow", lambda: "1234" not in one.says("ps"))


@each
def exec_stream(e, handler):
    one = Pod(e, handler).run("one", "exec sleep 1000")

    def stream(*cmd, **more):
        return Stream(e.cri.call("Exec", {"container_id": one.id, "cmd": list(cmd), "stdout": True, **more}).url)
    s = stream("sh", "-c", "read x; echo got $x; echo bad >&2; exit 3", stdin=True, stderr=True)
    s.send(STDIN, b"hello\n")
    equal(s.rest(), ("got hello\n", "bad\n", 3))
    s = stream("seq", "50000")
    equal(len(s.rest()[0].splitlines()), 50000)
    s = stream("sh", stdin=True, tty=True)
    s.until(STDOUT, b"# ")
    s.send(RESIZE, json.dumps({"Width": 99, "Height": 33}).encode())
    s.send(STDIN, b"until stty size | grep '33 99'; do :; done\n")
    s.until(STDOUT, b"\n33 99")
    s.send(STDIN, b"exit 4\n")
    equal(s.rest()[2], 4)


@each
def attach(e, handler):
    pod = Pod(e, handler)
    volume = pod.volume("v")
    one = pod.run("one", "cat; echo end >/v/end; sleep 1000", stdin=True, stdin_once=True,
                  mounts=[{"container_path": "/v", "host_path": volume}])
    s = Stream(e.cri.call("Attach", {"container_id": one.id, "stdin": True, "stdout": True, "stderr": True}).url)
    s.send(STDIN, b"to and fro\n")
    s.until(STDOUT, b"to and fro\n")
    s.close()
    until("the end of the input", lambda: os.path.exists(f"{volume}/end"))
    until("the log", lambda: one.log() == [("stdout", "to and fro")])
    term = pod.run("term", "sh", "-i", stdin=True, tty=True)
    s = Stream(e.cri.call("Attach", {"container_id": term.id, "stdin": True, "stdout": True, "tty": True}).url)
    s.send(STDIN, b"echo on$((1+1))\n")
    s.until(STDOUT, b"on2")
    s.send(STDIN, b"exit 6\n")
    equal(term.ended()[0], 6)


@each
def port_forward(e, handler):
    pod = Pod(e, handler)
    pod.run("server", "while :; do echo served | nc -l -p 8080; done")
    ip = e.cri.call("PodSandboxStatus", {"pod_sandbox_id": pod.id}).status.network.ip

    def ask():
        # The pod's address, as another pod would.
        with socket.create_connection((ip, 8080), 5) as s:
            return s.recv(100)
    until("the server", lambda: attempt(ask) == b"served\n")

    def forwarded():
        s = Stream(e.cri.call("PortForward", {"pod_sandbox_id": pod.id, "port": [8080]}).url, port=8080)
        # Each of the two channels begins with the port.
        try:
            s.until(0, b"served\n", 5)
        finally:
            s.socket.close()
        equal(s.got[0], b"\x90\x1fserved\n")
        return True
    until("the forwarded port", lambda: attempt(forwarded))


def attempt(action):
    try:
        return action()
    except (OSError, Failed):
        return None


@each
def logs(e, handler):
    one = Pod(e, handler).run("one", "echo out; echo err >&2; printf part; exec sleep 1000")
    until("the lines", lambda: len(one.log()) >= 2)
    equal(sorted(one.log()[:2]), [("stderr", "err"), ("stdout", "out")])
    path = f"{one.pod.directory}/logs/one.log"
    os.rename(path, path + ".1")
    e.cri.call("ReopenContainerLog", {"container_id": one.id})
    equal(os.path.exists(path), True)
    many = one.pod.run("many", "seq 30000; sleep 1")
    equal(many.ended()[0], 0)
    until("the last line", lambda: ("stdout", "30000") in many.log())
    until("all lines", lambda: len(many.log()) >= 30000)
    equal(many.log(), [("stdout", str(n)) for n in range(1, 30001)])


@each
def grace(e, handler):
    pod = Pod(e, handler)
    polite = pod.run("polite", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    deaf = pod.run("deaf", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    until("both", lambda: polite.log() and deaf.log())
    polite.stop(100)
    equal(polite.ended()[0], 3)
    deaf.stop(1)
    equal(deaf.ended()[0], 137)


@each
def shared_namespaces(e, handler):
    pod = Pod(e, handler)
    a, b = pod.run("a", "exec sleep 1000"), pod.run("b", "nc -ll -p 7000 -e echo loopback; exec sleep 1000")
    for name in "net", "ipc", "uts":
        equal(a.says(f"readlink /proc/self/ns/{name}"), b.says(f"readlink /proc/self/ns/{name}"))
    for name in "pid", "mnt":
        equal(a.says(f"readlink /proc/self/ns/{name}") == b.says(f"readlink /proc/self/ns/{name}"), False)
    equal(a.says("hostname"), pod.name)
    equal(b.says("hostname"), pod.name)
    until("the server", lambda: a.exec("nc 127.0.0.1 7000")[1] == "loopback\n")
    a.says("ipcmk -Q")
    equal(b.says("ipcs -q | grep -c ^0x"), "1")
    a.says("echo shared >/dev/shm/file")
    equal(b.says("cat /dev/shm/file"), "shared")
    a.says("echo a >/only-a")
    equal(b.exec("cat /only-a")[0], 1)
    equal(b.says("ps | grep -c [s]leep"), "1")


@each
def shared_processes(e, handler):
    pod = Pod(e, handler, pid=POD)
    a, b = pod.run("a", "exec sleep 1001"), pod.run("b", "exec sleep 1002")
    equal(a.says("readlink /proc/self/ns/pid"), b.says("readlink /proc/self/ns/pid"))
    until("all three", lambda: len(a.says("pidof sleep").split()) == 3)
    contains(a.says("ps"), "sleep 1002", "sleep 1000000")
    contains(b.says("ps"), "sleep 1001")
    equal(a.says("cat /proc/1/cmdline | tr '\\0' ' '"), "/bin/sleep 1000000")
    b.says("kill -9 $(pidof sleep | tr ' ' '\\n' | while read p; do grep -q 1001 /proc/$p/cmdline && echo $p; done)")
    equal(a.ended()[0], 137)
    equal(b.status().state, RUNNING)


@each
def one_anew(e, handler):
    pod = Pod(e, handler)
    a, b = pod.run("a", "exec sleep 1000"), pod.run("b", "exec sleep 1000")
    for attempt in 1, 2:
        a.stop(0)
        a.remove()
        equal(b.says("echo there"), "there")
        a = pod.run("a", "exec sleep 1000", metadata={"name": "a", "attempt": attempt})
        equal(a.says("echo anew"), "anew")
    equal(b.status().state, RUNNING)


@each
def process(e, handler):
    pod = Pod(e, handler)
    user = pod.run("user", "id; pwd; echo $COLOUR; echo $HOSTNAME; grep NoNewPrivs /proc/self/status; exec sleep 1000", working_dir="/var",
                   envs=[{"key": "COLOUR", "value": "green"}],
                   security={"run_as_user": {"value": 1000}, "run_as_group": {"value": 50}, "supplemental_groups": [7], "no_new_privs": True})
    until("the lines", lambda: len(user.log()) == 5)
    equal([line for _, line in user.log()],
          ["uid=1000 gid=50(staff) groups=7,50(staff)", "/var", "green", pod.name, "NoNewPrivs:\t1"])
    equal(user.says("id -u; echo $COLOUR"), "1000\ngreen")
    name = pod.run("name", "id -u; exec sleep 1000", security={"run_as_username": "daemon"})
    until("the line", lambda: name.log() == [("stdout", "1")])
    caps = pod.run("caps", "exec sleep 1000", security={
        "capabilities": {"add_capabilities": ["SYS_ADMIN"], "drop_capabilities": ["CHOWN"]}})
    equal(caps.says("chown 1:1 /etc/group 2>/dev/null || echo refused; mount -t tmpfs x /tmp && echo mounted"), "refused\nmounted")
    equal(user.exec("chown 1:1 /etc/group")[0], 1)


@each
def files(e, handler):
    pod = Pod(e, handler)
    volume, fixed = pod.volume("shared"), pod.volume("fixed")
    shared = {"container_path": "/shared", "host_path": volume}
    a = pod.run("a", "exec sleep 1000", mounts=[shared, {"container_path": "/fixed", "host_path": fixed, "readonly": True}],
                security={"readonly_rootfs": True})
    b = pod.run("b", "exec sleep 1000", mounts=[shared])
    equal(a.exec("echo x >/file")[0], 1)
    contains(a.exec("echo x >/fixed/file")[2], "Read-only file system")
    a.says("echo from a >/shared/file")
    equal(b.says("cat /shared/file; echo more >>/shared/file"), "from a")
    equal(a.says("cat /shared/file"), "from a\nmore")
    equal(open(f"{volume}/file").read(), "from a\nmore\n")
    equal(b.says("cat /etc/hostname"), pod.name)
    hidden = pod.run("hidden", "exec sleep 1000", security={"readonly_paths": ["/proc/sys"], "masked_paths": ["/proc/meminfo", "/proc/no/such"]})
    equal(hidden.exec("echo x >/proc/sys/kernel/hostname")[0], 1)
    equal(hidden.says("cat /proc/meminfo"), "")
    contains(hidden.exec("echo x >/sys/kernel/mm")[2] + hidden.exec("mkdir /sys/x")[2], "Read-only")
    # Everything that may be asked for is the sandbox's own.
    free = Pod(e, handler, privileged=True).run("free", "exec sleep 1000", security={"privileged": True})
    contains(free.says("mount -t tmpfs x /tmp && grep ' /tmp ' /proc/mounts"), "tmpfs")
    equal(free.exec("ls /dev/mem /dev/kmsg.host /dev/sda")[0], 1)


@each
def limits(e, handler):
    pod = Pod(e, handler)
    other = pod.run("other", "exec sleep 1000")
    small = pod.run("small", "echo ready; read x; " + EAT, stdin=True, resources={"memory_limit_in_bytes": 64 << 20, "cpu_quota": 20000,
                                                                                "cpu_period": 100000})
    until("the container", lambda: small.log())
    group = group_of(small.pid())
    equal(int(open(f"{group}/memory.limit_in_bytes").read()), 64 << 20)
    # What it does is in the group, whoever started it and however often it has run other programs.
    small.says("true")
    equal(len([p for p in members(group) if p in titled("sh|/bin/sh")]) > 0, True)
    e.cri.call("UpdateContainerResources", {"container_id": small.id, "linux": {"memory_limit_in_bytes": 48 << 20}})
    equal(int(open(f"{group}/memory.limit_in_bytes").read()), 48 << 20)
    s = Stream(e.cri.call("Attach", {"container_id": small.id, "stdin": True, "stdout": True}).url)
    s.send(STDIN, b"go\n")
    equal(small.ended()[0], 137)
    # The engine hears of the two apart.
    until("the reason", lambda: small.status().reason == "OOMKilled")
    s.socket.close()
    equal(other.says("echo there"), "there")


@each
def stats(e, handler):
    pod = Pod(e, handler)
    idle = pod.run("idle", "exec sleep 1000")
    busy = pod.run("busy", "while :; do :; done")
    big = pod.run("big", "awk 'BEGIN { s = \"x\"; while (length(s) < 33554432) s = s s; print length(s); system(\"sleep 1000\") }'")
    until("the memory", lambda: big.log() == [("stdout", str(32 << 20))])
    until("stats of memory", lambda: big.working_set() > 32 << 20 > idle.working_set() > 0)
    cpu = lambda c: e.cri.call("ContainerStats", {"container_id": c.id}).stats.cpu.usage_core_nano_seconds.value
    before = cpu(idle), cpu(busy)
    until("stats of the processor", lambda: cpu(busy) - before[1] > 300_000_000)
    equal(cpu(idle) - before[0] < 100_000_000, True)
    listed = {c.metadata.name: c.state for c in e.cri.call("ListContainers").containers}
    equal(listed, {"idle": RUNNING, "busy": RUNNING, "big": RUNNING})


@each
def restart_of_containerd(e, handler):
    pod = Pod(e, handler)
    a = pod.run("a", "exec sleep 1000")
    b = pod.run("b", "while [ ! -e /go ]; do sleep 0.1; done; exit 9")
    e.daemon.kill()
    e.daemon.wait()
    e.run_daemon()
    until("the plugin", lambda: attempt(lambda: e.cri.call("Version").runtime_version))
    until("the container", lambda: attempt(lambda: a.status().state == RUNNING))
    equal(a.says("echo still"), "still")
    b.says("touch /go")
    equal(b.ended()[0], 9)
    pod.run("c", "exec sleep 1000")


@each
def end_of_the_sandbox(e, handler):
    # Its kernel is that of all.
    pod = Pod(e, handler)
    a = pod.run("a", "exec sleep 1000")
    info = json.loads(e.cri.call("PodSandboxStatus", {"pod_sandbox_id": pod.id}).info.get("info", "{}") or "{}")
    pid = info.get("pid") or sandbox_pid(e, pod)
    os.kill(pid, signal.SIGKILL)
    equal(a.ended()[0], 137)
    until("the end of the pod", lambda: pod.state() == 1)


def sandbox_pid(e, pod):
    lines = run("ctr", "task", "ls", env=e.env).splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(pod.id))


def group_of(pid, controller="memory"):
    """Directory of a process's group."""
    for line in open(f"/proc/{pid}/cgroup"):
        _, names, path = line.strip().split(":", 2)
        if controller in names.split(","):
            return f"/sys/fs/cgroup/{controller}{path}"
    return next(f"/sys/fs/cgroup{line.strip()[3:]}" for line in open(f"/proc/{pid}/cgroup") if line.startswith("0::"))
