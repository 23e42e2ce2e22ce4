# nginx with two workers serving files to curl, keep-alive, ranges, many clients, reload and stop.
set -euo pipefail
mkdir -p /tmp/www /tmp/n; cd /tmp; head -c 5000000 /dev/zero | tr '\0' 'n' > www/big; echo hello > www/small
cat > n/conf <<'C'
worker_processes 2; pid /tmp/n/pid; error_log /tmp/n/err; user root;
events { worker_connections 256; }
http { access_log /tmp/n/access; client_body_temp_path /tmp/n/b; proxy_temp_path /tmp/n/p; fastcgi_temp_path /tmp/n/f; uwsgi_temp_path /tmp/n/u; scgi_temp_path /tmp/n/s;
 sendfile on; server { listen 127.0.0.1:8088; root /tmp/www; location /proxy/ { proxy_pass http://127.0.0.1:8089/; } } server { listen 127.0.0.1:8089; return 200 "proxied\n"; } }
C
nginx -c /tmp/n/conf
url=http://127.0.0.1:8088
for n in $(seq 600); do curl -sf $url/small > /dev/null && break; sleep 0.1; done
curl -s $url/small; curl -s $url/big | md5sum; curl -s -r 10-19 $url/big; echo
curl -s -o /dev/null -w '%{http_code}\n' $url/none; curl -s $url/proxy/; curl -sI $url/big | tr -d '\r' | grep -E '^(HTTP|Content-Length)'
seq 200 | xargs -P 8 -I{} curl -s $url/small | sort | uniq -c | sed 's/^ *//'
curl -s $url/small $url/small $url/small | wc -l
nginx -c /tmp/n/conf -s reload; sleep 0.5; curl -s $url/small
nginx -c /tmp/n/conf -s quit; for n in $(seq 600); do [ -e n/pid ] || break; sleep 0.1; done; test -e n/pid || echo "stopped"
test "$(wc -l < n/access)" -ge 200 && echo "logged"
