"""containerd with containerd-shim-runsc-v1, driven by ctr: what is checked with the runc shim, and what only this one does."""
import fcntl
import glob
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import termios
import time
from concurrent.futures import ThreadPoolExecutor

import containerd
from common import PATIENCE, Failed, Terminal, contains, equal, processes, run, until
from containerd import IMAGE
from ttrpc import Refused, Shim

globals().update({name: check for name, check in vars(containerd).items() if name.startswith("check_")})


class Engine(containerd.Engine):
    # Where containerd 1.7 tells of events.
    level = "trace"

    def __init__(self, runsc, directory, group):
        super().__init__(runsc, directory, group)
        os.makedirs(f"{directory}/bin")
        shutil.copy(os.path.join(os.path.dirname(os.path.realpath(runsc)), "containerd-shim-runsc-v1"), f"{directory}/bin")
        os.symlink(runsc, f"{directory}/bin/runsc")
        self.env["PATH"] = f"{directory}/bin:{os.environ['PATH']}"
        self.root = "/run/containerd/runsc"
        self.runtime = ["--runtime", "io.containerd.runsc.v1"]

    def forwarded(self, topic):
        """Events of shims that containerd wrote down."""
        with open(f"{self.directory}/containerd.log") as file:
            return [line for line in file if "event forwarded" in line and f"topic={topic} " in line]

    def clean(self):
        super().clean()
        until("the end of the shims", lambda: not self.shims() and not os.listdir("/run/containerd/s"))
        equal([line for line in open("/proc/self/mounts") if f"{self.directory}/state" in line], [])
        equal(glob.glob(f"{self.directory}/state/io.containerd.runtime.v2.task/*/*"), [])

    def bundle(self, name):
        return f"{self.directory}/state/io.containerd.runtime.v2.task/{self.group}/{name}"

    def shim(self, name):
        return Shim(self.bundle(name))

    def shims(self):
        """Pids."""
        program = f"{self.directory}/bin/containerd-shim-runsc-v1\0"
        return [pid for pid, _, line in processes() if line.startswith(program)]


class Events:
    """What `ctr events` prints from now on, for the length of a `with`."""

    def __init__(self, e):
        self.file = open(f"{e.directory}/events.log", "w+")
        self.process = subprocess.Popen(["ctr", "events"], env=e.env, stdout=self.file)
        # It says nothing when it begins to listen.
        labels = itertools.count()
        until("an event", lambda: e.ctr("namespaces", "label", e.group, f"probe={next(labels)}") or self.seen())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.file.close()

    def seen(self):
        """(topic, event) in order."""
        with open(self.file.name) as file:
            lines = [line.split(" ", 6) for line in file.read().splitlines()]
        return [(line[5], json.loads(line[6])) for line in lines if len(line) == 7]

    def topics(self):
        return [topic for topic, _ in self.seen() if topic.startswith("/tasks/")]


