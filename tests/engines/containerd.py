"""containerd with its runc shim, whose runtime is runsc, driven by ctr."""
import json
import os
import signal
import subprocess

from common import PATIENCE, Terminal, contains, equal, run, until


class Engine:
    level = "info"

    def __init__(self, runsc, directory, group):
        self.runsc, self.directory, self.group = runsc, directory, group
        self.env = {**os.environ, "CONTAINERD_ADDRESS": f"{directory}/c.sock", "CONTAINERD_NAMESPACE": group}
        self.daemon = None
        # What makes `ctr run` use the runtime, and where that keeps its state.
        self.root = f"{directory}/runsc"
        self.runtime = ["--runc-binary", runsc, "--runc-root", self.root]

    def start(self, tar):
        d = self.directory
        with open(f"{d}/config.toml", "w") as file:
            file.write(f'version = 2\nroot = "{d}/root"\nstate = "{d}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                       f'[grpc]\n  address = "{d}/c.sock"\n')
        self.up()
        self.ctr("images", "import", oci_image(d, tar))

    def up(self):
        log = open(f"{self.directory}/containerd.log", "a")
        command = ["containerd", "--config", f"{self.directory}/config.toml", "--log-level", self.level]
        self.daemon = subprocess.Popen(command, stdout=log, stderr=log, env=self.env)
        until("containerd", lambda: subprocess.run(["ctr", "version"], env=self.env, capture_output=True).returncode == 0)

    def down(self):
        """The way of a crash."""
        self.daemon.kill()
        self.daemon.wait()

    def ctr(self, *args, **more):
        return run("ctr", *args, env=self.env, **more)

    def run(self, *args, **more):
        """`ctr run` of the image with options, container name and command."""
        return self.ctr("run", *self.runtime, *args, **more)

    def detached(self, name, *command, options=()):
        self.run("-d", *options, "docker.io/library/bb:latest", name, *command)

    def removed(self, name):
        """What ctr says when it removes a task that has ended."""
        done = subprocess.run(["ctr", "task", "rm", name], env=self.env, capture_output=True, text=True)
        equal(done.returncode, 0)
        return done.stderr

    def status(self, name):
        lines = [line.split() for line in self.ctr("task", "ls").splitlines()]
        return next((line[2] for line in lines if line and line[0] == name), "")

    def clean(self):
        for name in self.ctr("task", "ls", "-q").split():
            self.ctr("task", "kill", "-s", "KILL", name, code=None)
            until("the stop", lambda: self.status(name) in ("STOPPED", ""))
            self.ctr("task", "rm", "-f", name, code=None)
        for name in self.ctr("containers", "ls", "-q").split():
            self.ctr("containers", "rm", name)
        equal(os.listdir(f"{self.root}/{self.group}") if os.path.exists(f"{self.root}/{self.group}") else [], [])

    def stop(self):
        if self.daemon:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.daemon.kill()


def oci_image(directory, tar, name="docker.io/library/bb:latest", command=("/bin/sh",)):
    """The tar as the one layer of an image in the form of `docker save`."""
    import hashlib
    import shutil
    place = f"{directory}/saved"
    os.makedirs(place)
    shutil.copy(tar, f"{place}/layer.tar")
    with open(tar, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
              "config": {"Env": ["PATH=/bin"], "Cmd": list(command)}}
    with open(f"{place}/config.json", "w") as file:
        json.dump(config, file)
    with open(f"{place}/manifest.json", "w") as file:
        json.dump([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}], file)
    subprocess.run(["tar", "-C", place, "-cf", f"{directory}/saved.tar", "."], check=True)
    return f"{directory}/saved.tar"


IMAGE = "docker.io/library/bb:latest"


def check_run(e):
    equal(e.run("--rm", IMAGE, "one", "echo", "hello"), "hello\n")
    e.run("--rm", IMAGE, "two", "sh", "-c", "exit 7", code=7)
    contains(e.run("--rm", IMAGE, "three", "no-such", code=1), "executable file not found")
    equal(len(e.run("--rm", IMAGE, "four", "seq", "100000").splitlines()), 100000)
    equal(e.run("--rm", "--env", "X=y", "--cwd", "/tmp", IMAGE, "five", "sh", "-c", "echo $X; pwd"), "y\n/tmp\n")


