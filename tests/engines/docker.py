"""dockerd with runsc as its default runtime."""
import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
import time

from common import PATIENCE, Failed, Terminal, contains, equal, run, unchanged, until


class Engine:
    def __init__(self, runsc, directory, group, runtimes=None):
        """`runtimes`: those of daemon.json, the first one the default."""
        self.directory, self.group = directory, group
        self.runtimes = runtimes or {"runsc": {"path": runsc}, "runsc-net": {"path": runsc, "runtimeArgs": ["--network=host"]}}
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{directory}/docker.sock", "DOCKER_CONFIG": directory,
                    "DOCKER_BUILDKIT": "0"}
        self.daemon = None

    def start(self, tar):
        subprocess.run("ip link add engines0 type bridge && ip addr add 172.30.0.1/24 dev engines0 && ip link set engines0 up",
                       shell=True, check=True)
        d = self.directory
        with open(f"{d}/daemon.json", "w") as file:
            json.dump({"runtimes": self.runtimes, "default-runtime": next(iter(self.runtimes))}, file)
        log = open(f"{d}/dockerd.log", "w")
        self.daemon = subprocess.Popen(
            ["/usr/sbin/dockerd", "--config-file", f"{d}/daemon.json", "--data-root", f"{d}/data", "--exec-root", f"{d}/exec",
             "--host", self.env["DOCKER_HOST"], "--pidfile", f"{d}/pid", "--bridge", "engines0", "--iptables=false",
             "--ip6tables=false", "--ip-masq=false", "--userland-proxy=true", "--cgroup-parent", f"/{self.group}"],
            stdout=log, stderr=log)
        until("dockerd", lambda: subprocess.run(["docker", "version"], env=self.env, capture_output=True).returncode == 0)
        self.docker("import", "--change", 'CMD ["/bin/sh"]', tar, "bb")

    def docker(self, *args, **more):
        return run("docker", *args, env=self.env, **more)

    def inspect(self, name, path):
        return self.docker("inspect", "-f", "{{" + path + "}}", name).strip()

    def clean(self):
        ids = self.docker("ps", "-aq").split()
        if ids:
            self.docker("rm", "-f", "-v", *ids)

    def stop(self):
        if self.daemon:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.daemon.kill()


def check_run(e):
    equal(e.docker("run", "--rm", "bb", "echo", "hello"), "hello\n")
    e.docker("run", "--rm", "bb", "sh", "-c", "exit 7", code=7)
    contains(e.docker("run", "--rm", "bb", "no-such", code=127), "executable file not found")
    contains(e.docker("run", "--rm", "bb", "/no/such", code=127), "no such file or directory")
    contains(e.docker("run", "--rm", "bb", "/etc", code=126), "permission denied")
    contains(e.docker("info", "-f", "{{json .Runtimes}}"), "runsc")


def check_streams(e):
    equal(e.docker("run", "--rm", "-i", "bb", "wc", "-c", input="x" * 1_000_000).strip(), "1000000")
    text = e.docker("run", "--rm", "bb", "seq", "200000")
    equal(len(text.splitlines()), 200000)
    done = subprocess.run(["docker", "run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2"], env=e.env, capture_output=True)
    equal((done.stdout, done.stderr), (b"out\n", b"err\n"))


