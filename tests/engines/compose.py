"""docker-compose: redis and a web application in Python, which find each other by name."""
import os
import re
import shutil
import subprocess

import docker
from common import Failed, contains, equal, run, until

APPLICATION = '''
import http.server, socket

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with socket.create_connection(("redis", 6379), 5) as redis:
            redis.sendall(b"INCR hits\\r\\n")
            count = redis.recv(100)[1:].strip()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"seen " + count + b" times by " + socket.gethostname().encode() + b"\\n")

    def log_message(self, *args):
        print("served", flush=True)

http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
'''

PING = "import socket; s = socket.create_connection(('127.0.0.1', 6379), 2); s.sendall(b'PING\\\\r\\\\n'); assert s.recv(9) == b'+PONG\\\\r\\\\n'"

SERVICES = f'''
version: "2.4"
services:
  redis:
    image: app
    command: redis-server --save "" --bind 0.0.0.0 --protected-mode no
    volumes: ["data:/data"]
    healthcheck: {{test: ["CMD", "python3", "-c", "{PING}"], interval: 500ms, retries: 200}}
  web:
    build: .
    hostname: the-web
    depends_on: {{redis: {{condition: service_healthy}}}}
    ports: ["127.0.0.1:8089:8000"]
volumes: {{data: {{}}}}
'''


class Engine(docker.Engine):
    def __init__(self, runsc, directory, group):
        # Names are served on a loopback address of the network namespace that docker made: with the sandbox's own stack there is none.
        super().__init__(runsc, directory, group, {"runsc-net": {"path": runsc, "runtimeArgs": ["--network=host"]}})

    def start(self, tar):
        super().start(tar)
        place = f"{self.directory}/compose"
        os.makedirs(place)
        self.docker("import", "-c", "ENV PATH=/usr/bin:/bin", programs(self.directory), "app")
        for name, text in (("app.py", APPLICATION), ("docker-compose.yml", SERVICES),
                           ("Dockerfile", "FROM app\nCOPY app.py /app.py\nRUN mkdir /built\nCMD [\"python3\", \"/app.py\"]\n")):
            with open(f"{place}/{name}", "w") as file:
                file.write(text)
        self.compose_file = f"{place}/docker-compose.yml"

    def compose(self, *args, **more):
        return run("docker-compose", "-p", "test", "-f", self.compose_file, *args, env=self.env, **more)


def programs(directory):
    """A tar with this machine's redis and Python, and the libraries that they need."""
    root = f"{directory}/programs"
    shutil.copytree(f"{directory}/image", root, symlinks=True)
    os.makedirs(f"{root}/usr/bin")
    os.makedirs(f"{root}/data")
    files = {os.path.realpath("/usr/bin/redis-server"): "redis-server", os.path.realpath("/usr/bin/python3"): "python3"}
    library = os.path.dirname(subprocess.run(["/usr/bin/python3", "-c", "import os; print(os.__file__)"], text=True, check=True,
                                             stdout=subprocess.PIPE).stdout)
    shutil.copytree(library, root + library, symlinks=True, ignore=shutil.ignore_patterns("test", "__pycache__", "*.a", "config-*", "dist-packages"))
    for path, name in files.items():
        shutil.copy(path, f"{root}/usr/bin/{name}")
    loaded = [*files, *(os.path.join(f"{library}/lib-dynload", n) for n in os.listdir(f"{library}/lib-dynload"))]
    text = subprocess.run(["ldd", *loaded], text=True, stdout=subprocess.PIPE).stdout
    for path in set(re.findall(r"(/\S+) \(0x", text)):
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(os.path.realpath(path), root + path)
    subprocess.run(["tar", "-C", root, "-cf", f"{directory}/programs.tar", "."], check=True)
    return f"{directory}/programs.tar"


def check_up(e):
    def seen():
        """How many pages redis has counted; an answer may have been lost before."""
        page = re.fullmatch("seen ([0-9]+) times by the-web\n", run("curl", "-s", "http://127.0.0.1:8089/", code=None))
        return int(page[1]) if page else 0
    e.compose("up", "-d", timeout=600)
    first = until("the page", seen)
    listed = e.compose("ps")
    contains(listed, "127.0.0.1:8089->8000")
    # docker-compose 1 says `Up (healthy)`, 2 says since when.
    if not re.search(r"Up .*\(healthy\)", listed):
        raise Failed(f"nothing healthy in {listed!r}")
    until("another page", lambda: seen() > first)
    many = until("many pages", lambda: (lambda n: n if n > 20 else 0)(seen()))
    contains(e.compose("logs", "web"), "served")
    # The name is served while containers come and go.
    e.compose("restart", "-t", "1", "redis")
    until("the page of a new redis", lambda: 0 < seen() < many)
    contains(e.compose("exec", "-T", "web", "python3", "-c", "import socket; print(socket.gethostbyname('redis'))"), "172.")
    e.compose("down", "-v", "-t", "1")
    equal(e.docker("ps", "-aq"), "")
    equal(e.docker("volume", "ls", "-q"), "")
