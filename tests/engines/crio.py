"""Debian's conmon with runsc, called as CRI-O calls both: its command lines, annotations and pinned namespaces. A check is made once for
a pod with a pause container and once for one without, CRI-O's default, where the pod is an id that its containers name."""
import json
import os
import re
import shutil
import socket
import subprocess
import time

from common import Failed, Terminal, contains, equal, processes, run, until

CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
                "CAP_NET_BIND_SERVICE", "CAP_KILL"]
EAT = """awk 'BEGIN { s = "x"; while (1) s = s s }'"""


class Engine:
    def __init__(self, runsc, directory, group):
        self.runsc, self.directory, self.group = runsc, directory, group
        self.root, self.runtime = f"{directory}/runsc", f"{directory}/runsc-net"
        self.env = {"PATH": os.environ["PATH"], "CRI_O_EXTERNAL": "1"}
        self.pods = []
        self.count = 0

    def start(self, tar):
        # Debian's runc can take its place, to see what a check is worth.
        flags = "--network=host" if "runsc" in os.path.basename(self.runsc) else ""
        with open(self.runtime, "w") as file:
            file.write(f'#!/bin/sh\nexec {self.runsc} {flags} "$@"\n')
        os.chmod(self.runtime, 0o755)
        for name in "exits", "attach", "tmp":
            os.mkdir(f"{self.directory}/{name}")

    def call(self, *args, **more):
        return run(self.runtime, "--root", self.root, *args, env=self.env, **more)

    def conmon(self, directory, *args):
        """Runs it as CRI-O does; gives what it tells over the pipe, and its exit code."""
        told, tell = os.pipe()
        wait, go = os.pipe()
        env = {**self.env, "_OCI_SYNCPIPE": str(tell), "_OCI_STARTPIPE": str(wait)}
        monitor = subprocess.Popen(["conmon", *args], env=env, cwd=directory, pass_fds=(tell, wait), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=open(f"{self.directory}/conmon.log", "a"))
        os.close(tell)
        os.close(wait)
        os.write(go, b"\0")
        os.close(go)
        code = monitor.wait(120)
        with os.fdopen(told) as file:
            line = file.readline()
        return (json.loads(line) if line else None), code

    def clean(self):
        for pod in self.pods:
            pod.remove()
        self.pods.clear()
        until("the monitors' end", lambda: not monitors(self.directory))
        equal(os.listdir(self.root) if os.path.exists(self.root) else [], [])

    def stop(self):
        for pod in self.pods:
            pod.remove(code=None)


def monitors(directory):
    return [pid for pid, _, line in processes() if "conmon\0" in line and directory in line]


class Pod:
    def __init__(self, engine, pause, shared_processes=False):
        engine.count += 1
        self.engine, self.name = engine, f"pod{engine.count}"
        self.id, self.directory = f"{self.name}{'0' * 50}", f"{engine.directory}/{self.name}"
        self.shared_processes = shared_processes
        os.makedirs(f"{self.directory}/shm")
        self.containers = []
        # What pinns does.
        kinds = "net", "ipc", "uts"
        for kind in kinds:
            open(f"{self.directory}/{kind}ns", "w").close()
        run("unshare", *[f"--{kind}={self.directory}/{kind}ns" for kind in kinds], "ip", "link", "set", "lo", "up")
        engine.pods.append(self)
        self.pause = Container(self, "POD", ["/bin/sleep", "1000000"], kind="sandbox") if pause else None
        if pause:
            self.pause.create()
            self.pause.start()

    def run(self, name, *command, **more):
        container = Container(self, name, command, **more)
        container.create()
        container.start()
        return container

    def remove(self, code=0):
        for container in reversed(self.containers):
            self.engine.call("delete", "--force", container.id, code=code)
        for kind in "net", "ipc", "uts":
            subprocess.run(["umount", f"{self.directory}/{kind}ns"], check=code == 0)