def check_life(e):
    e.docker("create", "--name", "life", "bb", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done")
    equal(e.inspect("life", ".State.Status"), "created")
    e.docker("start", "life")
    until("the first line", lambda: "up" in e.docker("logs", "life"))
    equal(e.inspect("life", ".State.Running"), "true")
    waiting = subprocess.Popen(["docker", "wait", "life"], env=e.env, stdout=subprocess.PIPE, text=True)
    e.docker("stop", "-t", "100", "life")
    equal(waiting.communicate(timeout=PATIENCE)[0], "3\n")
    equal(e.inspect("life", ".State.ExitCode"), "3")
    contains(e.docker("logs", "life"), "up\n", "bye\n")
    # Once more, and now it has to be killed.
    e.docker("restart", "-t", "1", "life")
    until("the second start", lambda: e.docker("logs", "life").count("up\n") == 2)
    e.docker("kill", "life")
    until("the end", lambda: e.inspect("life", ".State.Running") == "false")
    equal(e.inspect("life", ".State.ExitCode"), "137")
    e.docker("rm", "life")


def check_signals(e):
    e.docker("run", "-d", "--name", "signals", "bb", "sh", "-c",
             "trap 'echo hup' HUP; trap 'echo usr' USR1; echo up; while :; do sleep 0.1; done")
    until("the start", lambda: "up" in e.docker("logs", "signals"))
    e.docker("kill", "-s", "HUP", "signals")
    e.docker("kill", "-s", "10", "signals")
    until("both signals", lambda: {"hup", "usr"} <= set(e.docker("logs", "signals").split()))


def check_exec(e):
    e.docker("run", "-d", "--name", "target", "-e", "A=1", "bb", "sleep", "1000")
    equal(e.docker("exec", "target", "sh", "-c", "echo $A; pwd"), "1\n/\n")
    equal(e.docker("exec", "-u", "1:50", "-e", "B=2", "-w", "/tmp", "target", "sh", "-c", "id -u; id -g; echo $B; pwd"),
          "1\n50\n2\n/tmp\n")
    equal(e.docker("exec", "-i", "target", "cat", input="some text"), "some text")
    e.docker("exec", "target", "sh", "-c", "exit 9", code=9)
    # Docker 20.10 gives 126 for both, with runc too.
    contains(e.docker("exec", "target", "no-such", code=126), "executable file not found")
    contains(e.docker("exec", "target", "/etc", code=126), "permission denied")
    e.docker("exec", "-d", "target", "sh", "-c", "echo done >/tmp/detached")
    until("the detached process", lambda: "done" in e.docker("exec", "target", "cat", "/tmp/detached", code=None))
    equal(len(e.docker("exec", "target", "seq", "100000").splitlines()), 100000)


def check_terminal(e):
    t = Terminal(["docker", "run", "--rm", "-it", "bb", "sh"], e.env)
    t.expect("# ")
    t.send("tty; test -t 0 && echo yes$((1+1))\n")
    contains(t.expect("yes2"), "/dev/")
    fcntl.ioctl(t.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 111, 0, 0))

    def size():
        # The client has asked for the size once before it listens for changes: it may have missed this one.
        os.kill(t.pid, signal.SIGWINCH)
        t.send("stty size; echo :$((3+4))\n")
        return "44 111" in t.expect(":7")
    until("the new size", size)
    t.send("sleep 1000\n")
    t.expect("sleep 1000")
    # The prompt comes back only if the keyboard interrupts.
    until("the sleeper", lambda: "sleep 1000" in e.docker("top", e.docker("ps", "-q").strip()))
    t.send("\x03")
    t.send("echo back$((4+5))\n")
    t.expect("back9")
    t.send("seq 1 20000; exit 5\n")
    text, code = t.rest()
    contains(text, "20000\r\n")
    equal(code, 5)


def check_terminal_of_exec(e):
    e.docker("run", "-d", "--name", "target", "bb", "sleep", "1000")
    t = Terminal(["docker", "exec", "-it", "target", "sh"], e.env)
    t.expect("# ")
    t.send("stty -echo; echo on$((1+1))\n")
    t.expect("on2")
    t.send("exit 6\n")
    equal(t.rest()[1], 6)


