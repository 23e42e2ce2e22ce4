# Installing, listing, verifying, removing and reinstalling a package.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg -r hello > /dev/null 2>&1 || true; test -e /usr/bin/hello || echo "removed"
dpkg -i /opt/hello.deb > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }
hello; dpkg -s hello | grep -E '^(Package|Status)'; dpkg -L hello | grep bin/; dpkg -V hello && echo "verified"
dpkg --purge hello > /dev/null 2>&1; test -e /usr/bin/hello || echo "purged"
dpkg -l | wc -l | awk '{ print ($1 > 50) }'
