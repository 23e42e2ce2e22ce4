//! TCP and UDP over the loopback address.

use tests::prelude::*;

const LOOPBACK: u32 = 0x7f00_0001;

fn addr(port: u16) -> sockaddr_in {
    let mut a: sockaddr_in = unsafe { zeroed() };
    a.sin_family = AF_INET as u16;
    a.sin_port = port.to_be();
    a.sin_addr.s_addr = LOOPBACK.to_be();
    a
}

unsafe fn try_bind(fd: i32, port: u16) -> i32 {
    bind(fd, std::ptr::from_ref(&addr(port)).cast(), 16)
}

unsafe fn try_connect(fd: i32, port: u16) -> i32 {
    connect(fd, std::ptr::from_ref(&addr(port)).cast(), 16)
}

unsafe fn port_of(fd: i32) -> u16 {
    let (mut a, mut len) = (addr(0), 16);
    ok(getsockname(fd, (&raw mut a).cast(), &mut len));
    u16::from_be(a.sin_port)
}

unsafe fn tcp() -> i32 {
    ok(socket(AF_INET, SOCK_STREAM, 0))
}

unsafe fn udp() -> i32 {
    ok(socket(AF_INET, SOCK_DGRAM, 0))
}

unsafe fn bound(fd: i32) -> (i32, u16) {
    ok(try_bind(fd, 0));
    (fd, port_of(fd))
}

unsafe fn listener() -> (i32, u16) {
    let (fd, port) = bound(tcp());
    ok(listen(fd, 16));
    (fd, port)
}

/// (client, server) ends of one connection.
unsafe fn connected() -> (i32, i32) {
    let (l, port) = listener();
    let c = tcp();
    ok(try_connect(c, port));
    let s = ok(accept(l, null_mut(), null_mut()));
    close(l);
    (c, s)
}

unsafe fn option(fd: i32, level: i32, name: i32) -> i32 {
    let (mut value, mut len) = (-1, 4);
    ok(getsockopt(fd, level, name, (&raw mut value).cast(), &mut len));
    value
}

unsafe fn set_option(fd: i32, level: i32, name: i32, value: i32) {
    ok(setsockopt(fd, level, name, (&raw const value).cast(), 4));
}

unsafe fn poll1(fd: i32, events: i16, ms: i32) -> i16 {
    let mut poll = pollfd { fd, events, revents: 0 };
    ok(libc::poll(&mut poll, 1, ms));
    poll.revents
}

unsafe fn try_recv(fd: i32, flags: i32) -> isize {
    recv(fd, [0_u8; 16].as_mut_ptr().cast(), 16, flags)
}

unsafe fn try_send(fd: i32, data: &[u8], flags: i32) -> isize {
    send(fd, data.as_ptr().cast(), data.len(), flags)
}

unsafe fn send_to(fd: i32, data: &[u8], port: u16) -> isize {
    sendto(
        fd,
        data.as_ptr().cast(),
        data.len(),
        0,
        std::ptr::from_ref(&addr(port)).cast(),
        16,
    )
}