def check_attach(e):
    e.docker("run", "-d", "-i", "--name", "attached", "bb", "cat")
    child = subprocess.Popen(["docker", "attach", "attached"], env=e.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(b"to and fro\n")
    child.stdin.flush()
    equal(child.stdout.readline(), b"to and fro\n")
    child.kill()
    child.wait()
    e.docker("kill", "attached")
    until("the end", lambda: e.inspect("attached", ".State.Running") == "false")


def check_pause(e):
    e.docker("run", "-d", "--name", "busy", "bb", "sh", "-c", "while :; do echo x; sleep 0.05; done")
    until("work", lambda: e.docker("logs", "busy"))
    e.docker("pause", "busy")
    equal(e.inspect("busy", ".State.Status"), "paused")
    # What was written before is still on its way; a container that runs writes all the time.
    before = len(unchanged("the log", lambda: e.docker("logs", "busy")))
    contains(e.docker("exec", "busy", "true", code=1), "paused")
    e.docker("unpause", "busy")
    until("more work", lambda: len(e.docker("logs", "busy")) > before)
    e.docker("pause", "busy")
    e.docker("rm", "-f", "busy")


def check_top_and_stats(e):
    e.docker("run", "-d", "--name", "seen", "--memory", "256m", "bb", "sh", "-c", "sleep 1234 & exec sleep 4321")
    until("both", lambda: {"sleep 1234", "sleep 4321"} <=
          {" ".join(line.split()[7:]) for line in e.docker("top", "seen").splitlines()[1:]})
    lines = e.docker("top", "seen", "-o", "pid,comm,args").splitlines()
    equal(len(lines), 3)
    for line in lines[1:]:
        equal(line.split()[1:3], ["sleep", "sleep"])
        pid = line.split()[0]
        with open(f"/proc/{pid}/cgroup") as file:
            contains(file.read(), e.inspect("seen", ".Id"))
    # A name that a program gives itself, and the one of a script.
    e.docker("exec", "seen", "sh", "-c", "printf '#!/bin/sh\nread x\n' >/bin/script; chmod +x /bin/script")
    child = subprocess.Popen(["docker", "exec", "-i", "seen", "script", "argument"], env=e.env, stdin=subprocess.PIPE)
    until("the script", lambda: "script /bin/sh /bin/script argument" in
          " ".join(e.docker("top", "seen", "-o", "pid,comm,args").split()))
    child.communicate(b"\n")
    stats = json.loads(e.docker("stats", "--no-stream", "--format", "{{json .}}", "seen"))
    contains(stats["MemUsage"], "/ 256MiB")
    if stats["MemUsage"].startswith("0B") or int(stats["PIDs"]) < 2:
        raise Failed(f"stats {stats}")


def check_limits_and_update(e):
    e.docker("run", "-d", "--name", "small", "--memory", "64m", "--pids-limit", "12", "--cpus", "0.5", "bb", "sleep", "1000")
    group = e.inspect("small", ".Id")
    v1, v2 = f"/sys/fs/cgroup/memory/{e.group}/{group}/memory.limit_in_bytes", f"/sys/fs/cgroup/{e.group}/{group}/memory.max"
    path = v1 if os.path.exists(v1) else v2
    equal(open(path).read().strip(), str(64 << 20))
    e.docker("update", "--memory", "128m", "--memory-swap", "256m", "--cpus", "1", "small")
    equal(open(path).read().strip(), str(128 << 20))


def check_pids_limit(e):
    # Fewer than the sandbox has threads: they are not the container's.
    equal(e.docker("run", "--rm", "--pids-limit", "3", "bb", "sh", "-c", "echo one | cat"), "one\n")
    text = e.docker("run", "--rm", "--pids-limit", "3", "bb", "sh", "-c", "sleep 300 & sleep 300 & sleep 300 & wait", code=None)
    contains(text, "fork")


def check_out_of_memory(e):
    e.docker("run", "--name", "hog", "--memory", "64m", "--memory-swap", "64m", "bb", "sh", "-c",
             "dd if=/dev/zero of=/dev/null bs=300M count=1; echo $?; exec dd if=/dev/zero of=/dev/null bs=300M count=1", code=137)
    until("the word of it", lambda: e.inspect("hog", ".State.OOMKilled") == "true")


def check_copy(e):
    with open(f"{e.directory}/file", "w") as file:
        file.write("from outside\n")
    e.docker("run", "-d", "--name", "copied", "bb", "sleep", "1000")
    e.docker("cp", f"{e.directory}/file", "copied:/tmp/file")
    equal(e.docker("exec", "copied", "cat", "/tmp/file"), "from outside\n")
    e.docker("exec", "copied", "sh", "-c", "echo from inside >/root/back")
    e.docker("cp", "copied:/root/back", f"{e.directory}/back")
    equal(open(f"{e.directory}/back").read(), "from inside\n")
    contains(e.docker("diff", "copied"), "A /root/back", "A /tmp/file")
    e.docker("commit", "copied", "kept")
    equal(e.docker("run", "--rm", "kept", "cat", "/root/back"), "from inside\n")


def check_volumes(e):
    os.makedirs(f"{e.directory}/bind", exist_ok=True)
    e.docker("run", "--rm", "-v", f"{e.directory}/bind:/b", "-v", "vol:/v", "bb", "sh", "-c", "echo 1 >/b/x; echo 2 >/v/y")
    equal(open(f"{e.directory}/bind/x").read(), "1\n")
    equal(e.docker("run", "--rm", "-v", "vol:/v", "bb", "cat", "/v/y"), "2\n")
    contains(e.docker("run", "--rm", "-v", f"{e.directory}/bind:/b:ro", "bb", "sh", "-c", "echo 3 >/b/x", code=1), "ead-only")
    e.docker("volume", "rm", "vol")


def check_file_systems(e):
    equal(e.docker("run", "--rm", "--tmpfs", "/t:size=1m", "bb", "sh", "-c",
                   "echo x >/t/x && cat /t/x; dd if=/dev/zero of=/t/big bs=2M count=1 2>/dev/null || echo full"), "x\nfull\n")
    text = e.docker("run", "--rm", "--read-only", "--tmpfs", "/t", "bb", "sh", "-c", "echo x >/t/x && echo x >/x", code=1)
    contains(text, "ead-only")
    equal(e.docker("run", "--rm", "--shm-size", "2m", "bb", "sh", "-c", "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2"),
          "2048\n")


def check_identity(e):
    equal(e.docker("run", "--rm", "--user", "1:50", "--group-add", "7", "-e", "X=y z", "-w", "/var", "-h", "name", "bb", "sh", "-c",
                   "id -u; id -G; echo $X; pwd; hostname"), "1\n50 7\ny z\n/var\nname\n")
    equal(e.docker("run", "--rm", "--ulimit", "nofile=77:88", "bb", "sh", "-c", "ulimit -n; ulimit -Hn"), "77\n88\n")
    contains(e.docker("run", "--rm", "--cap-drop", "ALL", "bb", "grep", "CapEff", "/proc/self/status"), "0000000000000000")
    contains(e.docker("run", "--rm", "--security-opt", "no-new-privileges", "bb", "cat", "/proc/self/status"),
             "NoNewPrivs:\t1", "Seccomp:\t2")
    equal(e.docker("run", "--rm", "--sysctl", "net.ipv4.ip_forward=1", "bb", "cat", "/proc/sys/net/ipv4/ip_forward"), "1\n")


def check_health(e):
    e.docker("run", "-d", "--name", "ill", "--health-cmd", "test -e /tmp/well", "--health-interval", "1s", "--health-retries", "1",
             "bb", "sleep", "1000")
    until("bad health", lambda: e.inspect("ill", ".State.Health.Status") == "unhealthy")
    e.docker("exec", "ill", "touch", "/tmp/well")
    until("good health", lambda: e.inspect("ill", ".State.Health.Status") == "healthy")


def check_restart_policy(e):
    e.docker("run", "-d", "--name", "again", "--restart", "on-failure:2", "bb", "sh", "-c", "echo up; exit 1")
    until("the last end", lambda: e.inspect("again", ".RestartCount") == "2" and e.inspect("again", ".State.Running") == "false")
    until("all lines", lambda: e.docker("logs", "again") == "up\nup\nup\n")


def check_init(e):
    equal(e.docker("run", "--rm", "--init", "bb", "sh", "-c", "sh -c 'exit 4' & wait $!; exit $?", code=4), "")


def check_build(e):
    context = f"{e.directory}/context"
    os.makedirs(context, exist_ok=True)
    with open(f"{context}/Dockerfile", "w") as file:
        file.write("FROM bb\nCOPY Dockerfile /root/\nRUN echo built >/root/a && wc -l /root/Dockerfile >/root/b\n"
                   "USER 1\nRUN id -u >/tmp/c\nCMD cat /root/a /tmp/c\n")
    e.docker("build", "-t", "built", context)
    equal(e.docker("run", "--rm", "built"), "built\n1\n")
    with open(f"{context}/Dockerfile", "w") as file:
        file.write("FROM bb\nRUN exit 3\n")
    contains(e.docker("build", context, code=3), "non-zero code: 3")


def check_network(e):
    contains(e.docker("run", "--rm", "--network", "none", "bb", "ip", "addr"), "127.0.0.1")
    # Sockets of the namespace that docker made, and what is in it.
    net = ["run", "--rm", "--runtime", "runsc-net", "bb"]
    contains(e.docker(*net, "ip", "addr"), "eth0", "inet 172.30.0.", "127.0.0.1")
    contains(e.docker(*net, "ip", "route"), "default via 172.30.0.1", "172.30.0.0/24")
    e.docker("run", "-d", "--name", "web", "--runtime", "runsc-net", "-p", "127.0.0.1:8081:80", "bb", "sh", "-c",
             "mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www")
    until("the page", lambda: run("curl", "-s", "http://127.0.0.1:8081/", code=None) == "page\n")


def check_many(e):
    names = [f"many{i}" for i in range(8)]
    children = [subprocess.Popen(["docker", "run", "--rm", "--name", n, "bb", "echo", n], env=e.env, stdout=subprocess.PIPE, text=True)
                for n in names]
    equal([c.communicate(timeout=PATIENCE)[0].strip() for c in children], names)


def check_daemon_restart(e):
    """A sandbox that is killed behind the engine's back is seen as ended."""
    e.docker("run", "-d", "--name", "shot", "bb", "sleep", "1000")
    os.kill(int(e.inspect("shot", ".State.Pid")), signal.SIGKILL)
    until("the end", lambda: e.inspect("shot", ".State.Running") == "false")
    equal(e.inspect("shot", ".State.ExitCode"), "137")
    e.docker("start", "shot")
    equal(e.docker("exec", "shot", "echo", "again"), "again\n")


def check_restart_always(e):
    e.docker("run", "-d", "--name", "always", "--restart", "always", "bb", "sh", "-c", "echo up; sleep 0.2")
    until("two restarts", lambda: int(e.inspect("always", ".RestartCount")) >= 2)
    e.docker("stop", "-t", "0", "always")
    equal(e.inspect("always", ".State.Running"), "false")
    e.docker("run", "-d", "--name", "unless", "--restart", "unless-stopped", "bb", "sleep", "1000")
    os.kill(int(e.inspect("unless", ".State.Pid")), signal.SIGKILL)
    until("the restart", lambda: e.inspect("unless", ".RestartCount") == "1" and e.inspect("unless", ".State.Running") == "true")


def check_users(e):
    """By name, with its groups from the image."""
    equal(e.docker("run", "--rm", "--user", "daemon", "bb", "sh", "-c", "id -u; id -g"), "1\n1\n")
    equal(e.docker("run", "--rm", "--user", "daemon:staff", "--group-add", "daemon", "bb", "sh", "-c", "id -g; id -G"), "50\n50 1\n")
    contains(e.docker("run", "--rm", "--user", "nobody-here", "bb", "true", code=125), "no matching entries")


def check_volumes_nested(e):
    os.makedirs(f"{e.directory}/outer/inner", exist_ok=True)
    os.makedirs(f"{e.directory}/other", exist_ok=True)
    e.docker("run", "-d", "--name", "nested", "-v", f"{e.directory}/outer:/v", "-v", f"{e.directory}/other:/v/inner:ro", "-v", "named:/v/inner2",
             "bb", "sh", "-c", "echo 1 >/v/a; echo 2 >/v/inner2/b; echo 3 >/v/inner/c || echo refused; exec sleep 1000")
    until("the refusal", lambda: "refused" in e.docker("logs", "nested"))
    equal(open(f"{e.directory}/outer/a").read(), "1\n")
    # What comes from outside is seen, and copies go to the volume.
    with open(f"{e.directory}/other/late", "w") as file:
        file.write("late\n")
    equal(e.docker("exec", "nested", "cat", "/v/inner/late"), "late\n")
    e.docker("cp", f"{e.directory}/other/late", "nested:/v/copied")
    equal(open(f"{e.directory}/outer/copied").read(), "late\n")
    equal(e.docker("exec", "nested", "cat", "/v/copied"), "late\n")
    e.docker("run", "--rm", "--volumes-from", "nested", "bb", "sh", "-c", "test $(cat /v/inner2/b) = 2")
    e.docker("rm", "-f", "nested")
    e.docker("volume", "rm", "named")


def check_tmpfs_options(e):
    equal(e.docker("run", "--rm", "--tmpfs", "/t:ro,noexec,mode=700", "bb", "sh", "-c", "stat -c %a /t; echo x >/t/x || echo refused"),
          "700\nrefused\n")
    equal(e.docker("run", "--rm", "--mount", "type=tmpfs,dst=/m,tmpfs-size=4096,tmpfs-mode=1770", "bb", "sh", "-c",
                   "stat -c %a /m; df -k /m | tail -1 | tr -s ' ' | cut -d' ' -f2"), "1770\n4\n")


def check_security(e):
    equal(e.docker("run", "--rm", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "bb", "grep", "CapEff", "/proc/self/status"),
          "CapEff:\t0000000000001000\n")
    with open(f"{e.directory}/seccomp.json", "w") as file:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW",
                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}, file)
    e.docker("run", "--rm", "--security-opt", f"seccomp={e.directory}/seccomp.json", "bb", "mkdir", "/x", code=1)
    equal(e.docker("run", "--rm", "--security-opt", "seccomp=unconfined", "bb", "sh", "-c", "mkdir /x && echo made"), "made\n")


