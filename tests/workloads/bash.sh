# Shell features: pipelines, substitutions, here documents, traps, job control, arrays.
set -euo pipefail
cd /tmp
seq 1 2000 | grep 7 | sort -rn | head -n 3 | tr '\n' ' '; echo
diff <(seq 1 5) <(seq 1 6) || echo "diff says $?"
cat <<HERE | tr a-z A-Z
here document $((6 * 7))
HERE
declare -A map=([one]=1 [two]=2); echo "${map[one]}${map[two]} ${#map[@]}"
(trap 'echo caught TERM' TERM; kill -TERM $BASHPID; echo after)
(trap 'echo leaving' EXIT; exit 3) || echo "status $?"
bash -c 'kill -SEGV $$' 2>/dev/null || echo "killed: $?"
bash -c 'exec 3<>/dev/null; exit 5' || echo "exit: $?"
sleep 100 & pid=$!; kill $pid; wait $pid || echo "wait says $?"
for n in 1 2 3 4; do (sleep 0.0$n; exit $n) & done; total=0
for job in $(jobs -p); do wait $job || total=$((total + $?)); done; echo "sum $total"
set -m
sleep 100 & kill -STOP %1; sleep 1; jobs | sed 's/  */ /g'
kill -CONT %1; sleep 1; jobs | sed 's/  */ /g'; kill %1; wait %1 || echo "job $?"
set +m
coproc CAT { cat; }; echo through >&"${CAT[1]}"; read -r line <&"${CAT[0]}"; echo "coproc $line"
mkfifo pipe; (echo fifo > pipe &); read -r line < pipe; echo "$line"
timeout 0.2 sleep 5 || echo "timeout $?"
time_out=$( { time -p true; } 2>&1 | wc -l); echo "time prints $time_out lines"
ulimit -n 64; ulimit -n
read -r -t 0.1 nothing < <(sleep 1) || echo "read timed out: $(( $? > 128 ))"
printf '%s\n' {a..c}{1..2} | paste -sd,
i=0; while [ $i -lt 300 ]; do i=$((i + 1)); /bin/true; done; echo "ran $i"
