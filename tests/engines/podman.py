"""podman and conmon with runsc as their runtime."""
import json
import os
import subprocess

from common import Terminal, contains, equal, run, until


class Engine:
    def __init__(self, runsc, directory, group):
        self.runsc, self.directory, self.group = runsc, directory, group
        self.env = {**os.environ, "CONTAINERS_CONF": f"{directory}/containers.conf", "HOME": directory,
                    "CONTAINERS_STORAGE_CONF": f"{directory}/storage.conf", "XDG_RUNTIME_DIR": ""}

    def start(self, tar):
        d = self.directory
        # Without CAP_SYS_RESOURCE a limit may not be raised, so podman's default would be refused by every runtime.
        with open(f"{d}/containers.conf", "w") as file:
            file.write(f'[containers]\ndefault_ulimits = ["nofile=1024:1024"]\nlog_driver = "k8s-file"\nnetns = "none"\n'
                       f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runsc"\n'
                       f'runtime_supports_json = ["runsc"]\n[engine.runtimes]\nrunsc = ["{self.runsc}"]\n')
        with open(f"{d}/storage.conf", "w") as file:
            file.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{d}/graph"\nrunroot = "{d}/run"\n')
        os.makedirs("/run/libpod", exist_ok=True)
        self.podman("import", tar, "bb")

    def podman(self, *args, **more):
        return run("podman", *args, env=self.env, **more)

    def run(self, *args, **more):
        return self.podman("run", "--cgroup-parent", f"/{self.group}", *args, **more)

    def inspect(self, name, path):
        return self.podman("inspect", "-f", "{{" + path + "}}", name).strip()

    def clean(self):
        self.podman("rm", "-f", "-a", "-t", "0", "-v")

    def forget(self, pod):
        """The group of a removed pod, which Podman leaves where nothing is limited, with every runtime. Its monitors end a moment later;
        a group with a container's in it stays, and is found."""
        def gone(path):
            for group in f"{path}/conmon", path:
                try:
                    os.rmdir(group)
                except OSError:
                    pass
            return not os.path.exists(path)

        for hierarchy in "systemd", "unified":
            until("an empty group of the pod", lambda: gone(f"/sys/fs/cgroup/{hierarchy}/{self.group}/{pod}"))

    def stop(self):
        self.podman("rm", "-f", "-a", "-t", "0", code=None)
        subprocess.run(["umount", "-l", f"{self.directory}/graph/overlay"], stderr=subprocess.DEVNULL)


def check_run(e):
    equal(e.run("--rm", "bb", "echo", "hello"), "hello\n")
    e.run("--rm", "bb", "sh", "-c", "exit 7", code=7)
    contains(e.run("--rm", "bb", "no-such", code=127), "executable file")
    contains(e.run("--rm", "bb", "/etc", code=126), "permission denied")
    equal(e.run("--rm", "-i", "bb", "wc", "-c", input="x" * 100_000).strip(), "100000")
    equal(len(e.run("--rm", "bb", "seq", "100000").splitlines()), 100000)
    contains(e.podman("info"), "runsc version")


def check_life(e):
    e.run("-d", "--name", "life", "bb", "sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done")
    until("the first line", lambda: "up" in e.podman("logs", "life"))
    e.podman("stop", "-t", "100", "life")
    equal(e.inspect("life", ".State.ExitCode"), "3")
    e.podman("start", "life")
    e.podman("kill", "life")
    equal(e.podman("wait", "life"), "137\n")
    e.podman("rm", "life")


def check_exec(e):
    e.run("-d", "--name", "target", "bb", "sleep", "1000")
    equal(e.podman("exec", "target", "echo", "inside"), "inside\n")
    equal(e.podman("exec", "-u", "1:50", "-e", "A=b", "-w", "/tmp", "target", "sh", "-c", "id -u; echo $A; pwd"), "1\nb\n/tmp\n")
    e.podman("exec", "target", "sh", "-c", "exit 9", code=9)
    contains(e.podman("exec", "target", "no-such", code=127), "executable file")
    equal(e.podman("exec", "-i", "target", "cat", input="some text"), "some text")
    e.podman("exec", "-d", "target", "touch", "/tmp/there")
    until("the file", lambda: e.podman("exec", "target", "ls", "/tmp") == "there\n")


def check_terminal(e):
    t = Terminal(["podman", "run", "--cgroup-parent", f"/{e.group}", "--rm", "-it", "bb", "sh"], e.env)
    t.expect("# ")
    t.send("tty; echo on$((1+1)); exit 4\n")
    text, code = t.rest()
    contains(text, "/dev/", "on2")
    equal(code, 4)


