"""What the checks of all engines share."""
import os
import pty
import re
import select
import subprocess
import time


class Failed(Exception):
    pass


def run(*command, code=0, input=None, env=None, timeout=60):
    """Runs a command that shall end with this code (None: any); gives its standard output, for a failure its error."""
    done = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                          timeout=timeout, stdin=subprocess.DEVNULL if input is None else None)
    if code is not None and done.returncode != code:
        raise Failed(f"{' '.join(command)[-200:]}: exit code {done.returncode}, wanted {code}: {done.stderr.strip()[-400:]}")
    return done.stdout if code == 0 else done.stdout + done.stderr


def equal(have, want):
    if have != want:
        raise Failed(f"{have!r} is not {want!r}")


def contains(text, *words):
    for word in words:
        if word not in text:
            raise Failed(f"no {word!r} in {text[-500:]!r}")


def until(what, condition, patience=30):
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited in vain for {what}")
        time.sleep(0.05)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, env)

    def expect(self, pattern, patience=30):
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
