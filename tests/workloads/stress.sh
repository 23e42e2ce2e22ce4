# Rounds of stress-ng that verify what they do.
set -euo pipefail
cd /tmp
for round in cpu memcpy matrix vm pipe sigq sigsuspend clone fork mmap mmapfork dentry dir rename link hdd seek poll futex switch sem eventfd timerfd pthread; do
    if stress-ng --temp-path /tmp --$round 2 --timeout 3 --$round-ops 300 --vm-bytes 32m --hdd-bytes 16m --mmap-bytes 16m --verify -q > log 2>&1
    then echo "$round passed"; else echo "$round FAILED $?"; head -n 5 log; fi
done