def check_terminal_of_exec(e):
    e.run("-d", "--name", "target", "bb", "sleep", "1000")
    t = Terminal(["podman", "exec", "-it", "target", "sh"], e.env)
    t.expect("# ")
    t.send("tty; echo on$((1+1)); exit 4\n")
    text, code = t.rest()
    contains(text, "/dev/", "on2")
    equal(code, 4)


def check_pause(e):
    e.run("-d", "--name", "paused", "bb", "sleep", "1000")
    e.podman("pause", "paused")
    equal(e.inspect("paused", ".State.Status"), "paused")
    e.podman("unpause", "paused")
    equal(e.podman("exec", "paused", "echo", "on"), "on\n")


def check_top(e):
    e.run("-d", "--name", "seen", "bb", "sleep", "4321")
    lines = e.podman("top", "seen").splitlines()
    equal(len(lines), 2)
    contains(lines[0], "USER", "PID", "COMMAND")
    contains(lines[1], "sleep 4321")
    e.podman("exec", "-d", "seen", "sleep", "1234")
    lines = until("both", lambda: (lambda l: l if len(l) == 3 else None)(
        e.podman("top", "seen", "pid", "hpid", "comm", "user", "args").splitlines()))
    for line in lines[1:]:
        with open(f"/proc/{line.split()[1]}/cmdline") as file:
            contains(line, file.read().strip("\0"))
        equal(line.split()[2], "sleep")
    # With arguments of ps(1) podman runs that in the container.
    contains(e.podman("top", "seen", "-o", "pid,args"), "sleep 4321")


def check_stats(e):
    e.run("-d", "--name", "seen", "--memory", "256m", "bb", "sleep", "4321")
    stats = json.loads(e.podman("stats", "--no-stream", "--format", "json", "seen"))[0]
    contains(stats["mem_usage"], "268.4MB")
    if int(stats["pids"]) < 2:
        raise AssertionError(stats)
    e.podman("update", "--memory", "128m", "seen", code=None)


def check_health(e):
    e.run("-d", "--name", "ill", "--health-cmd", "test -e /tmp/well", "--health-interval", "disable", "bb", "sleep", "1000")
    e.podman("healthcheck", "run", "ill", code=1)
    e.podman("exec", "ill", "touch", "/tmp/well")
    e.podman("healthcheck", "run", "ill")


def check_files(e):
    os.makedirs(f"{e.directory}/bind", exist_ok=True)
    e.run("--rm", "-v", f"{e.directory}/bind:/b", "bb", "sh", "-c", "echo 1 >/b/x")
    equal(open(f"{e.directory}/bind/x").read(), "1\n")
    contains(e.run("--rm", "--read-only", "bb", "sh", "-c", "echo x >/x", code=1), "ead-only")
    e.podman("create", "--cgroup-parent", f"/{e.group}", "--name", "copied", "bb", "cat", "/root/y")
    e.podman("cp", f"{e.directory}/bind/x", "copied:/root/y")
    equal(e.podman("start", "-a", "copied"), "1\n")
    e.podman("cp", "copied:/root/y", f"{e.directory}/back")
    equal(open(f"{e.directory}/back").read(), "1\n")


def check_copy_while_running(e):
    os.makedirs(f"{e.directory}/volume", exist_ok=True)
    with open(f"{e.directory}/file", "w") as file:
        file.write("from outside\n")
    # A tmpfs is in the guest's kernel alone. A link cannot lead podman to what the sandbox has open.
    e.run("-d", "--name", "live", "-v", f"{e.directory}/volume:/v", "--tmpfs", "/t", "bb", "sh", "-c",
          "ln -s /proc/1/fd/4 /evil; ln -s /../../../../etc/hostname /out; echo up; exec sleep 1000")
    until("the start", lambda: "up" in e.podman("logs", "live"))
    for place in ("/root/new", "/v/new"):
        e.podman("cp", f"{e.directory}/file", f"live:{place}")
        equal(e.podman("exec", "live", "cat", place), "from outside\n")
        e.podman("exec", "live", "sh", "-c", f"echo from inside >{place}")
        e.podman("cp", f"live:{place}", f"{e.directory}/back")
        equal(open(f"{e.directory}/back").read(), "from inside\n")
    equal(open(f"{e.directory}/volume/new").read(), "from inside\n")
    e.podman("cp", f"{e.directory}/file", "live:/t/lost", code=125)
    e.podman("cp", "live:/evil", f"{e.directory}/evil", code=None)
    equal(os.path.exists(f"{e.directory}/evil"), False)
    e.podman("cp", "live:/bin", f"{e.directory}/bin")
    equal(os.readlink(f"{e.directory}/bin/sh"), "busybox")