tests::cases! {
    fn connection_carries_bytes_both_ways() {
        let (c, s) = connected();
        put_fd(c, b"ping");
        eq(get_fd(s, 9), b"ping");
        put_fd(s, b"pong");
        eq(get_fd(c, 9), b"pong");
    }
    fn names_of_both_ends() {
        let (l, port) = listener();
        let c = tcp();
        ok(try_connect(c, port));
        let (mut a, mut len) = (addr(0), 16);
        let s = ok(accept(l, (&raw mut a).cast(), &mut len));
        eq((len, u32::from_be(a.sin_addr.s_addr), u16::from_be(a.sin_port)), (16, LOOPBACK, port_of(c)));
        eq(port_of(s), port);
        ok(getpeername(c, (&raw mut a).cast(), &mut len));
        eq(u16::from_be(a.sin_port), port);
        fails(ENOTCONN, getpeername(l, (&raw mut a).cast(), &mut len));
    }
    fn connect_to_a_closed_port_is_refused() {
        let (fd, port) = bound(tcp());
        close(fd);
        fails(ECONNREFUSED, try_connect(tcp(), port));
    }
    fn nonblocking_connect_completes() {
        let (_l, port) = listener();
        let c = ok(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        yes(try_connect(c, port) == 0 || errno() == EINPROGRESS);
        eq(poll1(c, POLLOUT, 5000), POLLOUT);
        eq(option(c, SOL_SOCKET, SO_ERROR), 0);
        put_fd(c, b"x");
    }
    fn nonblocking_connect_refused_shows_in_so_error() {
        let (fd, port) = bound(tcp());
        close(fd);
        let c = ok(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        if try_connect(c, port) == -1 && errno() == EINPROGRESS {
            yes(poll1(c, POLLOUT, 5000) & POLLERR != 0);
            eq(option(c, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
            eq(option(c, SOL_SOCKET, SO_ERROR), 0);
        }
    }
    fn accept_blocks_and_nonblocking_is_eagain() {
        let (l, port) = listener();
        let child = spawn(|| { sleep_ms(30); try_connect(tcp(), port) });
        ok(accept(l, null_mut(), null_mut()));
        wait_exit(child, 0);
        ok(fcntl(l, F_SETFL, O_NONBLOCK));
        fails(EAGAIN, accept(l, null_mut(), null_mut()));
    }
    fn poll_on_a_listener() {
        let (l, port) = listener();
        eq(poll1(l, POLLIN, 0), 0);
        ok(try_connect(tcp(), port));
        eq(poll1(l, POLLIN, 1000), POLLIN);
    }
    fn end_of_file_after_close() {
        let (c, s) = connected();
        put_fd(c, b"last");
        close(c);
        eq(get_all(s), b"last");
        eq(poll1(s, POLLIN | POLLRDHUP, 1000), POLLIN | POLLRDHUP);
    }
    fn half_close_keeps_the_other_direction() {
        let (c, s) = connected();
        ok(shutdown(c, SHUT_WR));
        eq(get_fd(s, 1), b"");
        put_fd(s, b"answer");
        eq(get_fd(c, 9), b"answer");
        fails(EPIPE, try_send(c, b"x", MSG_NOSIGNAL));
    }
    fn close_with_unread_data_resets() {
        let (c, s) = connected();
        put_fd(c, b"unread");
        yes(poll1(s, POLLIN, 1000) == POLLIN);
        close(s);
        sleep_ms(20);
        fails(ECONNRESET, try_recv(c, 0));
    }
    fn linger_zero_resets() {
        let (c, s) = connected();
        let l = linger { l_onoff: 1, l_linger: 0 };
        ok(setsockopt(c, SOL_SOCKET, SO_LINGER, (&raw const l).cast(), 8));
        close(c);
        sleep_ms(20);
        fails(ECONNRESET, try_recv(s, 0));
        eq(get_fd(s, 1), b"");
    }
    fn write_after_reset_is_epipe() {
        let (c, s) = connected();
        close(s);
        catch(SIGPIPE, 0);
        until(|| try_send(c, b"x", 0) < 0);
        yes(errno() == EPIPE || errno() == ECONNRESET);
        until(|| try_send(c, b"x", 0) < 0 && errno() == EPIPE);
        yes(hits() > 0);
    }
    fn peek_dontwait_waitall() {
        let (c, s) = connected();
        fails(EAGAIN, try_recv(s, MSG_DONTWAIT));
        put_fd(c, b"abc");
        eq(poll1(s, POLLIN, 1000), POLLIN);
        ok_eq(try_recv(s, MSG_PEEK), 3);
        ok_eq(try_recv(s, 0), 3);
        let child = spawn(|| { put_fd(c, b"12345678"); sleep_ms(20); put_fd(c, b"12345678"); 0 });
        ok_eq(try_recv(s, MSG_WAITALL), 16);
        wait_exit(child, 0);
    }
    fn big_transfer_is_whole() {
        let (c, s) = connected();
        let data: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 241) as u8).collect();
        let child = spawn(|| { close(s); put_fd(c, &data); 0 });
        close(c);
        yes(get_all(s) == data);
        wait_exit(child, 0);
    }
    fn slow_reader_holds_the_writer_back() {
        let (c, s) = connected();
        ok(fcntl(c, F_SETFL, O_NONBLOCK));
        let mut sent = 0;
        let start = now_ms();
        while now_ms() - start < 200 {
            let n = try_send(c, &[7; 65536], MSG_NOSIGNAL);
            if n > 0 { sent += n } else { sleep_ms(1) }
        }
        fails(EAGAIN, try_send(c, &[7; 65536], MSG_NOSIGNAL));
        yes(sent > 0);
        eq(poll1(c, POLLOUT, 0), 0);
        close_later(c);
        eq(get_all(s).len() as isize, sent);
    }
    fn bind_conflicts() {
        let (_l, port) = listener();
        fails(EADDRINUSE, try_bind(tcp(), port));
        let (fd, _) = bound(tcp());
        fails(EINVAL, try_bind(fd, 0));
        let mut other = addr(0);
        other.sin_addr.s_addr = 0x0808_0808;
        fails(EADDRNOTAVAIL, bind(tcp(), (&raw const other).cast(), 16));
        fails(EINVAL, bind(tcp(), (&raw const other).cast(), 8));
        other.sin_family = 77;
        fails(EAFNOSUPPORT, bind(tcp(), (&raw const other).cast(), 16));
    }
    fn privileged_ports_need_root() {
        as_user(1000, 1000, || {
            let range = text(c"/proc/sys/net/ipv4/ip_unprivileged_port_start");
            let got = try_bind(tcp(), 81);
            yes(got == 0 || (errno() == EACCES && range.trim() == "1024"));
        });
    }
    fn reuseaddr_after_close() {
        let l = tcp();
        set_option(l, SOL_SOCKET, SO_REUSEADDR, 1);
        let (_, port) = bound(l);
        ok(listen(l, 1));
        let c = tcp();
        ok(try_connect(c, port));
        let s = ok(accept(l, null_mut(), null_mut()));
        close(l);
        close(s);
        get_fd(c, 1);
        close(c);
        let again = tcp();
        set_option(again, SOL_SOCKET, SO_REUSEADDR, 1);
        ok(try_bind(again, port));
        ok(listen(again, 1));
    }
    fn reuseport_lets_two_listen() {
        let a = tcp();
        set_option(a, SOL_SOCKET, SO_REUSEPORT, 1);
        let (_, port) = bound(a);
        ok(listen(a, 4));
        let b = tcp();
        set_option(b, SOL_SOCKET, SO_REUSEPORT, 1);
        ok(try_bind(b, port));
        ok(listen(b, 4));
    }
    fn options_have_linux_defaults() {
        let fd = tcp();
        eq((option(fd, SOL_SOCKET, SO_TYPE), option(fd, SOL_SOCKET, SO_DOMAIN)), (SOCK_STREAM, AF_INET));
        eq(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
        eq(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        eq(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        set_option(fd, SOL_SOCKET, SO_RCVBUF, 50_000);
        eq(option(fd, SOL_SOCKET, SO_RCVBUF), 100_000);
        eq(option(fd, IPPROTO_IP, IP_TTL), 64);
        let (mut value, mut len) = (0, 4);
        fails(ENOPROTOOPT, getsockopt(fd, IPPROTO_TCP, 9999, (&raw mut value).cast(), &mut len));
    }
    fn tcp_info_says_established() {
        let (c, _s) = connected();
        let (mut info, mut len) = ([0_u8; 104], 104);
        ok(getsockopt(c, IPPROTO_TCP, TCP_INFO, info.as_mut_ptr().cast(), &mut len));
        eq(info[0], 1);
    }
    fn connect_twice_and_listen_errors() {
        let (c, _s) = connected();
        fails(EISCONN, try_connect(c, 9));
        fails(EINVAL, listen(c, 1));
        fails(EOPNOTSUPP, listen(udp(), 1));
        fails(EINVAL, accept(tcp(), null_mut(), null_mut()));
        fails(EPIPE, try_send(tcp(), b"x", MSG_NOSIGNAL));
        fails(ENOTCONN, try_recv(tcp(), 0));
        fails(ENOTCONN, shutdown(tcp(), SHUT_RDWR));
    }
    fn unconnected_socket_polls_hup() {
        eq(poll1(tcp(), POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
    }
    fn shutdown_wakes_a_blocked_accept_and_read() {
        let (l, _) = listener();
        let child = spawn(|| { fails(EINVAL, accept(l, null_mut(), null_mut())); 0 });
        until_asleep(child);
        ok(shutdown(l, SHUT_RDWR));
        wait_exit(child, 0);
        let (c, _s) = connected();
        let child = spawn(|| i32::from(get_fd(c, 1) != b""));
        until_asleep(child);
        ok(shutdown(c, SHUT_RDWR));
        wait_exit(child, 0);
    }
    fn queued_bytes_by_ioctl() {
        let (c, s) = connected();
        put_fd(c, b"abcde");
        let mut n = 0;
        until(|| { ok(ioctl(s, FIONREAD, &mut n)); n == 5 });
    }
    fn wildcard_listener_takes_loopback() {
        let l = tcp();
        let mut any = addr(0);
        any.sin_addr.s_addr = 0;
        ok(bind(l, (&raw const any).cast(), 16));
        ok(listen(l, 1));
        let c = tcp();
        ok(try_connect(c, port_of(l)));
        ok(accept(l, null_mut(), null_mut()));
    }
    fn many_connections_at_once() {
        let (l, port) = listener();
        let child = spawn(|| {
            let all: Vec<i32> = (0..100).map(|_| { let c = tcp(); ok(try_connect(c, port)); c }).collect();
            all.iter().for_each(|c| put_fd(*c, b"m"));
            all.iter().for_each(|c| eq(get_fd(*c, 1), b"r"));
            0
        });
        let all: Vec<i32> = (0..100).map(|_| ok(accept(l, null_mut(), null_mut()))).collect();
        for s in all {
            eq(get_fd(s, 1), b"m");
            put_fd(s, b"r");
        }
        wait_exit(child, 0);
    }
    fn udp_datagrams_with_sender() {
        let ((a, pa), (b, pb)) = (bound(udp()), bound(udp()));
        ok_eq(send_to(a, b"hello", pb), 5);
        let (mut from, mut len, mut buf) = (addr(0), 16, [0_u8; 3]);
        ok_eq(recvfrom(b, buf.as_mut_ptr().cast(), 3, MSG_TRUNC, (&raw mut from).cast(), &mut len), 5);
        eq((u16::from_be(from.sin_port), &buf), (pa, b"hel"));
        fails(EAGAIN, try_recv(b, MSG_DONTWAIT));
    }
    fn udp_connected() {
        let ((a, pa), (b, pb)) = (bound(udp()), bound(udp()));
        ok(try_connect(a, pb));
        ok_eq(try_send(a, b"x", 0), 1);
        ok_eq(try_recv(b, 0), 1);
        ok_eq(send_to(udp(), b"stranger", pa), 8);
        fails(EAGAIN, try_recv(a, MSG_DONTWAIT));
        fails(EDESTADDRREQ, try_send(udp(), b"x", 0));
    }
    fn udp_refused_port_is_reported() {
        let (gone, port) = bound(udp());
        close(gone);
        let a = udp();
        ok(try_connect(a, port));
        ok_eq(try_send(a, b"x", 0), 1);
        sleep_ms(20);
        fails(ECONNREFUSED, try_recv(a, MSG_DONTWAIT));
    }
    fn udp_size_limits() {
        let ((a, _), (b, pb)) = (bound(udp()), bound(udp()));
        ok_eq(send_to(a, b"", pb), 0);
        ok_eq(try_recv(b, 0), 0);
        ok_eq(send_to(a, &vec![0; 65507], pb), 65507);
        fails(EMSGSIZE, send_to(a, &vec![0; 65508], pb));
    }
    fn udp_polls() {
        let ((a, _), (b, pb)) = (bound(udp()), bound(udp()));
        eq(poll1(b, POLLIN | POLLOUT, 0), POLLOUT);
        send_to(a, b"x", pb);
        eq(poll1(b, POLLIN, 1000), POLLIN);
    }
    fn unsupported_families_and_types() {
        fails(EPROTONOSUPPORT, socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
        fails(EINVAL, socket(AF_INET, 77, 0));
        as_user(1000, 1000, || fails(EPERM, socket(AF_INET, SOCK_RAW, IPPROTO_TCP)));
    }
    fn ipv6_loopback_connects() {
        let l = ok(socket(AF_INET6, SOCK_STREAM, 0));
        let mut a: sockaddr_in6 = zeroed();
        a.sin6_family = AF_INET6 as u16;
        a.sin6_addr.s6_addr[15] = 1;
        ok(bind(l, (&raw const a).cast(), 28));
        ok(listen(l, 1));
        let mut len = 28;
        ok(getsockname(l, (&raw mut a).cast(), &mut len));
        let c = ok(socket(AF_INET6, SOCK_STREAM, 0));
        ok(connect(c, (&raw const a).cast(), 28));
        let s = ok(accept(l, null_mut(), null_mut()));
        put_fd(c, b"six");
        eq(get_fd(s, 9), b"six");
    }
}

/// Closes the descriptor from a helper process's point of view: only the caller's copy exists here.
unsafe fn close_later(fd: i32) {
    close(fd);
}
