"""systemd as the manager of control groups: what `--systemd-cgroup` asks it for. It is pid 1 of namespaces of its own, knows no unit
of this machine's, and sees a /tmp, /run and /var/log of its own, so that nothing it does reaches further."""
import json
import os
import subprocess

from common import contains, equal, run, until

V1 = "cpu cpuacct cpuset memory devices freezer blkio pids".split()

# Becomes pid 1 there. D-Bus is a unit of systemd's: that is how it knows that it can talk to it.
INIT = r"""
set -e
mount --make-rprivate /
mount -t proc proc /proc
for d in /run /tmp /var/log /etc/systemd/system /usr/lib/systemd/system /usr/lib/systemd/system-generators; do
    mount -t tmpfs -o mode=755 tmpfs $d
done
mkdir -p /run/dbus /run/systemd/system
[ ! -e /etc/fstab ] || mount --bind /dev/null /etc/fstab
umount -R /sys/fs/cgroup
[ "%(hierarchies)s" ] && mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
for c in %(hierarchies)s; do
    mkdir /sys/fs/cgroup/$c
    case $c in
    unified) mount -t cgroup2 cgroup2 /sys/fs/cgroup/$c ;;
    systemd) mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/$c ;;
    *) mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c ;;
    esac
done
cd /etc/systemd/system
printf '[Unit]\nDefaultDependencies=no\nWants=dbus.service\n' >test.target
printf '[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n' >dbus.socket
printf '[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\n[Service]\nType=notify\nNotifyAccess=main\n' >dbus.service
printf 'ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n' >>dbus.service
export container=lxc
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
"""


class Engine:
    def __init__(self, runsc, directory, group):
        # A group beside the one that is looked through for what containers leave: systemd's own are in it.
        self.runsc, self.directory, self.group = runsc, directory, f"{group}-init"
        self.process = None

    def start(self, tar):
        hierarchies = [c for c in V1 + ["systemd", "unified"] if os.path.isdir(f"/sys/fs/cgroup/{c}")]
        groups = [f"/sys/fs/cgroup/{c}/{self.group}" for c in hierarchies] or [f"/sys/fs/cgroup/{self.group}"]
        if not hierarchies:
            with open("/sys/fs/cgroup/cgroup.subtree_control", "w") as file:
                file.write("+cpu +cpuset +io +memory +pids")
        for group in groups:
            os.mkdir(group)
            for file in ("cpuset.cpus", "cpuset.mems") if "/cpuset/" in group else ():
                with open(f"{group}/../{file}") as old, open(f"{group}/{file}", "w") as new:
                    new.write(old.read())
        os.makedirs(f"{self.directory}/b/rootfs")
        run("tar", "-C", f"{self.directory}/b/rootfs", "-xf", tar)
        enter = "".join(f"echo $$ >{group}/cgroup.procs; " for group in groups)
        shell = f"{enter} exec unshare -C -p -m -f --kill-child bash -c \"$0\""
        log = open(f"{self.directory}/systemd.log", "w")
        self.process = subprocess.Popen(["bash", "-c", shell, INIT % {"hierarchies": " ".join(hierarchies)}],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.pid = until("pid 1", lambda: open(children).read().split())[0]
        until("systemd on its bus", lambda: "systemd1" in self.inside("busctl", "list", code=None))

    def inside(self, *command, **more):
        return run("nsenter", "-t", self.pid, "-m", "-p", "-C", *command, **more)

    def sandbox(self, *command, **more):
        return self.inside(self.runsc, "--root", "/run/runsc", "--systemd-cgroup", *command, **more)

    def container(self, path, **resources):
        spec = {
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
            "linux": {"cgroupsPath": path, "resources": resources, "namespaces": [{"type": "pid"}, {"type": "mount"}]},
        }
        with open(f"{self.directory}/b/config.json", "w") as file:
            json.dump(spec, file)
        command = f"{self.runsc} --root /run/runsc --systemd-cgroup run -d -b {self.directory}/b c"
        self.inside("sh", "-c", f"{command} >/run/out 2>&1 </dev/null || {{ cat /run/out >&2; exit 1; }}")

    def shown(self, unit):
        text = self.inside("systemctl", "show", "--no-pager", unit)
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def clean(self):
        self.sandbox("delete", "--force", "c")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        for top, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if f"/{self.group}/" in top + "/":
                until("an empty group", lambda: removed(top))


def removed(group):
    try:
        os.rmdir(group)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def check_scope(e):
    """The container is a scope of its slice, with the properties that runc gives, and every process of it is in there."""
    e.container("system.slice:pre:c", memory={"limit": 100 << 20}, cpu={"shares": 512, "quota": 50000, "period": 100000}, pids={"limit": 50})
    unit = e.shown("pre-c.scope")
    for name, value in {"ActiveState": "active", "Slice": "system.slice", "Delegate": "yes", "CPUQuotaPerSecUSec": "500ms",
                        "ControlGroup": "/system.slice/pre-c.scope", "DefaultDependencies": "no"}.items():
        equal((name, unit[name]), (name, value))
    equal("104857600" in (unit["MemoryLimit"], unit["MemoryMax"]), True)
    processes = e.inside("systemd-cgls", "--no-pager", "-u", "pre-c.scope")
    contains(processes, "sleep 1000", "runsc-sandbox", "runsc-gofer")
    # What systemd does not know of a unit it sets back when it looks at its units again.
    e.inside("systemctl", "daemon-reload")
    file = e.inside("sh", "-c", "cat /sys/fs/cgroup/memory/system.slice/pre-c.scope/memory.limit_in_bytes "
                                "/sys/fs/cgroup/system.slice/pre-c.scope/memory.max 2>/dev/null", code=None)
    equal(file.strip(), "104857600")
    e.sandbox("delete", "--force", "c")
    until("the end of the scope", lambda: e.shown("pre-c.scope")["ActiveState"] == "inactive")
    equal(e.inside("find", "/sys/fs/cgroup", "-name", "pre-c.scope"), "")


def check_update(e):
    e.container("system.slice:pre:c", memory={"limit": 100 << 20})
    e.sandbox("update", "--memory", "209715200", "c")
    unit = e.shown("pre-c.scope")
    equal("209715200" in (unit["MemoryLimit"], unit["MemoryMax"]), True)


def check_slices(e):
    """A slice within slices, and the default where config.json names none."""
    e.container("a-b.slice:pre:c")
    equal(e.shown("pre-c.scope")["ControlGroup"], "/a.slice/a-b.slice/pre-c.scope")
    e.sandbox("delete", "--force", "c")
    e.container("", memory={"limit": 100 << 20})
    equal(e.shown("runsc-c.scope")["ControlGroup"], "/system.slice/runsc-c.scope")


def check_end(e):
    """The scope goes with the last process; its name can be used again."""
    for _ in range(2):
        e.container("system.slice:pre:c", pids={"limit": 50})
        e.sandbox("kill", "c", "KILL")
        until("the end", lambda: '"stopped"' in e.sandbox("state", "c"))
        e.sandbox("delete", "c")
        until("the end of the scope", lambda: e.shown("pre-c.scope")["ActiveState"] == "inactive")


def check_failed(e):
    """systemd keeps a unit that failed: its name can be used again all the same."""
    e.inside("systemd-run", "--scope", "--slice=system.slice", "--unit=pre-c", "-p", "RuntimeMaxSec=1", "sleep", "100", code=None)
    until("a failed unit", lambda: e.shown("pre-c.scope")["ActiveState"] == "failed")
    e.container("system.slice:pre:c", pids={"limit": 50})
    equal(e.shown("pre-c.scope")["ActiveState"], "active")
