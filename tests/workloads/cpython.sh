# One module of CPython's own tests ($1): prints `fail NAME` for each failure.
cd /tmp; export HOME=/tmp
timeout -s INT -k 10 800 python3 -m test --junit-xml /tmp/result.xml "$1" > log 2>&1 < /dev/null
status=$?
[ -s result.xml ] || { tail -n 5 log; echo "fail $1 (no result, status $status)"; exit 0; }
python3 - "$1" <<'PY'
import sys, xml.etree.ElementTree as tree
total = 0
for case in tree.parse("/tmp/result.xml").iter("testcase"):
    total += 1
    if any(case.find(kind) is not None for kind in ("failure", "error")):
        print("fail", case.get("name"))
print("ran", "some" if total > 5 else total)
PY
