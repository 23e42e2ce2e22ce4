# redis-server on a unix socket and on loopback TCP, with its benchmark, persistence and pub/sub.
set -euo pipefail
cd /tmp
redis-server --daemonize yes --unixsocket /tmp/r.sock --port 7777 --dir /tmp --save '' --logfile /tmp/redis.log --pidfile /tmp/r.pid > /dev/null
for n in $(seq 900); do redis-cli -s r.sock ping 2>/dev/null | grep -q PONG && break; sleep 0.1; done
r() { redis-cli -s r.sock "$@"; }
t() { redis-cli -p 7777 "$@"; }
r set a 1; r incr a; t get a; t rpush l 1 2 3; r lrange l 0 -1; r eval 'return redis.call("incrby", KEYS[1], 40)' 1 a
t hset h f v; r hgetall h; r expire a 100; t ttl a
redis-benchmark -s r.sock -n 20000 -c 20 -t set,get -q > bench1; redis-benchmark -p 7777 -n 20000 -c 20 -t set,get -q > bench2
grep -oc 'requests per second' <(tr '\r' '\n' < bench1 | grep -a 'requests per second, p50') <(tr '\r' '\n' < bench2 | grep -a 'requests per second, p50') | sed 's/.*://'
redis-benchmark -p 7777 -n 10000 -c 50 -P 16 -d 1000 -t set,lpush -q > /dev/null; r llen mylist
(timeout 100 redis-cli -p 7777 subscribe news | head -n 6 | tail -n 1 > got &) ; for n in $(seq 600); do [ "$(r publish news hello)" = 1 ] && break; sleep 0.1; done
for n in $(seq 600); do [ -s got ] && break; sleep 0.1; done; cat got
r bgsave > /dev/null; for n in $(seq 900); do r info persistence | grep -q 'rdb_bgsave_in_progress:0' && break; sleep 0.1; done
r info persistence | tr -d '\r' | grep -E '^rdb_last_bgsave_status'; test -s dump.rdb && echo "dumped"
r shutdown nosave || true; for n in $(seq 600); do [ -e r.pid ] || break; sleep 0.1; done; test -e r.pid || echo "stopped"
