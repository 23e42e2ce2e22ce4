# sqlite3: a transaction of many rows, many transactions, WAL, concurrent writers, integrity.
set -euo pipefail
cd /tmp
sqlite3 a.db 'create table t(id integer primary key, v text, n integer);
  with recursive c(x) as (select 1 union all select x+1 from c where x < 50000) insert into t select x, hex(x), x % 97 from c;
  create index i on t(n); select count(*), sum(id), max(v) from t; select n, count(*) from t where n < 3 group by n;'
for n in $(seq 1 30); do echo "insert into t(v, n) values('row $n', $n);"; done | sqlite3 a.db
sqlite3 a.db 'select count(*) from t; pragma integrity_check;'
sqlite3 b.db 'pragma journal_mode=wal; create table t(a);' 
for w in 1 2 3 4; do (for n in $(seq 1 15); do sqlite3 -cmd '.timeout 20000' b.db "insert into t values($w * 100 + $n);"; done) & done; wait
sqlite3 b.db 'select count(*), sum(a) from t; pragma integrity_check;'
sqlite3 a.db .dump | sqlite3 c.db; sqlite3 c.db 'select count(*), sum(n) from t;'
sqlite3 a.db 'begin; delete from t; rollback; select count(*) from t; vacuum; pragma integrity_check;'
