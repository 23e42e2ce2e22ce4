# find, tar, xz, xargs -P, sort of a large file, rm -rf.
set -euo pipefail
cd /tmp; export LC_ALL=C
mkdir tree; for d in $(seq 1 40); do mkdir tree/d$d; for f in $(seq 1 25); do echo "$d $f" > tree/d$d/f$f; done; done
find tree -type f | wc -l
find tree -name 'f1*' -size -2 | wc -l
find tree -type f -print0 | xargs -0 -P 4 -n 50 cat | sort | md5sum
tar cf tree.tar tree; tar tf tree.tar | wc -l
mkdir out; tar xf tree.tar -C out; diff -r tree out/tree && echo "same trees"
tar cJf tree.tar.xz tree; mkdir out2; tar xJf tree.tar.xz -C out2; diff -r tree out2/tree && echo "same trees"
find out -newer tree.tar.xz | wc -l
rm -rf out out2; ls
awk 'BEGIN { srand(1); for (i = 0; i < 400000; i++) printf "%d %d\n", (i * 7919) % 400009, i }' > big
sort -n big | md5sum; sort -S 2M -T /tmp -k2nr big | md5sum
gzip -k big; zcat big.gz | cmp - big && echo "gzip fine"
find /usr -type f | wc -l > count; test "$(cat count)" -gt 1000 && echo "many files in /usr"
grep -rl 'define EOF' /usr/include | head -n 3 | sort