def check_events(e):
    with Events(e) as events:
        e.detached("told", "sleep", "1000")
        e.ctr("task", "exec", "--exec-id", "x", "told", "sh", "-c", "exit 3", code=3)
        e.ctr("task", "pause", "told")
        e.ctr("task", "resume", "told")
        e.ctr("task", "kill", "-s", "KILL", "told")
        until("the stop", lambda: e.status("told") == "STOPPED")
        e.ctr("task", "rm", "told", code=None)
        until("the last event", lambda: "/tasks/delete" in events.topics())
        want = ["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "exit", "delete"]
        equal(events.topics(), [f"/tasks/{topic}" for topic in want])
        exits = [(event["id"], event["exit_status"]) for topic, event in events.seen() if topic == "/tasks/exit"]
        equal(exits, [("x", 3), ("told", 137)])


def check_memory_runs_out(e):
    with Events(e) as events:
        e.detached("greedy", "sh", "-c", "sleep 1; dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 1000",
                   options=["--memory-limit", str(64 << 20)])
        until("the event", lambda: ("/tasks/oom", {"container_id": "greedy"}) in events.seen())


def check_update(e):
    e.detached("grown", "sleep", "1000", options=["--memory-limit", str(256 << 20)])
    e.shim("grown").update("grown", {"memory": {"limit": 300 << 20}, "pids": {"limit": 50}})
    metrics = json.loads(e.ctr("task", "metrics", "--format", "json", "grown"))
    equal(int(metrics["memory"]["usage"]["limit"]), 300 << 20)
    try:
        e.shim("grown").update("grown", {"memory": {"limit": "much"}})
    except Refused as refused:
        contains(str(refused), "limit")
    else:
        raise Failed("a wrong limit was taken")


def check_metrics_count(e):
    e.detached("busy", "sh", "-c", "while :; do :; done")
    def used():
        metrics = json.loads(e.ctr("task", "metrics", "--format", "json", "busy"))
        return int(metrics["cpu"]["usage"]["total"]), int(metrics["memory"]["usage"]["usage"])
    before = used()
    until("half a second of the processor", lambda: used()[0] > before[0] + 500_000_000)
    if not 1 << 20 < before[1] < 1 << 30:
        raise Failed(f"{before[1]} bytes")


def check_processes_of_exec(e):
    e.detached("listed", "sleep", "1000")
    e.ctr("task", "exec", "-d", "--exec-id", "second", "listed", "sleep", "2000")
    pids = [int(line.split()[0]) for line in e.ctr("task", "ps", "listed").splitlines()[1:]]
    equal(sorted(open(f"/proc/{pid}/cmdline").read() for pid in pids), ["sleep 1000\0", "sleep 2000\0"])
    e.ctr("task", "kill", "--exec-id", "second", "listed")
    equal(e.shim("listed").wait("listed", "second"), 143)
    until("one", lambda: len(e.ctr("task", "ps", "listed").splitlines()) == 2)
    equal(e.status("listed"), "RUNNING")


def check_resize(e):
    t = Terminal(["ctr", "run", "--rm", "-t", *e.runtime, IMAGE, "sized", "sh"], e.env)
    t.expect("# ")
    for rows, columns in (30, 91), (41, 117):
        fcntl.ioctl(t.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        def size():
            # ctr asks for the size, and only then listens for changes of it: one in between is lost.
            os.kill(t.pid, signal.SIGWINCH)
            # Until ctr has given the terminal a size, stty has none to tell and says so.
            t.send("stty size\n")
            return f"{rows} {columns}" in t.expect("[0-9]+ [0-9]+\r|stty: ")
        until("the size", size)
    t.send("exit\n")
    equal(t.rest()[1], 0)


def fifo(e, name):
    path = f"{e.directory}/{name}.fifo"
    if os.path.exists(path):
        os.unlink(path)
    os.mkfifo(path)
    return path


def check_end_of_input(e):
    e.detached("reads", "sleep", "1000")
    shim = e.shim("reads")
    for terminal in False, True:
        stdin, stdout = fifo(e, "in"), fifo(e, "out")
        shim.exec("reads", "cat", ["sh", "-c", "cat; echo end"], terminal, stdin, stdout)
        reader = os.open(stdout, os.O_RDONLY)
        with open(stdin, "w") as file:
            file.write("words\n")
        # The fifo's writer has gone, as an engine that is restarted does; the end is only what containerd says.
        text = ""
        while "words\n" not in text.replace("\r", ""):
            text += os.read(reader, 100).decode()
        equal(shim.call("State", {1: "reads", 2: "cat"})[4], 2)
        shim.close_stdin("reads", "cat")
        try:
            equal(shim.wait("reads", "cat"), 0)
        except OSError as e:
            raise Failed(f"no end with terminal {terminal}: {text!r} {e}")
        while True:
            data = os.read(reader, 100)
            if not data:
                break
            text += data.decode()
        contains(text, "end")
        os.close(reader)
        shim.delete("reads", "cat")


def check_logs(e):
    e.run("-d", "--log-uri", f"file://{e.directory}/plain.log", IMAGE, "plain", "sh", "-c", "echo out; echo err >&2")
    until("the stop", lambda: e.status("plain") == "STOPPED")
    equal(sorted(open(f"{e.directory}/plain.log").read().split()), ["err", "out"])
    logger = f"{e.directory}/logger"
    with open(logger, "w") as file:
        file.write(f'#!/bin/sh\nexec >{e.directory}/logged.tmp\necho "$CONTAINER_ID $CONTAINER_NAMESPACE $*"\n'
                   f'exec 5>&-\nsed "s/^/out: /" <&3\nsed "s/^/err: /" <&4\nmv {e.directory}/logged.tmp {e.directory}/logged\n')
    os.chmod(logger, 0o755)
    e.run("-d", "--log-uri", f"binary://{logger}?key=value%20two", IMAGE, "logged", "sh", "-c", "seq 20000; echo bad >&2")
    until("the log", lambda: os.path.exists(f"{e.directory}/logged"))
    lines = open(f"{e.directory}/logged").read().splitlines()
    equal((lines[0], lines[1], lines[20000], lines[20001:]),
          (f"logged {e.group} key value two", "out: 1", "out: 20000", ["err: bad"]))
    contains(e.run("-d", "--log-uri", f"binary://{e.directory}/none", IMAGE, "bad", "true", code=1), f"logger {e.directory}/none")
    e.ctr("containers", "rm", "bad")
    contains(e.run("-d", "--log-uri", "other:///x", IMAGE, "bad", "true", code=1), "other")
    e.ctr("containers", "rm", "bad", code=None)


def check_no_output_is_lost(e):
    for n in range(10):
        equal(e.run("--rm", IMAGE, f"much{n}", "seq", "200000").count("\n"), 200000)
    e.detached("base", "sleep", "1000")
    # ctr stops to read when it hears of the end: it hears after it has read.
    for n in range(20):
        t = Terminal(["ctr", "run", "--rm", "-t", *e.runtime, IMAGE, f"tty{n}", "sh"], e.env)
        t.expect("# ")
        t.send("tty; echo on$((1+1)); exit 4\n")
        text, code = t.rest()
        contains(text, "/dev/", "on2")
        equal(code, 4)
    # Nobody reads yet when the process ends.
    stdout = fifo(e, "late")
    shim = e.shim("base")
    shim.exec("base", "late", ["seq", "5000"], stdout=stdout)
    equal(shim.wait("base", "late"), 0)
    equal(open(stdout).read().count("\n"), 5000)
    shim.delete("base", "late")


def check_end_while_containerd_is_away(e):
    release = f"{e.directory}/release"
    os.makedirs(release, exist_ok=True)
    e.detached("ends", "sh", "-c", "while [ ! -e /r/go ]; do sleep 0.1; done; exit 42",
               options=["--mount", f"type=bind,src={release},dst=/r,options=rbind:ro"])
    e.detached("other", "sleep", "1000")
    shim = e.shim("ends")
    e.down()
    open(f"{release}/go", "w").close()
    equal(shim.wait("ends"), 42)
    told = len(e.forwarded("/tasks/exit"))
    e.up()
    until("the event", lambda: len(e.forwarded("/tasks/exit")) > told)
    equal((e.status("ends"), e.status("other")), ("STOPPED", "RUNNING"))
    contains(e.removed("ends"), "exit code 42")


def check_killed_shim(e):
    e.detached("orphan", "sleep", "1000")
    pids = [int(line.split()[0]) for line in e.ctr("task", "ps", "orphan").splitlines()[1:]]
    for pid in e.shims():
        os.kill(pid, signal.SIGKILL)
    until("the end of its processes", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    until("the end of the task", lambda: e.status("orphan") in ("", "STOPPED"))
    until("the end of the state", lambda: not os.path.exists(f"{e.root}/{e.group}/orphan"))
    # The name is free again.
    e.ctr("containers", "rm", "orphan")
    equal(e.run("--rm", IMAGE, "orphan", "echo", "again"), "again\n")


def check_options(e):
    config = f"{e.directory}/runsc.toml"
    with open(config, "w") as file:
        file.write(f'binary_name = "{e.runsc}"\nroot = "{e.directory}/other"\n[runsc_config]\nnetwork = "host"\n'
                   f'strace = "true"\ndebug-log = "{e.directory}/debug.log"\n')
    e.run("-d", "--runtime-config-path", config, IMAGE, "optional", "sleep", "1000")
    equal(os.path.exists(f"{e.directory}/other/{e.group}/optional"), True)
    until("the trace", lambda: os.path.getsize(f"{e.directory}/debug.log") > 0)
    e.ctr("task", "kill", "-s", "KILL", "optional")
    until("the stop", lambda: e.status("optional") == "STOPPED")
    e.ctr("task", "rm", "optional", code=None)
    equal(os.listdir(f"{e.directory}/other/{e.group}"), [])
    with open(config, "w") as file:
        file.write("root = 5\n")
    contains(e.run("-d", "--runtime-config-path", config, IMAGE, "wrong", "true", code=1), config, "root: not a string")
    e.ctr("containers", "rm", "wrong")
    contains(e.run("-d", "--runtime-config-path", "/none", IMAGE, "wrong", "true", code=1), "/none")
    e.ctr("containers", "rm", "wrong", code=None)


def check_pod(e):
    def member(kind):
        return ["--annotation", f"io.kubernetes.cri.container-type={kind}", "--annotation", "io.kubernetes.cri.sandbox-id=pod"]
    e.detached("pod", "sleep", "1000", options=member("sandbox"))
    e.detached("first", "sh", "-c", "trap 'exit 8' TERM; echo >/ready; while :; do sleep 0.1; done", options=member("container"))
    e.detached("second", "sleep", "1000", options=member("container"))
    equal(len(e.shims()), 1)
    equal(sorted(line.split()[0] for line in e.ctr("task", "ls").splitlines()[1:]), ["first", "pod", "second"])
    e.ctr("task", "exec", "--exec-id", "x", "first", "sh", "-c", "until test -e /ready; do sleep 0.1; done")
    e.ctr("task", "kill", "first")
    until("the stop", lambda: e.status("first") == "STOPPED")
    contains(e.removed("first"), "exit code 8")
    e.ctr("containers", "rm", "first")
    e.detached("first", "sleep", "1000", options=member("container"))
    equal((e.status("pod"), e.status("first"), e.status("second"), len(e.shims())), ("RUNNING", "RUNNING", "RUNNING", 1))
    # All of a pod goes with its shim.
    os.kill(e.shims()[0], signal.SIGKILL)
    until("the end", lambda: {e.status(name) for name in ("pod", "first", "second")} <= {"", "STOPPED"})
    until("the end of the state", lambda: not os.listdir(f"{e.root}/{e.group}"))


def check_many_at_once(e):
    names = [f"many{n}" for n in range(12)]
    command = ["ctr", "run", "--rm", *e.runtime, IMAGE]
    processes = [subprocess.Popen([*command, name, "sh", "-c", f"seq 3000; exit {n}"], env=e.env, stdout=subprocess.PIPE)
                 for n, name in enumerate(names)]
    for n, process in enumerate(processes):
        out = process.communicate(timeout=PATIENCE)[0]
        equal((process.returncode, out.count(b"\n")), (n, 3000))


def check_unclear_calls(e):
    e.detached("plain", "sleep", "1000")
    shim = e.shim("plain")
    for method, request, words in [
            ("State", {1: "none"}, "none"), ("Start", {1: "plain", 2: "none"}, "none"), ("Delete", {1: "plain"}, "not stopped"),
            ("Start", {1: "plain"}, "started already"), ("Exec", {1: "plain", 2: "../x"}, "../x"),
            ("Checkpoint", {1: "plain", 2: "/x"}, "not supported"), ("Kill", {1: "plain", 3: 99}, "99"),
            ("Create", {1: "plain", 2: "/none"}, "plain exists"), ("Create", {1: "new", 2: "/none"}, "/none")]:
        try:
            shim.call(method, request)
        except Refused as refused:
            contains(str(refused), words)
        else:
            raise Failed(f"{method} {request} was taken")
    # Whoever waits for a process of exec that cannot start hears so; the shim does not stay for it.
    shim.call("Exec", {1: "plain", 2: "bad", 7: {1: "process", 2: json.dumps({"cwd": "/", "args": ["no-such"]})}})
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(shim.wait, "plain", "bad")
        try:
            shim.call("Start", {1: "plain", 2: "bad"})
        except Refused as refused:
            contains(str(refused), "no-such")
        equal(waiting.result(PATIENCE), 255)
    shim.delete("plain", "bad")
    # One that still serves a container does not go.
    shim.call("Shutdown", {1: "plain", 2: 1})
    equal(e.ctr("task", "exec", "--exec-id", "x", "plain", "echo", "still"), "still\n")


def check_install(e):
    """What `runsc install` writes is what containerd reads."""
    config = f"{e.directory}/installed/config.toml"
    run(f"{e.directory}/bin/runsc", "--network=host", "install", "--engine", "containerd", "--config-file", config, env=e.env)
    text = run("containerd", "--config", config, "config", "dump")
    entry = text[text.index("containerd.runtimes.runsc]"):]
    contains(entry[:1000], 'runtime_type = "io.containerd.runsc.v1"', f'ConfigPath = "{e.directory}/installed/runsc.toml"')
    e.run("--rm", "--runtime-config-path", f"{e.directory}/installed/runsc.toml", IMAGE, "installed", "true")
