"""podman and runsc as an ordinary user with subordinate ids."""
import json
import os
import shutil

from common import contains, equal, run

USER, ID = "runsc-user", 64321


class Engine:
    def __init__(self, runsc, directory, group):
        # Where the build is he may not go.
        self.runsc = shutil.copy(runsc, f"{directory}/runsc")
        self.directory, self.group = directory, group
        self.home = f"{directory}/home"
        self.env = {"PATH": os.environ["PATH"], "HOME": self.home, "USER": USER, "XDG_RUNTIME_DIR": f"/run/user/{ID}", "LANG": "C"}

    def start(self, tar):
        d = self.directory
        # A user of this mount namespace only.
        for name, line in (("passwd", f"{USER}:x:{ID}:{ID}::{self.home}:/bin/sh"), ("group", f"{USER}:x:{ID}:"),
                           ("subuid", f"{USER}:300000:65536"), ("subgid", f"{USER}:300000:65536")):
            with open(f"/etc/{name}") as file:
                text = file.read()
            with open(f"{d}/{name}", "w") as file:
                file.write(f"{text}{line}\n")
            run("mount", "--bind", f"{d}/{name}", f"/etc/{name}")
        run("mount", "--make-rshared", "/")
        os.chmod(d, 0o755)
        os.makedirs(f"{self.home}/.config/containers")
        os.makedirs(f"/run/user/{ID}")
        with open(f"{self.home}/.config/containers/containers.conf", "w") as file:
            file.write(f'[containers]\ndefault_ulimits = ["nofile=1024:1024"]\nlog_driver = "k8s-file"\nnetns = "none"\n'
                       f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runsc"\n'
                       f'[engine.runtimes]\nrunsc = ["{self.runsc}"]\n')
        run("chown", "-R", f"{ID}:{ID}", self.home, f"/run/user/{ID}")
        self.podman("import", tar, "bb")

    def user(self, *args, **more):
        return run("setpriv", "--reuid", str(ID), "--regid", str(ID), "--init-groups", *args, env=self.env, **more)

    def podman(self, *args, **more):
        return self.user("podman", *args, **more)

    def clean(self):
        self.podman("rm", "-f", "-a", "-t", "0", "-v")

    def stop(self):
        self.podman("system", "reset", "-f", code=None)


def check_run(e):
    equal(e.podman("run", "--rm", "bb", "echo", "hello"), "hello\n")
    e.podman("run", "--rm", "bb", "sh", "-c", "exit 7", code=7)
    contains(e.podman("run", "--rm", "bb", "no-such", code=127), "executable file")
    equal(e.podman("run", "--rm", "--user", "1:50", "bb", "sh", "-c", "id -u; id -g"), "1\n50\n")
    equal(len(e.podman("run", "--rm", "bb", "seq", "100000").splitlines()), 100000)


def check_life(e):
    os.makedirs(f"{e.home}/volume", exist_ok=True)
    os.chown(f"{e.home}/volume", ID, ID)
    e.podman("run", "-d", "--name", "live", "-v", f"{e.home}/volume:/v", "bb", "sleep", "4321")
    equal(e.podman("exec", "live", "sh", "-c", "echo inside >/v/file; cat /v/file"), "inside\n")
    # Root of the container is the user outside.
    equal(os.stat(f"{e.home}/volume/file").st_uid, ID)
    contains(e.podman("top", "live"), "sleep 4321")
    e.podman("cp", f"{e.home}/volume/file", "live:/root/copied")
    equal(e.podman("exec", "live", "cat", "/root/copied"), "inside\n")
    e.podman("stop", "-t", "0", "live")
    e.podman("start", "live")
    equal(e.podman("exec", "live", "cat", "/root/copied"), "inside\n")


def check_runsc_itself(e):
    equal(e.user(e.runsc, "--rootless", "do", "sh", "-c", "id -u; echo $((1+1))"), f"{ID}\n2\n")
    bundle = f"{e.home}/bundle"
    os.makedirs(bundle)
    config = {"ociVersion": "1.0.2", "root": {"path": f"{e.directory}/image", "readonly": True},
              "process": {"args": ["/bin/sh", "-c", "id -u; exit 3"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]},
              "linux": {"namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts", "network")]}}
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(config, file)
    contains(e.user(e.runsc, "--rootless", "--root", f"{e.home}/state", "run", "--bundle", bundle, "mine", code=3), "0\n")
    equal(os.listdir(f"{e.home}/state"), [])