def check_task(e):
    e.detached("task", "sleep", "1000")
    equal(e.status("task"), "RUNNING")
    equal(e.ctr("task", "exec", "--exec-id", "x", "task", "echo", "inside"), "inside\n")
    e.ctr("task", "exec", "--exec-id", "y", "task", "sh", "-c", "exit 5", code=5)
    e.ctr("task", "pause", "task")
    equal(e.status("task"), "PAUSED")
    e.ctr("task", "resume", "task")
    equal(e.status("task"), "RUNNING")
    contains(e.ctr("task", "checkpoint", "task", code=1), "not supported")
    e.ctr("task", "kill", "-s", "KILL", "task")
    until("the stop", lambda: e.status("task") == "STOPPED")
    contains(e.removed("task"), "exit code 137")


def check_kill_all(e):
    e.detached("many", "sh", "-c", "sleep 1000 & sleep 1000 & wait")
    until("three", lambda: len(e.ctr("task", "ps", "many").splitlines()) == 4)
    e.ctr("task", "kill", "-a", "-s", "KILL", "many")
    until("the stop", lambda: e.status("many") == "STOPPED")


def check_processes_and_metrics(e):
    e.detached("seen", "sleep", "4321", options=["--memory-limit", str(256 << 20)])
    pids = [int(line.split()[0]) for line in e.ctr("task", "ps", "seen").splitlines()[1:]]
    titles = [open(f"/proc/{pid}/cmdline").read().strip("\0") for pid in pids]
    equal(titles, ["sleep 4321"])
    metrics = json.loads(e.ctr("task", "metrics", "--format", "json", "seen"))
    memory = metrics["memory"]
    # containerd has a form for each version of cgroups.
    usage, limit = (memory["usage"]["usage"], memory["usage"]["limit"]) if isinstance(memory["usage"], dict) else (memory["usage"], memory["usage_limit"])
    if int(usage) == 0 or int(metrics["pids"]["current"]) < 2:
        raise AssertionError(metrics)
    equal(int(limit), 256 << 20)


def check_signals(e):
    e.detached("signals", "sh", "-c", "trap 'exit 9' TERM; echo >/ready; while :; do sleep 0.1; done")
    e.ctr("task", "exec", "--exec-id", "x", "signals", "sh", "-c", "until test -e /ready; do sleep 0.1; done")
    e.ctr("task", "kill", "-s", "TERM", "signals")
    until("the stop", lambda: e.status("signals") == "STOPPED")
    contains(e.removed("signals"), "exit code 9")


def check_terminal(e):
    t = Terminal(["ctr", "run", "--rm", "-t", *e.runtime, IMAGE, "tty", "sh"], e.env)
    t.expect("# ")
    t.send("tty; echo on$((1+1))\n")
    contains(t.expect("on2"), "/dev/")
    # ctr stops to read when it hears of the end.
    t.send("exit 4\n")
    equal(t.rest()[1], 4)


def check_terminal_of_exec(e):
    e.detached("base", "sleep", "1000")
    t = Terminal(["ctr", "task", "exec", "-t", "--exec-id", "tty", "base", "sh"], e.env)
    t.expect("# ")
    t.send("sh -c 'echo re''ady; exec cat'\n")
    t.expect("ready")
    t.send("word\n")
    t.expect("word\r+\nword\r")
    t.send("\x03")
    t.expect("# ")
    t.send("seq 50000; exit 6\n")
    text, code = t.rest()
    equal((code, text.count("\n50000\r")), (6, 1))


def check_mounts(e):
    os.makedirs(f"{e.directory}/bind", exist_ok=True)
    e.run("--rm", "--mount", f"type=bind,src={e.directory}/bind,dst=/b,options=rbind:rw", IMAGE, "bind", "sh", "-c", "echo 1 >/b/x")
    equal(open(f"{e.directory}/bind/x").read(), "1\n")
    e.run("--rm", "--read-only", IMAGE, "ro", "sh", "-c", "echo x >/x", code=1)


def check_restart_of_containerd(e):
    e.detached("stays", "sleep", "1000")
    e.down()
    e.up()
    until("the task", lambda: e.status("stays") == "RUNNING")
    equal(e.ctr("task", "exec", "--exec-id", "x", "stays", "echo", "still"), "still\n")
