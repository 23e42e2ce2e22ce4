# Python: threads, subprocess, multiprocessing, asyncio, sqlite3, mmap, signal, sockets, files.
set -euo pipefail
cd /tmp; exec python3 - <<'PY'
import asyncio, ctypes, hashlib, json, math, mmap, multiprocessing, os, queue, random, select, signal, socket, sqlite3
import subprocess, sys, tempfile, threading, time, zlib
q = queue.Queue()
threads = [threading.Thread(target=lambda n=n: q.put(sum(range(n * 1000)))) for n in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
print("threads", sum(q.get() for _ in range(20)))
lock, box = threading.Lock(), [0]
def add():
    for _ in range(5000):
        with lock: box[0] += 1
ts = [threading.Thread(target=add) for _ in range(4)]; [t.start() for t in ts]; [t.join() for t in ts]
print("lock", box[0])
print("subprocess", subprocess.run(["tr", "a-z", "A-Z"], input=b"text", capture_output=True).stdout)
p = subprocess.Popen("exit 7", shell=True); print("status", p.wait())
try: subprocess.run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired: print("timeout")
print("signal death", subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)
def square(n): return n * n
with multiprocessing.Pool(4) as pool: print("pool", sum(pool.map(square, range(500))))
parent, child = multiprocessing.Pipe()
m = multiprocessing.Process(target=lambda: child.send(os.getpid() != 0)); m.start(); print("pipe", parent.recv()); m.join()
v = multiprocessing.Value("i", 0)
def bump(v):
    for _ in range(200):
        with v.get_lock(): v.value += 1
ps = [multiprocessing.Process(target=bump, args=(v,)) for _ in range(4)]; [x.start() for x in ps]; [x.join() for x in ps]
print("shared value", v.value)
async def echo(reader, writer):
    writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0); port = server.sockets[0].getsockname()[1]
    async def client(n):
        r, w = await asyncio.open_connection("127.0.0.1", port); w.write(b"n%d\n" % n); line = await r.readline(); w.close(); return line
    lines = await asyncio.gather(*(client(n) for n in range(50)))
    proc = await asyncio.create_subprocess_exec("echo", "sub", stdout=subprocess.PIPE)
    out, _ = await proc.communicate()
    await asyncio.sleep(0.01); server.close(); return hashlib.md5(b"".join(lines)).hexdigest()[:8], out
print("asyncio", asyncio.run(main()))
db = sqlite3.connect("py.db"); db.execute("create table t(a integer, b text)")
with db: db.executemany("insert into t values(?, ?)", ((n, str(n)) for n in range(5000)))
print("sqlite", db.execute("select sum(a), max(length(b)) from t").fetchone()); db.close()
with open("map", "wb+") as f:
    f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[100:105] = b"hello"; m.flush(); m.close(); f.seek(100); print("mmap", f.read(5))
a = mmap.mmap(-1, 4096)
if os.fork() == 0: a[0] = 9; os._exit(0)
os.wait(); print("shared map", a[0])
got = []
signal.signal(signal.SIGUSR1, lambda s, f: got.append(s)); os.kill(os.getpid(), signal.SIGUSR1); print("signal", got)
signal.signal(signal.SIGALRM, lambda s, f: got.append(s)); signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.2); print("alarm", len(got))
a, b = socket.socketpair(); a.sendall(b"x" * 100000 if False else b"pair"); print("socketpair", b.recv(10))
s = select.epoll(); s.register(b, select.EPOLLIN); a.send(b"y"); print("epoll", len(s.poll(1)))
fds = socket.socketpair(); r, w = os.pipe(); socket.send_fds(fds[0], [b"f"], [r]); _, (n,), _, _ = socket.recv_fds(fds[1], 1, 1); os.write(w, b"passed"); print("send_fds", os.read(n, 9))
pid, fd = os.forkpty()
if pid == 0: os.execvp("echo", ["echo", "in a terminal"])
print("pty", os.read(fd, 99)); os.waitpid(pid, 0)
with tempfile.TemporaryDirectory() as d:
    for n in range(200): open(os.path.join(d, str(n)), "w").write(str(n))
    print("files", len(os.listdir(d)), sum(e.stat().st_size for e in os.scandir(d)))
print("zlib", zlib.crc32(zlib.compress(b"abc" * 10000)), "json", json.loads(json.dumps({"pi": round(math.pi, 5)})))
print("ctypes", ctypes.CDLL(None).abs(-5), "float", sum(math.sin(x) for x in range(100000)).hex())
ev = threading.Event(); threading.Timer(0.05, ev.set).start(); print("event", ev.wait(2))
print(sys.version_info[:2], os.uname().sysname, os.cpu_count() > 0)
PY
