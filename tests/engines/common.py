"""What the checks of all engines share."""
import os
import pty
import re
import select
import shutil
import subprocess
import time


# What takes longer hangs. On a busy machine a second's work takes half a minute.
PATIENCE = 180


class Failed(Exception):
    pass


def run(*command, code=0, input=None, env=None, timeout=PATIENCE):
    """Runs a command that shall end with this code (None: any); gives its standard output, for a failure its error."""
    done = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                          timeout=timeout, stdin=subprocess.DEVNULL if input is None else None)
    if code is not None and done.returncode != code:
        raise Failed(f"{' '.join(command)[-200:]}: exit code {done.returncode}, wanted {code}: {done.stderr.strip()[-400:]}")
    return done.stdout if code == 0 else done.stdout + done.stderr


def equal(have, want):
    if have != want:
        have, want = repr(have), repr(want)
        # Of something long, where the two part.
        at = next((n for n, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
        at = max(0, at - 100) if max(len(have), len(want)) > 1000 else 0
        raise Failed(f"{have[at:at + 1000]} is not {want[at:at + 1000]}")


def contains(text, *words):
    for word in words:
        if word not in text:
            raise Failed(f"no {word!r} in {text[-500:]!r}")


def until(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited in vain for {what}")
        time.sleep(0.05)


def unchanged(what, value, period=0.5):
    """Waits until a value stays what it is for so long; gives it."""
    def same():
        before = value()
        time.sleep(period)
        return (before,) if value() == before else None
    return until(f"an end of the changes of {what}", same)[0]


def enter_namespaces(command):
    """Becomes this command in mount, network and pid namespaces with a /run of their own."""
    # The shell is pid 1 there and takes in orphans.
    inside = 'mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/lock && ip link set lo up && ' \
             '{ "$@" & wait $!; }'
    os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                          "bash", "-c", inside, "bash", *command])


def image(directory):
    """A tar with busybox in it, the whole of the image that the checks run."""
    root = os.path.join(directory, "image")
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "var"):
        os.makedirs(os.path.join(root, name))
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
    for name in subprocess.run(["/bin/busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split():
        if name != "busybox":
            os.symlink("busybox", os.path.join(root, "bin", name))
    # Debian's busybox has none for System V objects.
    for name in "ipcmk", "ipcs":
        shutil.copy(f"/usr/bin/{name}", os.path.join(root, "bin"))
    libraries = subprocess.run(["ldd", "/usr/bin/ipcmk"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for library in (word for word in libraries if word.startswith("/")):
        os.makedirs(root + os.path.dirname(library), exist_ok=True)
        shutil.copy(library, root + library)
    with open(os.path.join(root, "etc/passwd"), "w") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\n")
    with open(os.path.join(root, "etc/group"), "w") as file:
        file.write("root:x:0:\ndaemon:x:1:\nstaff:x:50:\n")
    tar = os.path.join(directory, "image.tar")
    subprocess.run(["tar", "-C", root, "-cf", tar, "."], check=True)
    return tar


def processes():
    """Pid, state and command line, with its NULs, of each process in this pid namespace."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
            with open(f"/proc/{pid}/cmdline") as file:
                line = file.read()
        except OSError:
            continue
        yield int(pid), state, line


def remove_groups(group):
    for top, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if f"/{group}/" in top + "/":
            try:
                os.rmdir(top)
            except OSError:
                pass


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, env)

    def expect(self, pattern, patience=PATIENCE):
        seen, end = "", time.monotonic() + patience
        while not re.search(pattern, seen):
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise Failed(f"waited in vain for {pattern!r} after {seen[-300:]!r}")
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                raise Failed(f"the end came before {pattern!r}, after {seen[-300:]!r}")
            seen += data.decode(errors="replace")
        return seen

    def send(self, text):
        os.write(self.fd, text.encode())

    def rest(self):
        """Everything up to the end, and the exit code."""
        seen = b""
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            seen += data
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return seen.decode(errors="replace"), os.waitstatus_to_exitcode(status)