class Container:
    """A single word of a command is a script."""

    def __init__(self, pod, name, command, kind="container", stdin=False, tty=False, resources=None):
        engine = pod.engine
        self.pod, self.engine, self.name, self.stdin, self.tty = pod, engine, f"k8s_{name}_{pod.name}_default_uid_0", stdin, tty
        self.id = pod.id if kind == "sandbox" else f"{pod.name}{name}".ljust(56, "0")
        self.bundle, self.log_path = f"{pod.directory}/{self.id}", f"{pod.directory}/{name}.log"
        os.mkdir(self.bundle)
        rootfs = shutil.copytree(f"{engine.directory}/image", f"{self.bundle}/rootfs", symlinks=True)
        command = ["/bin/sh", "-c", *command] if len(command) == 1 else list(command)
        caps = {which: CAPABILITIES for which in ("bounding", "effective", "permitted")}
        self.process = {"user": {"uid": 0, "gid": 0}, "args": command, "cwd": "/", "capabilities": caps, "terminal": tty,
                        "env": ["PATH=/bin", "TERM=xterm", f"HOSTNAME={pod.name}"]}
        fixed = ["nosuid", "noexec", "nodev"]
        namespaces = [{"type": "pid"}, {"type": "mount"}]
        namespaces += [{"type": kind, "path": f"{pod.directory}/{file}ns"} for kind, file in
                       (("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]
        if pod.shared_processes and kind == "container":
            namespaces[0]["path"] = f"/proc/{pod.pause.pid}/ns/pid"
        spec = {
            "ociVersion": "1.2.0", "process": self.process, "root": {"path": rootfs, "readonly": kind == "sandbox"}, "hostname": pod.name,
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": fixed},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": fixed},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*fixed, "ro"]},
                {"destination": "/dev/shm", "type": "bind", "source": f"{pod.directory}/shm", "options": ["rw", "bind"]}],
            "annotations": {"io.container.manager": "cri-o", "io.kubernetes.cri-o.ContainerType": kind,
                            "io.kubernetes.cri-o.SandboxID": pod.id, "io.kubernetes.cri-o.ContainerID": self.id},
            "linux": {"resources": {"devices": [{"allow": False, "access": "rwm"}], **(resources or {})}, "namespaces": namespaces,
                      "cgroupsPath": f"/{engine.group}/crio-{self.id}"}}
        with open(f"{self.bundle}/config.json", "w") as file:
            json.dump(spec, file)
        pod.containers.append(self)

    def create(self):
        e = self.engine
        how = ["-t"] if self.tty else ["-i"] if self.stdin else []
        told, code = e.conmon(
            self.bundle, "-b", self.bundle, "-c", self.id, "--exit-dir", f"{e.directory}/exits", "-l", self.log_path, "--log-level", "info", "-n", self.name,
            "-P", f"{self.bundle}/conmon-pidfile", "-p", f"{self.bundle}/pidfile", "--persist-dir", self.bundle, "-r", e.runtime,
            "--runtime-arg", f"--root={e.root}", "--socket-dir-path", f"{e.directory}/attach", "--syslog", "-u", self.id, *how)
        if told is None or told["pid"] <= 0:
            raise Failed(f"create: {told}, exit code {code}")
        self.pid = told["pid"]
        equal(open(f"{self.bundle}/pidfile").read(), str(self.pid))

    def start(self):
        self.engine.call("start", self.id)

    def state(self):
        return json.loads(self.engine.call("state", self.id))

    def kill(self, signal, *flags):
        self.engine.call("kill", *flags, self.id, signal)

    def delete(self):
        self.engine.call("delete", "--force", self.id)
        self.pod.containers.remove(self)

    def ended(self):
        """Waits for the exit code in the file that CRI-O watches."""
        path = f"{self.engine.directory}/exits/{self.id}"
        until(f"the end of {self.name}", lambda: os.path.exists(path) and open(path).read(), 60)
        until("the state", lambda: self.state()["status"] == "stopped")
        return int(open(path).read())

    def process_file(self, command, tty):
        path = f"{self.engine.directory}/tmp/exec-process-{time.monotonic_ns()}"
        with open(path, "w") as file:
            json.dump({**self.process, "args": list(command), "terminal": tty}, file)
        return path

    def exec_sync(self, *command, timeout=0):
        """What conmon tells, output and errors."""
        e = self.engine
        command = ["/bin/sh", "-c", *command] if len(command) == 1 else command
        spec = self.process_file(command, False)
        limit = ["-T", str(timeout)] if timeout else []
        told, _ = e.conmon(
            f"{e.directory}/tmp", "-c", self.id, "-n", self.name, "-r", e.runtime, "-p", f"{spec}.pid", "-e", "-l", f"{spec}.log", "--socket-dir-path",
            f"{e.directory}/attach", "--log-level", "info", "--sync", "--log-global-size-max", str(16 << 20), *limit,
            "--exec-process-spec", spec, "--runtime-arg", f"--root={e.root}")
        return told, text_of(f"{spec}.log", "stdout"), text_of(f"{spec}.log", "stderr")

    def says(self, script):
        told, out, err = self.exec_sync(script)
        if told is None or told["exit_code"]:
            raise Failed(f"{script}: {told}: {err}")
        return out.strip()

    def ctl(self, line):
        with open(f"{self.bundle}/ctl", "w") as file:
            file.write(line)

    def attach(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(60)
        s.connect(f"{self.engine.directory}/attach/{self.id}/attach")
        return s

    def log(self):
        return text_of(self.log_path, "stdout")


def text_of(path, stream):
    """A stream's text in a log; an end of line after `P` is the log's own."""
    text = ""
    for line in open(path, newline="\n") if os.path.exists(path) else []:
        found = re.fullmatch(r"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([FP]) (.*?)(\n?)", line, re.S)
        if found and found[1] == stream:
            text += found[3] + (found[4] if found[2] == "F" else "")
    return text


def received(connection, word):
    """Reads packets up to this word; the first byte of each is its stream."""
    got = b""
    while word not in got:
        packet = connection.recv(1 << 16)
        if not packet:
            raise Failed(f"no {word!r} in {got!r}")
        got += packet[1:]
    return got


def each(check):
    """Makes a check for each kind of pod."""
    for kind, pause in ("pause", True), ("bare", False):
        globals()[f"check_{kind}_{check.__name__}"] = lambda engine, pause=pause: check(engine, pause)


@each
def life(e, pause):
    pod = Pod(e, pause)
    one = Container(pod, "one", ["trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"])
    one.create()
    state = one.state()
    equal((state["status"], state["pid"], state["bundle"]), ("created", one.pid, one.bundle))
    one.start()
    two = pod.run("two", "exec sleep 1000")
    until("the first words", lambda: one.log() == "ready\n")
    one.kill("15")
    equal(one.ended(), 3)
    contains(e.call("kill", one.id, "15", code=1), "container not running")
    equal(two.says("echo there"), "there")
    one.delete()
    e.call("delete", "--force", one.id)
    contains(e.call("state", one.id, code=1), "does not exist")
    # Anew, beside the one that has stayed.
    three = pod.run("three", "exit 7")
    equal(three.ended(), 7)
    two.kill("KILL")
    equal(two.ended(), 137)


@each
def namespaces(e, pause):
    pod = Pod(e, pause)
    a, b = pod.run("a", "exec sleep 1000"), pod.run("b", "nc -ll -p 7000 -e echo loopback; exec sleep 1000")
    for kind in "net", "ipc", "uts":
        equal(a.says(f"readlink /proc/self/ns/{kind}"), b.says(f"readlink /proc/self/ns/{kind}"))
    equal(a.says("readlink /proc/self/ns/pid") == b.says("readlink /proc/self/ns/pid"), False)
    equal([c.says("uname -n") for c in (a, b)], [pod.name] * 2)
    until("the server", lambda: a.exec_sync("nc 127.0.0.1 7000")[1] == "loopback\n", 60)
    a.says("ipcmk -Q")
    equal(b.says("ipcs -q | grep -c ^0x"), "1")
    a.says("echo shared >/dev/shm/file")
    equal(b.says("cat /dev/shm/file"), "shared")
    # The engine finds the pod's network by the pid that it was given.
    equal(os.stat(f"/proc/{a.pid}/ns/net").st_ino, os.stat(f"{pod.directory}/netns").st_ino)


def check_shared_processes(e):
    pod = Pod(e, True, shared_processes=True)
    a, b = pod.run("a", "exec sleep 1001"), pod.run("b", "exec sleep 1002")
    contains(a.says("ps"), "sleep 1000000", "sleep 1002")
    a.kill("9", "-a")
    equal(a.ended(), 137)
    equal(b.state()["status"], "running")


@each
def exec_sync(e, pause):
    one = Pod(e, pause).run("one", "exec sleep 1000")
    told, out, err = one.exec_sync("echo out; echo err >&2; exit 5")
    equal((told["exit_code"], out, err), (5, "out\n", "err\n"))
    equal(one.exec_sync("seq 20000")[1], "".join(f"{n}\n" for n in range(1, 20001)))
    equal(one.exec_sync("cat")[0]["exit_code"], 0)
    told = one.exec_sync("/no/such/program", "x")[0]
    equal(told["exit_code"], -1)
    contains(told["message"], "no such file or directory")
    told = one.exec_sync("sleep 1234", timeout=1)[0]
    equal((told["exit_code"], told["message"]), (-1, "command timed out"))
    until("the end of what was too slow", lambda: "1234" not in one.says("ps"))


@each
def exec_stream(e, pause):
    one = Pod(e, pause).run("one", "exec sleep 1000")
    spec = one.process_file(["/bin/sh", "-c", "read x; echo got $x; exit 3"], False)
    contains(e.call("exec", "--process", spec, one.id, input="hello\n", code=3), "got hello\n")
    spec = one.process_file(["/bin/sh", "-i"], True)
    t = Terminal([e.runtime, "--root", e.root, "exec", "--process", spec, one.id], e.env)
    t.expect("# ", 60)
    t.send("test -t 0 && echo on$((1+1)); exit 4\n")
    t.expect("on2", 60)
    equal(t.rest()[1], 4)


@each
def attach(e, pause):
    pod = Pod(e, pause)
    one = pod.run("one", "cat; echo end; exec sleep 1000", stdin=True)
    s = one.attach()
    s.send(b"to and fro\n")
    received(s, b"to and fro\n")
    s.close()
    until("the end of the input", lambda: one.log() == "to and fro\nend\n", 60)
    term = pod.run("term", "/bin/sh", "-i", tty=True)
    s = term.attach()
    s.send(b"echo on$((1+1))\n")
    received(s, b"on2")
    term.ctl("1 33 99\n")
    s.send(b"until stty size | grep '33 99'; do :; done; exit 6\n")
    received(s, b"\n33 99")
    s.close()
    equal(term.ended(), 6)


@each
def logs(e, pause):
    pod = Pod(e, pause)
    one = pod.run("one", "read x; echo new; exec sleep 1000", stdin=True)
    os.rename(one.log_path, one.log_path + ".1")
    one.ctl("2 0 0\n")
    until("the new log", lambda: os.path.exists(one.log_path))
    s = one.attach()
    s.send(b"go\n")
    until("its line", lambda: one.log() == "new\n")
    s.close()
    many = pod.run("many", "seq 30000")
    equal(many.ended(), 0)
    equal(many.log(), "".join(f"{n}\n" for n in range(1, 30001)))


@each
def limits(e, pause):
    pod = Pod(e, pause)
    other = pod.run("other", "exec sleep 1000")
    small = pod.run("small", "read x; " + EAT, stdin=True, resources={"memory": {"limit": 64 << 20}})
    line = next(line.strip() for line in open(f"/proc/{small.pid}/cgroup") if ":memory:" in line or line.startswith("0::"))
    unified = line.startswith("0::")
    group = f"/sys/fs/cgroup{'' if unified else '/memory'}{line.split(':', 2)[2]}"
    contains(group, small.id)
    limit = lambda: int(open(f"{group}/memory.{'max' if unified else 'limit_in_bytes'}").read())
    equal(limit(), 64 << 20)
    e.call("update", "--resources", "-", small.id, input=json.dumps({"memory": {"limit": 48 << 20}}))
    equal(limit(), 48 << 20)
    s = small.attach()
    s.send(b"go\n")
    equal(small.ended(), 137)
    s.close()
    until("word of the memory", lambda: os.path.exists(f"{small.bundle}/oom"))
    equal(other.says("echo there"), "there")


@each
def pause_and_resume(e, pause):
    pod = Pod(e, pause)
    one, two = pod.run("one", "while :; do echo x; sleep 0.05; done"), pod.run("two", "exec sleep 1000")
    until("some lines", lambda: one.log())
    e.call("pause", one.id)
    equal(one.state()["status"], "paused")
    equal(two.says("echo there"), "there")
    e.call("resume", one.id)
    equal(one.state()["status"], "running")
    before = len(one.log())
    until("more lines", lambda: len(one.log()) > before)


@each
def refusals(e, pause):
    pod = Pod(e, pause)
    wrong = Container(pod, "wrong", ["/no/such/program", "x"])
    try:
        wrong.create()
        raise AssertionError("a missing program was run")
    except Failed as failed:
        contains(str(failed), "/no/such/program")
    # CRI-O deletes what it could not create.
    wrong.delete()
    equal(pod.run("right", "exit 0").ended(), 0)


def check_bare_killed(e):
    # Whoever makes the pod's sandbox may die at any moment of it; the others, and what comes after, find a way.
    for n in range(8):
        pod = Pod(e, False)
        dies, stays = Container(pod, "dies", ["exec sleep 1000"]), Container(pod, "stays", ["exec sleep 1000"])
        making = [subprocess.Popen([e.runtime, "--root", e.root, "create", "--bundle", c.bundle, c.id], env=e.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in (dies, stays)]
        time.sleep(0.015 * n)
        making[0].kill()
        equal([m.wait() for m in making][1], 0)
        stays.start()
        equal(e.call("exec", stays.id, "/bin/echo", "there"), "there\n")
        dies.delete()
        stays.delete()