def check_identity(e):
    equal(e.run("--rm", "--user", "1:50", "-e", "X=y", "-w", "/var", "-h", "name", "bb", "sh", "-c", "id -u; echo $X; pwd; hostname"),
          "1\ny\n/var\nname\n")
    equal(e.run("--rm", "--umask", "0027", "bb", "sh", "-c", "umask"), "0027\n")


def check_init(e):
    e.run("--rm", "--init", "bb", "sh", "-c", "exit 4", code=4)


def check_pod(e):
    """Containers of a pod share network, IPC and names with the first one: they are in its sandbox."""
    e.podman("pod", "create", "--name", "pod", "--cgroup-parent", f"/{e.group}", "--infra-command", "/bin/sleep 1000", "--infra-image", "bb",
             "--share", "net,ipc,uts", "--hostname", "the-pod")
    for name in ("one", "two"):
        e.podman("run", "-d", "--pod", "pod", "--name", name, "bb", "sleep", "1000")
        equal(e.podman("exec", name, "hostname"), "the-pod\n")
    nets = {os.readlink(f"/proc/{e.inspect(n, '.State.Pid')}/ns/net") for n in ("one", "two")}
    equal(len(nets), 1)
    lines = e.podman("top", "two").splitlines()
    equal(len(lines), 2)
    contains(lines[1], "sleep 1000")
    e.podman("exec", "one", "ipcmk", "-M", "4096")
    contains(e.podman("exec", "two", "ipcs", "-m"), "0x")
    e.podman("exec", "-d", "one", "nc", "-ll", "-p", "7000", "-e", "echo", "hello")
    until("the server", lambda: "hello" in e.podman("exec", "two", "nc", "127.0.0.1", "7000", code=None))
    equal(e.podman("exec", "two", "sh", "-c", "ps | grep -c 'sleep [1]'"), "1\n")
    # What looks at one of them by its pid finds that one.
    with open(f"{e.directory}/file", "w") as file:
        file.write("from outside\n")
    e.podman("cp", f"{e.directory}/file", "one:/root/new")
    equal(e.podman("exec", "one", "cat", "/root/new"), "from outside\n")
    equal(e.podman("exec", "two", "ls", "/root"), "")
    contains(e.podman("pod", "ps"), "Running")
    e.podman("kill", "one")
    equal(e.podman("exec", "two", "echo", "still"), "still\n")
    e.podman("pod", "stop", "-t", "0", "pod")
    e.podman("pod", "start", "pod")
    equal(e.podman("exec", "one", "echo", "again"), "again\n")
    pod = e.podman("pod", "inspect", "pod", "--format", "{{.ID}}").strip()
    e.podman("pod", "rm", "-f", "-t", "0", "pod")
    e.forget(pod)


def check_pid_of_another(e):
    """--pid and --ipc container:X."""
    e.run("-d", "--name", "first", "--ipc", "shareable", "bb", "sleep", "4321")
    equal(e.run("--rm", "--pid", "container:first", "bb", "cat", "/proc/1/cmdline"), "sleep\x004321\x00")
    e.run("-d", "--name", "second", "--pid", "container:first", "--ipc", "container:first", "bb", "sleep", "1234")
    e.podman("exec", "second", "ipcmk", "-Q")
    contains(e.podman("exec", "first", "ipcs", "-q"), "0x")
    equal(e.podman("exec", "first", "sh", "-c", "ps | grep -c 'sleep [14]'"), "2\n")
    e.podman("stop", "-t", "0", "second")
    equal(e.podman("exec", "first", "echo", "still"), "still\n")
    e.podman("start", "second")
    equal(e.podman("exec", "second", "cat", "/proc/1/cmdline"), "sleep\x004321\x00")
    e.podman("kill", "first")
    equal(e.podman("wait", "second"), "137\n")
    # Podman removes no container on which another one depends.
    e.podman("rm", "second")


def check_kube(e):
    e.run("-d", "--name", "plain", "bb", "/bin/sleep", "1000")
    with open(f"{e.directory}/kube.yaml", "w") as file:
        file.write(e.podman("generate", "kube", "plain"))
    e.podman("rm", "-f", "-t", "0", "plain")
    e.podman("play", "kube", f"{e.directory}/kube.yaml")
    equal(e.podman("exec", "plain-pod-plain", "/bin/echo", "played"), "played\n")
    pod = e.podman("pod", "inspect", "plain-pod", "--format", "{{.ID}}").strip()
    e.podman("play", "kube", "--down", f"{e.directory}/kube.yaml")
    e.forget(pod)
