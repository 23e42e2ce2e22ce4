# The everyday tools.
set -euo pipefail
cd /tmp; umask 022; export LC_ALL=C TZ=UTC
mkdir -p a/b/c; echo hello > a/f; ln -s f a/l; ln a/f a/h; cp -a a copy
stat -c '%n %s %A %h %F' a a/f a/l a/h | sed 's/^a [0-9]*/a SIZE/'
ls -la copy | awk 'NR > 1 { print $1, $2, $9, $10, $11 }'
touch -d '2001-02-03 04:05:06' a/f; date -r a/f +%s
chmod u+s,g-r,o=x a/f; stat -c %a a/f
mv a/f a/b/g; rm a/l; rmdir a/b/c; find a | sort
dd if=/dev/zero of=zeros bs=1M count=16 status=none; sha256sum zeros | cut -c1-16; wc -c < zeros
truncate -s 5M zeros; du --apparent-size -k zeros | cut -f1
seq 100000 | shuf --random-source=<(yes) | sort -n | md5sum
seq 10 | split -l 3 - part.; cat part.* | paste -sd' '
head -c 1000000 /dev/zero | base64 | md5sum
printf 'b 2\na 1\nc 3\n' | sort | join - <(printf 'a x\nc z\n')
seq 20 | tac | tail -n 2; seq 5 | factor | tail -n1
echo text | tee one two > /dev/null; cmp one two && echo same
mktemp -d | grep -c /tmp/tmp.; readlink -f copy/l; realpath --relative-to=/usr /tmp
df /tmp > /dev/null; id -u; whoami; uname -s; nproc > /dev/null; pwd; env -i A=b env
timeout 5 tail -f --pid=$(sleep 0.3 & echo $!) /dev/null; echo "tail ended"
(stty size < /dev/null 2>&1 || true) | cut -c1-5; test -t 0 || echo "no terminal"
kill -l TERM; nice -n 5 nice; chroot / /bin/echo "in chroot"
install -m 751 -o 5 -g 6 one installed; stat -c '%a %u %g' installed
cksum < one; od -An -tx1 one; numfmt --to=iec 123456789; date -d @0 +%FT%T
rm -rf a copy zeros part.* one two installed tmp.*; ls