def check_devices(e):
    equal(e.docker("run", "--rm", "--device", "/dev/null:/dev/mine:rw", "bb", "sh", "-c", "echo x >/dev/mine && test -c /dev/mine && echo there"),
          "there\n")


def check_resources_named(e):
    """Options that change nothing, or only what the sandbox as a whole may use, are taken."""
    equal(e.docker("run", "--rm", "--cpus", "1", "--cpuset-cpus", "0", "--cpu-shares", "512", "--memory", "128m", "--memory-swap", "256m",
                   "--memory-reservation", "64m", "--oom-score-adj", "100", "--blkio-weight", "0", "bb", "echo", "ran"), "ran\n")
    e.docker("run", "-d", "--name", "parent", "--cgroup-parent", f"/{e.group}/below", "bb", "sleep", "1000")
    with open(f"/proc/{e.inspect('parent', '.State.Pid')}/cgroup") as file:
        contains(file.read(), f"/{e.group}/below/{e.inspect('parent', '.Id')}")
    e.docker("rm", "-f", "parent")
    for top, _, _ in os.walk("/sys/fs/cgroup"):
        if top.endswith(f"/{e.group}/below"):
            os.rmdir(top)


def check_events(e):
    begin = str(time.time())
    e.docker("run", "--rm", "--name", "told", "bb", "sh", "-c", "exit 2", code=2)

    def seen():
        return e.docker("events", "--since", begin, "--until", str(time.time()), "--format", "{{.Action}}", "--filter", "container=told").split()
    until("all events", lambda: [word for word in seen() if word in ("create", "start", "die")] == ["create", "start", "die"])


