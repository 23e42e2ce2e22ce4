# 500 processes and 2,000 threads alive at once.
set -euo pipefail
cd /tmp; python3 - <<'PY'
import os, signal, threading, time
r, w = os.pipe(); pids = []
for n in range(500):
    pid = os.fork()
    if pid == 0:
        os.write(w, b"x"); signal.pause()
    pids.append(pid)
got = 0
while got < 500: got += len(os.read(r, 500))
print("processes", got)
for pid in pids: os.kill(pid, signal.SIGTERM)
print("ended", sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM for pid in pids))
threading.stack_size(64 * 1024)
gate, ready, lock = threading.Event(), [0], threading.Lock()
def body():
    with lock: ready[0] += 1
    gate.wait()
threads = [threading.Thread(target=body) for _ in range(2000)]
for t in threads: t.start()
while ready[0] < 2000: time.sleep(0.01)
print("threads", ready[0], len(os.listdir("/proc/self/task")))
gate.set(); [t.join() for t in threads]; print("joined")
PY
