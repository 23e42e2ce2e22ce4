# gcc and make -j2 of a small project: a static library, a program, a shared library, its tests.
set -euo pipefail
mkdir -p /tmp/project/src; cd /tmp/project
for n in $(seq 1 24); do cat > src/part$n.c <<C
#include <stdio.h>
#include <string.h>
#include <math.h>
static double table[256];
double part$n(int x) { for (int i = 0; i < 256; i++) table[i] = sqrt(i * $n + x); double s = 0; for (int i = 0; i < 256; i++) s += table[i]; return s; }
C
done
{ for n in $(seq 1 24); do echo "double part$n(int);"; done
  echo '#include <stdio.h>'; echo '#include <pthread.h>'; echo 'static void *run(void *p) { double s = 0;'
  for n in $(seq 1 24); do echo "s += part$n(3);"; done
  echo '*(double *)p = s; return 0; } int main(void) { pthread_t t[4]; double r[4]; for (int i = 0; i < 4; i++) { pthread_create(&t[i], 0, run, &r[i]); pthread_join(t[i], 0); } printf("%.4f %d\n", r[0], r[0] == r[3]); return 0; }'
} > src/main.c
cat > Makefile <<'M'
CFLAGS = -O2 -Wall
objects = $(patsubst src/%.c,%.o,$(wildcard src/part*.c))
all: program libparts.so
%.o: src/%.c
	gcc $(CFLAGS) -fPIC -c -o $@ $<
libparts.a: $(objects)
	ar rcs $@ $(objects)
libparts.so: $(objects)
	gcc -shared -o $@ $(objects) -lm
program: src/main.c libparts.a
	gcc $(CFLAGS) -o $@ $< libparts.a -lm -lpthread
dynamic: src/main.c libparts.so
	gcc $(CFLAGS) -o $@ $< -L. -lparts -lpthread -Wl,-rpath,'$$ORIGIN'
M
make -s -j2 all; ./program
make -s dynamic; ./dynamic
touch src/part3.c; make -j2 all | wc -l
gcc -O2 -g -fsanitize=undefined -o ub -x c - <<'C' && ./ub && echo "sanitized"
#include <stdio.h>
int main(int argc, char **argv) { long s = 0; for (int i = 0; i < 1000; i++) s += i * argc; return s != 499500; }
C
gcc -static -o static src/main.c libparts.a -lm -lpthread; ./static
echo 'int main(void) { return missing(); }' | gcc -x c - -o no 2>/dev/null || echo "broken program refused"
objdump -d program | grep -c '<main>:' ; strip program; ./program; make -s -n all | wc -l