def check_end_of_input(e):
    equal(e.docker("run", "--rm", "-i", "bb", "cat", input=""), "")
    equal(e.docker("run", "--rm", "-i", "bb", "sh", "-c", "cat; echo after", input="before\n"), "before\nafter\n")


def check_interrupt_and_detach(e):
    t = Terminal(["docker", "run", "-it", "--name", "keys", "bb", "sh", "-c", "trap 'echo caught' INT; echo ready; while :; do sleep 0.1; echo on; done"],
                 e.env)
    t.expect("ready")
    t.send("\x03")
    t.expect("caught")
    t.send("\x10\x11")
    equal(t.rest()[1], 0)
    equal(e.inspect("keys", ".State.Running"), "true")
    t = Terminal(["docker", "attach", "keys"], e.env)
    # The keys are the container's from now on.
    t.expect("on")
    t.send("\x03")
    t.expect("caught")
    t.send("\x10\x11")
    t.rest()


def check_health_from_good_to_bad(e):
    e.docker("run", "-d", "--name", "well", "--health-cmd", "test ! -e /tmp/ill", "--health-interval", "300ms", "--health-retries", "2",
             "bb", "sleep", "1000")
    until("good health", lambda: e.inspect("well", ".State.Health.Status") == "healthy")
    e.docker("exec", "well", "touch", "/tmp/ill")
    until("bad health", lambda: e.inspect("well", ".State.Health.Status") == "unhealthy")


