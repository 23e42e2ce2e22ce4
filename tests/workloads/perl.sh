# Perl: regular expressions, hashes, fork, pipes, sockets, files, sorting.
set -euo pipefail
cd /tmp; exec perl -we '
use strict; use POSIX qw(:sys_wait_h); use IO::Socket; use Fcntl qw(:flock); use File::Find; use Time::HiRes qw(sleep);
my %count; $count{length $_}++ for map { "x" x ($_ % 7) } 1..10000; print join(",", map { "$_=$count{$_}" } sort keys %count), "\n";
(my $text = "The quick brown fox") =~ s/(\w+)/\u\L$1/g; print "$text\n";
my @pids; for my $n (1..5) { my $pid = fork; if (!$pid) { exit $n } push @pids, $pid }
my $sum = 0; waitpid($_, 0), $sum += $? >> 8 for @pids; print "sum $sum\n";
open my $p, "-|", "seq 1 100" or die; my $total = 0; $total += $_ while <$p>; close $p; print "total $total\n";
my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die; my $port = $s->sockport;
if (!fork) { my $c = IO::Socket::INET->new("127.0.0.1:$port"); print $c "from child\n"; exit } print "socket: ", $s->accept->getline; wait;
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; sleep 5 }; print $@;
local $SIG{CHLD} = "IGNORE"; open my $f, ">", "file" or die; flock $f, LOCK_EX; print $f "line $_\n" for 1..1000; close $f;
open $f, "<", "file"; my @lines = <$f>; print scalar(@lines), " ", $lines[-1]; my $n = 0; find(sub { $n++ if -f }, "/etc"); print "etc ", ($n > 50 ? "full" : $n), "\n";
print join(" ", (sort { $a <=> $b } map { ($_ * 7919) % 10007 } 1..5000)[0..5]), "\n"; print `echo backtick`; system("exit 3"); print $? >> 8, "\n";
'