def check_namespaces_named(e):
    """Taken; a sandbox shares no more than the network with others."""
    e.docker("run", "-d", "--name", "other", "--ipc", "shareable", "bb", "sleep", "1000")
    for option in (["--ipc", "container:other"], ["--network", "container:other"], ["--uts", "host"], ["--pid", "container:other"]):
        equal(e.docker("run", "--rm", *option, "bb", "echo", "ran"), "ran\n")


def check_container_is_kept(e):
    e.docker("run", "--name", "kept", "bb", "sh", "-c", "echo x >/root/kept; seq 50000")
    until("all lines", lambda: len(e.docker("logs", "kept").splitlines()) == 50000)
    contains(e.docker("logs", "--tail", "1", "-t", "kept"), "50000")
    e.docker("rename", "kept", "kept2")
    e.docker("start", "-a", "kept2")
    until("all lines", lambda: len(e.docker("logs", "kept2").splitlines()) == 100000)
    e.docker("export", "-o", f"{e.directory}/export.tar", "kept2")
    contains(run("tar", "tf", f"{e.directory}/export.tar"), "root/kept")


def check_namespaces_of_another(e):
    """--pid and --ipc container:X: the container comes into the sandbox of X."""
    e.docker("run", "-d", "--name", "first", "--ipc", "shareable", "bb", "sleep", "4321")
    equal(e.docker("run", "--rm", "--pid", "container:first", "bb", "cat", "/proc/1/cmdline"), "sleep\x004321\x00")
    e.docker("run", "-d", "--name", "second", "--pid", "container:first", "--ipc", "container:first", "--network", "container:first",
             "bb", "sh", "-c", "ipcmk -M 4096 >/dev/null; exec nc -ll -p 7000 -e echo hello")
    until("the shared memory", lambda: "0x" in e.docker("exec", "first", "ipcs", "-m"))
    # One loopback.
    until("the server", lambda: "hello" in e.docker("exec", "first", "nc", "127.0.0.1", "7000", code=None))
    e.docker("kill", "second")
    equal(e.docker("exec", "first", "echo", "still"), "still\n")
    # Verbs and views of such a container are its own.
    e.docker("run", "-d", "--name", "third", "--pid", "container:first", "bb", "sleep", "1234")
    contains(e.docker("top", "third"), "sleep 1234")
    equal("4321" in e.docker("top", "third"), False)
    equal(e.docker("exec", "third", "sh", "-c", "ps | grep -c 'sleep [14]'").strip(), "2")
    e.docker("pause", "third")
    equal(e.docker("exec", "first", "echo", "goes on"), "goes on\n")
    e.docker("unpause", "third")
    e.docker("restart", "-t", "0", "third")
    equal(e.docker("exec", "third", "cat", "/proc/1/cmdline"), "sleep\x004321\x00")
    # The end of the first is the end of the sandbox.
    e.docker("kill", "first")
    equal(e.docker("wait", "third"), "137\n")
    # With a network of the host's there is one for the whole sandbox.
    e.docker("run", "-d", "--runtime", "runsc-net", "--name", "net", "bb", "sleep", "1000")
    contains(e.docker("run", "--rm", "--runtime", "runsc-net", "--pid", "container:net", "bb", "true", code=None), "network: not that of the container")
    equal(e.docker("run", "--rm", "--runtime", "runsc-net", "--pid", "container:net", "--network", "container:net", "bb", "echo", "in"), "in\n")
