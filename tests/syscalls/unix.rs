//! AF_UNIX sockets.

use tests::prelude::*;

unsafe fn pair(kind: i32) -> (i32, i32) {
    let mut s = [0; 2];
    ok(socketpair(AF_UNIX, kind, 0, s.as_mut_ptr()));
    (s[0], s[1])
}

/// An address and its length; a leading `@` means the abstract name space.
fn addr(name: &str) -> (sockaddr_un, u32) {
    let mut a: sockaddr_un = unsafe { zeroed() };
    a.sun_family = AF_UNIX as u16;
    for (to, from) in a.sun_path.iter_mut().zip(name.bytes()) {
        *to = if from == b'@' { 0 } else { from as c_char };
    }
    let len = 2 + name.len() + usize::from(!name.starts_with('@'));
    (a, len as u32)
}

unsafe fn try_bind(fd: i32, name: &str) -> i32 {
    let (a, len) = addr(name);
    bind(fd, (&raw const a).cast(), len)
}

unsafe fn try_connect(fd: i32, name: &str) -> i32 {
    let (a, len) = addr(name);
    connect(fd, (&raw const a).cast(), len)
}

unsafe fn sock(kind: i32) -> i32 {
    ok(socket(AF_UNIX, kind, 0))
}

unsafe fn listener(kind: i32, name: &str) -> i32 {
    let fd = sock(kind);
    ok(try_bind(fd, name));
    ok(listen(fd, 8));
    fd
}

unsafe fn connected(kind: i32, name: &str) -> (i32, i32) {
    let l = listener(kind, name);
    let c = sock(kind);
    ok(try_connect(c, name));
    (c, ok(accept(l, null_mut(), null_mut())))
}

unsafe fn bytes(fd: i32, max: usize, flags: i32) -> Vec<u8> {
    let mut b = vec![0_u8; max];
    let n = ok(recv(fd, b.as_mut_ptr().cast(), max, flags));
    b.truncate((n as usize).min(max));
    b
}

unsafe fn try_recv(fd: i32, flags: i32) -> isize {
    recv(fd, [0_u8; 16].as_mut_ptr().cast(), 16, flags)
}

unsafe fn try_send(fd: i32, data: &[u8], flags: i32) -> isize {
    send(fd, data.as_ptr().cast(), data.len(), flags)
}

unsafe fn option(fd: i32, name: i32) -> i32 {
    let (mut value, mut len) = (-1, 4);
    ok(getsockopt(fd, SOL_SOCKET, name, (&raw mut value).cast(), &mut len));
    value
}

unsafe fn set_option(fd: i32, name: i32, value: i32) {
    ok(setsockopt(fd, SOL_SOCKET, name, (&raw const value).cast(), 4));
}

/// Sends one byte with a control message of this type.
unsafe fn send_control(fd: i32, kind: i32, data: &[i32]) -> isize {
    let mut control = [0_u64; 64];
    let mut iov = iovec {
        iov_base: c"x".as_ptr() as *mut c_void,
        iov_len: 1,
    };
    let mut msg: msghdr = zeroed();
    msg.msg_iov = &mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = CMSG_SPACE(4 * data.len() as u32) as usize;
    let head = CMSG_FIRSTHDR(&msg);
    (*head).cmsg_level = SOL_SOCKET;
    (*head).cmsg_type = kind;
    (*head).cmsg_len = CMSG_LEN(4 * data.len() as u32) as usize;
    std::ptr::copy_nonoverlapping(data.as_ptr(), CMSG_DATA(head).cast(), data.len());
    sendmsg(fd, &msg, 0)
}

/// Receives one byte; (msg_flags, type and words of each control message).
unsafe fn recv_control(fd: i32, room: usize, flags: i32) -> (i32, Vec<(i32, Vec<i32>)>) {
    let mut control = [0_u64; 64];
    let mut byte = [0_u8; 1];
    let mut iov = iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut msg: msghdr = zeroed();
    msg.msg_iov = &mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = room;
    ok_eq(recvmsg(fd, &mut msg, flags), 1);
    let mut all = Vec::new();
    let mut head = CMSG_FIRSTHDR(&msg);
    while !head.is_null() {
        let words = ((*head).cmsg_len - CMSG_LEN(0) as usize) / 4;
        all.push((
            (*head).cmsg_type,
            std::slice::from_raw_parts(CMSG_DATA(head).cast::<i32>(), words).to_vec(),
        ));
        head = CMSG_NXTHDR(&msg, head);
    }
    (msg.msg_flags, all)
}

tests::cases! {
    fn socketpair_talks_both_ways() {
        let (a, b) = pair(SOCK_STREAM);
        put_fd(a, b"ping");
        eq(get_fd(b, 9), b"ping");
        put_fd(b, b"pong");
        eq(get_fd(a, 9), b"pong");
    }
    fn stream_has_no_boundaries() {
        let (a, b) = pair(SOCK_STREAM);
        put_fd(a, b"ab");
        put_fd(a, b"cd");
        eq(bytes(b, 3, 0), b"abc");
        eq(bytes(b, 3, 0), b"d");
    }
    fn datagrams_keep_boundaries_and_are_cut() {
        for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
            let (a, b) = pair(kind);
            put_fd(a, b"abcdef");
            put_fd(a, b"gh");
            eq(bytes(b, 3, 0), b"abc");
            eq(bytes(b, 9, 0), b"gh");
        }
    }
    fn msg_trunc_tells_the_real_length() {
        let (a, b) = pair(SOCK_DGRAM);
        put_fd(a, b"abcdef");
        let mut buf = [0_u8; 2];
        ok_eq(recv(b, buf.as_mut_ptr().cast(), 2, MSG_TRUNC | MSG_PEEK), 6);
        let mut iov = iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 2 };
        let mut msg: msghdr = zeroed();
        msg.msg_iov = &mut iov;
        msg.msg_iovlen = 1;
        ok_eq(recvmsg(b, &mut msg, 0), 2);
        eq(msg.msg_flags & MSG_TRUNC, MSG_TRUNC);
    }
    fn peek_leaves_the_data() {
        let (a, b) = pair(SOCK_STREAM);
        put_fd(a, b"abc");
        eq(bytes(b, 2, MSG_PEEK), b"ab");
        eq(bytes(b, 9, 0), b"abc");
    }
    fn dontwait_is_eagain() {
        let (a, b) = pair(SOCK_STREAM);
        fails(EAGAIN, try_recv(b, MSG_DONTWAIT));
        while try_send(a, &[0; 4096], MSG_DONTWAIT) > 0 {}
        eq(errno(), EAGAIN);
    }
    fn waitall_gathers() {
        let (a, b) = pair(SOCK_STREAM);
        let child = spawn(|| {
            for part in [b"ab", b"cd", b"ef"] {
                sleep_ms(10);
                put_fd(a, part);
            }
            0
        });
        eq(bytes(b, 6, MSG_WAITALL), b"abcdef");
        wait_exit(child, 0);
    }
    fn end_of_file_and_epipe_after_close() {
        let (a, b) = pair(SOCK_STREAM);
        put_fd(a, b"x");
        close(a);
        eq(get_fd(b, 9), b"x");
        eq(get_fd(b, 9), b"");
        fails(EPIPE, try_send(b, b"y", MSG_NOSIGNAL));
        catch(SIGPIPE, 0);
        fails(EPIPE, try_send(b, b"y", 0));
        eq(hits(), 1);
    }
    fn unread_data_at_close_is_econnreset() {
        let (a, b) = pair(SOCK_STREAM);
        put_fd(a, b"x");
        close(b);
        fails(ECONNRESET, try_recv(a, 0));
    }
    fn shutdown_halves() {
        let (a, b) = pair(SOCK_STREAM);
        ok(shutdown(a, SHUT_WR));
        eq(get_fd(b, 9), b"");
        fails(EPIPE, try_send(a, b"y", MSG_NOSIGNAL));
        put_fd(b, b"still");
        eq(get_fd(a, 9), b"still");
        ok(shutdown(a, SHUT_RD));
        eq(get_fd(a, 9), b"");
        fails(EPIPE, try_send(b, b"y", MSG_NOSIGNAL));
        fails(EINVAL, shutdown(a, 77));
    }
    fn stream_over_a_path() {
        let (c, s) = connected(SOCK_STREAM, "sock");
        put_fd(c, b"hello");
        eq(get_fd(s, 9), b"hello");
        eq(stat(c"sock").st_mode & S_IFMT, S_IFSOCK);
    }
    fn stream_over_an_abstract_name() {
        let name = format!("@test-{}", getpid());
        let (c, s) = connected(SOCK_STREAM, &name);
        put_fd(s, b"hello");
        eq(get_fd(c, 9), b"hello");
    }
    fn seqpacket_over_a_path() {
        let (c, s) = connected(SOCK_SEQPACKET, "sock");
        put_fd(c, b"one");
        put_fd(c, b"two");
        eq(get_fd(s, 9), b"one");
        close(c);
        eq(get_fd(s, 9), b"two");
        eq(get_fd(s, 9), b"");
    }
    fn bind_errors() {
        put(c"file", b"");
        fails(EADDRINUSE, try_bind(sock(SOCK_STREAM), "file"));
        fails(ENOENT, try_bind(sock(SOCK_STREAM), "no/such"));
        let fd = sock(SOCK_STREAM);
        ok(try_bind(fd, "a"));
        fails(EINVAL, try_bind(fd, "b"));
        ok(try_bind(sock(SOCK_STREAM), &format!("@x{}", getpid())));
        let (a, _) = addr("z");
        fails(EINVAL, bind(sock(SOCK_STREAM), (&raw const a).cast(), 200));
    }
    fn abstract_name_in_use() {
        let name = format!("@inuse{}", getpid());
        let fd = sock(SOCK_STREAM);
        ok(try_bind(fd, &name));
        fails(EADDRINUSE, try_bind(sock(SOCK_STREAM), &name));
        close(fd);
        ok(try_bind(sock(SOCK_STREAM), &name));
    }
    fn autobind_gives_an_abstract_name() {
        let fd = sock(SOCK_STREAM);
        let family = AF_UNIX as u16;
        ok(bind(fd, (&raw const family).cast(), 2));
        let (mut a, mut len) = (addr("").0, 110);
        ok(getsockname(fd, (&raw mut a).cast(), &mut len));
        eq((len, a.sun_path[0]), (8, 0));
    }
    fn connect_errors() {
        fails(ENOENT, try_connect(sock(SOCK_STREAM), "gone"));
        put(c"file", b"");
        fails(ECONNREFUSED, try_connect(sock(SOCK_STREAM), "file"));
        let bound = sock(SOCK_STREAM);
        ok(try_bind(bound, "bound"));
        fails(ECONNREFUSED, try_connect(sock(SOCK_STREAM), "bound"));
        listener(SOCK_STREAM, "l");
        fails(EPROTOTYPE, try_connect(sock(SOCK_DGRAM), "l"));
        let c = sock(SOCK_STREAM);
        ok(try_connect(c, "l"));
        fails(EISCONN, try_connect(c, "l"));
    }
    fn connect_needs_write_permission() {
        listener(SOCK_STREAM, "l");
        ok(chmod(p(c"l"), 0o600));
        as_user(1000, 1000, || fails(EACCES, try_connect(sock(SOCK_STREAM), "l")));
    }
    fn backlog_full_is_eagain_or_blocks() {
        let l = sock(SOCK_STREAM);
        ok(try_bind(l, "l"));
        ok(listen(l, 0));
        ok(try_connect(sock(SOCK_STREAM), "l"));
        fails(EAGAIN, try_connect(sock(SOCK_STREAM | SOCK_NONBLOCK), "l"));
        let child = spawn(|| try_connect(sock(SOCK_STREAM), "l"));
        until_asleep(child);
        ok(accept(l, null_mut(), null_mut()));
        wait_exit(child, 0);
    }
    fn accept_errors_and_flags() {
        let l = listener(SOCK_STREAM | SOCK_NONBLOCK, "l");
        fails(EAGAIN, accept(l, null_mut(), null_mut()));
        ok(try_connect(sock(SOCK_STREAM), "l"));
        let s = ok(accept4(l, null_mut(), null_mut(), SOCK_CLOEXEC | SOCK_NONBLOCK));
        ok_eq(fcntl(s, F_GETFD), FD_CLOEXEC);
        fails(EAGAIN, try_recv(s, 0));
        fails(EINVAL, accept4(l, null_mut(), null_mut(), 77));
        fails(EINVAL, accept(s, null_mut(), null_mut()));
        fails(EOPNOTSUPP, accept(sock(SOCK_DGRAM), null_mut(), null_mut()));
        fails(EINVAL, listen(sock(SOCK_STREAM), 5));
    }
    fn names_of_both_ends() {
        let (c, s) = connected(SOCK_STREAM, "l");
        let (mut a, mut len) = (addr("").0, 110);
        ok(getpeername(c, (&raw mut a).cast(), &mut len));
        eq((len, a.sun_path[0] as u8), (4, b'l'));
        len = 110;
        ok(getpeername(s, (&raw mut a).cast(), &mut len));
        eq(len, 2);
        len = 110;
        ok(getsockname(s, (&raw mut a).cast(), &mut len));
        eq(len, 4);
        fails(ENOTCONN, getpeername(sock(SOCK_STREAM), (&raw mut a).cast(), &mut len));
    }
    fn listener_close_resets_waiting_clients() {
        let l = listener(SOCK_STREAM, "l");
        let c = sock(SOCK_STREAM);
        ok(try_connect(c, "l"));
        close(l);
        let got = try_recv(c, 0);
        yes(got == 0 || errno() == ECONNRESET);
    }
    fn datagram_to_a_path_with_sender_name() {
        let (a, b) = (sock(SOCK_DGRAM), sock(SOCK_DGRAM));
        ok(try_bind(a, "a"));
        ok(try_bind(b, "b"));
        let (to, len) = addr("b");
        ok_eq(sendto(a, c"hi".as_ptr().cast(), 2, 0, (&raw const to).cast(), len), 2);
        let (mut from, mut len, mut buf) = (addr("").0, 110, [0_u8; 8]);
        ok_eq(recvfrom(b, buf.as_mut_ptr().cast(), 8, 0, (&raw mut from).cast(), &mut len), 2);
        eq((len, from.sun_path[0] as u8), (4, b'a'));
    }
    fn datagram_connect_filters_and_errors() {
        let (a, b) = (sock(SOCK_DGRAM), sock(SOCK_DGRAM));
        fails(ENOTCONN, try_send(a, b"x", 0));
        ok(try_bind(b, "b"));
        ok(try_connect(a, "b"));
        ok_eq(try_send(a, b"x", 0), 1);
        close(b);
        fails(ECONNREFUSED, try_send(a, b"x", 0));
        fails(EMSGSIZE, {
            let (c, _d) = pair(SOCK_DGRAM);
            set_option(c, SO_SNDBUF, 4096);
            try_send(c, &vec![0; 1 << 20], 0)
        });
    }
    fn full_datagram_queue_blocks_or_eagain() {
        let (a, _b) = pair(SOCK_DGRAM);
        let mut sent = 0;
        while try_send(a, b"x", MSG_DONTWAIT) == 1 {
            sent += 1;
        }
        eq(errno(), EAGAIN);
        yes(sent >= 1);
    }
    fn rights_pass_a_descriptor() {
        let (a, b) = pair(SOCK_STREAM);
        put(c"f", b"contents");
        ok_eq(send_control(a, SCM_RIGHTS, &[open(c"f", O_RDONLY)]), 1);
        let (flags, all) = recv_control(b, 256, 0);
        eq(flags, 0);
        eq(all[0].0, SCM_RIGHTS);
        eq(get_fd(all[0].1[0], 20), b"contents");
    }
    fn rights_pass_several_and_cloexec() {
        let (a, b) = pair(SOCK_DGRAM);
        let (r, w) = pipe(0);
        send_control(a, SCM_RIGHTS, &[r, w, r]);
        let (_, all) = recv_control(b, 256, MSG_CMSG_CLOEXEC);
        let fds = &all[0].1;
        eq(fds.len(), 3);
        ok_eq(fcntl(fds[2], F_GETFD), FD_CLOEXEC);
        put_fd(fds[1], b"x");
        eq(get_fd(fds[0], 1), b"x");
    }
    fn rights_survive_the_senders_end() {
        let (a, b) = pair(SOCK_STREAM);
        in_child(|| {
            let (r, w) = pipe(0);
            put_fd(w, b"legacy");
            send_control(a, SCM_RIGHTS, &[r]);
        });
        let (_, all) = recv_control(b, 256, 0);
        eq(get_fd(all[0].1[0], 9), b"legacy");
    }
    fn rights_without_room_are_closed_and_flagged() {
        let (a, b) = pair(SOCK_STREAM);
        let (r, w) = pipe(0);
        send_control(a, SCM_RIGHTS, &[w]);
        close(w);
        let (flags, all) = recv_control(b, 0, 0);
        eq((flags & MSG_CTRUNC, all.len()), (MSG_CTRUNC, 0));
        eq(get_fd(r, 1), b"");
    }
    fn rights_in_an_unread_queue_close_with_it() {
        let (a, b) = pair(SOCK_STREAM);
        let (r, w) = pipe(0);
        send_control(a, SCM_RIGHTS, &[w]);
        close(w);
        close(a);
        close(b);
        eq(get_fd(r, 1), b"");
    }
    fn rights_errors() {
        let (a, _b) = pair(SOCK_STREAM);
        fails(EBADF, send_control(a, SCM_RIGHTS, &[999]));
        fails(EINVAL, send_control(a, 77, &[0]));
    }
    fn rights_split_stream_reads() {
        let (a, b) = pair(SOCK_STREAM);
        send_control(a, SCM_RIGHTS, &[0]);
        put_fd(a, b"yz");
        let mut control = [0_u64; 16];
        let mut buf = [0_u8; 8];
        let mut iov = iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 8 };
        let mut msg: msghdr = zeroed();
        msg.msg_iov = &mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = 128;
        let got = ok(recvmsg(b, &mut msg, 0));
        yes(got == 1 || got == 3);
        yes(msg.msg_controllen > 0);
    }
    fn passcred_tells_the_sender() {
        let (a, b) = pair(SOCK_STREAM);
        set_option(b, SO_PASSCRED, 1);
        let child = spawn(|| { become_user(1000, 1001); put_fd(a, b"x"); 0 });
        let (_, all) = recv_control(b, 256, 0);
        eq(all, [(SCM_CREDENTIALS, vec![child, 1000, 1001])]);
        wait_exit(child, 0);
    }
    fn credentials_can_be_stated_by_root_only() {
        let (a, b) = pair(SOCK_STREAM);
        set_option(b, SO_PASSCRED, 1);
        ok_eq(send_control(a, SCM_CREDENTIALS, &[getpid(), 55, 66]), 1);
        eq(recv_control(b, 256, 0).1, [(SCM_CREDENTIALS, vec![getpid(), 55, 66])]);
        as_user(1000, 1000, || {
            fails(EPERM, send_control(a, SCM_CREDENTIALS, &[getpid(), 0, 0]));
            ok_eq(send_control(a, SCM_CREDENTIALS, &[getpid(), 1000, 1000]), 1);
        });
    }
    fn peercred_of_the_connector_and_the_listener() {
        let l = listener(SOCK_STREAM, "l");
        ok(chmod(p(c"l"), 0o777));
        let child = spawn(|| {
            become_user(1000, 1001);
            let c = sock(SOCK_STREAM);
            ok(try_connect(c, "l"));
            get_fd(c, 1);
            0
        });
        let s = ok(accept(l, null_mut(), null_mut()));
        let (mut cred, mut len): (ucred, u32) = (zeroed(), 12);
        ok(getsockopt(s, SOL_SOCKET, SO_PEERCRED, (&raw mut cred).cast(), &mut len));
        eq((cred.pid, cred.uid, cred.gid), (child, 1000, 1001));
        close(s);
        wait_exit(child, 0);
    }
    fn socket_options() {
        let fd = sock(SOCK_SEQPACKET);
        eq((option(fd, SO_TYPE), option(fd, SO_DOMAIN), option(fd, SO_PROTOCOL)), (SOCK_SEQPACKET, AF_UNIX, 0));
        eq((option(fd, SO_ERROR), option(fd, SO_ACCEPTCONN)), (0, 0));
        set_option(fd, SO_SNDBUF, 10_000);
        eq(option(fd, SO_SNDBUF), 20_000);
        eq(option(listener(SOCK_STREAM, "l"), SO_ACCEPTCONN), 1);
        let (mut value, mut len) = (0, 4);
        fails(ENOPROTOOPT, getsockopt(fd, SOL_SOCKET, 9999, (&raw mut value).cast(), &mut len));
        fails(ENOTSOCK, getsockopt(open(c".", O_RDONLY), SOL_SOCKET, SO_TYPE, (&raw mut value).cast(), &mut len));
    }
    fn receive_timeout() {
        let (a, _b) = pair(SOCK_STREAM);
        let tv = timeval { tv_sec: 0, tv_usec: 50_000 };
        ok(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, (&raw const tv).cast(), 16));
        let start = now_ms();
        fails(EAGAIN, try_recv(a, 0));
        yes(now_ms() - start >= 45);
    }
    fn socket_creation_errors() {
        fails(EAFNOSUPPORT, socket(99, SOCK_STREAM, 0));
        fails(EPROTONOSUPPORT, socket(AF_UNIX, SOCK_STREAM, 77));
        fails(ESOCKTNOSUPPORT, socket(AF_UNIX, SOCK_RDM, 0));
        fails(EINVAL, socket(AF_UNIX, 99, 0));
        fails(EFAULT, socketpair(AF_UNIX, SOCK_STREAM, 0, 8 as *mut i32));
        fails(EOPNOTSUPP, socketpair(AF_INET, SOCK_STREAM, 0, [0; 2].as_mut_ptr()));
        fails(ENOTSOCK, listen(open(c".", O_RDONLY), 1));
    }
    fn ioctls_tell_queued_bytes() {
        let (a, b) = pair(SOCK_STREAM);
        put_fd(a, b"abcde");
        let mut n = 0;
        ok(ioctl(b, FIONREAD, &mut n));
        eq(n, 5);
        fails(ESPIPE, lseek(a, 0, SEEK_SET));
    }
    fn sendmmsg_and_recvmmsg() {
        let (a, b) = pair(SOCK_DGRAM);
        let mut iovs = [b"aa", b"bb", b"cc"].map(|d| iovec { iov_base: d.as_ptr() as *mut c_void, iov_len: 2 });
        let mut msgs: [mmsghdr; 3] = zeroed();
        for (m, iov) in msgs.iter_mut().zip(iovs.iter_mut()) {
            m.msg_hdr.msg_iov = iov;
            m.msg_hdr.msg_iovlen = 1;
        }
        ok_eq(sendmmsg(a, msgs.as_mut_ptr(), 3, 0), 3);
        let mut bufs = [[0_u8; 4]; 3];
        for (iov, buf) in iovs.iter_mut().zip(bufs.iter_mut()) {
            *iov = iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 4 };
        }
        ok_eq(recvmmsg(b, msgs.as_mut_ptr(), 3, MSG_DONTWAIT as _, null_mut()), 3);
        eq((msgs[2].msg_len, &bufs[1][..2]), (2, &b"bb"[..]));
    }
    fn big_transfer_through_a_stream() {
        let (a, b) = pair(SOCK_STREAM);
        let data: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 249) as u8).collect();
        let child = spawn(|| { close(b); put_fd(a, &data); 0 });
        close(a);
        yes(get_all(b) == data);
        wait_exit(child, 0);
    }
    fn many_clients_of_one_server() {
        let l = listener(SOCK_STREAM, "l");
        let pids: Vec<i32> = (0..10_u8).map(|n| spawn(|| {
            let c = sock(SOCK_STREAM);
            ok(try_connect(c, "l"));
            put_fd(c, &[n]);
            i32::from(get_fd(c, 1) != [n + 1])
        })).collect();
        for _ in 0..10 {
            let s = ok(accept(l, null_mut(), null_mut()));
            put_fd(s, &[get_fd(s, 1)[0] + 1]);
            close(s);
        }
        pids.into_iter().for_each(|pid| wait_exit(pid, 0));
    }
    fn passing_sockets_in_a_circle_leaks_nothing_visible() {
        for _ in 0..50 {
            let (a, b) = pair(SOCK_STREAM);
            send_control(a, SCM_RIGHTS, &[b]);
            close(a);
            close(b);
        }
        pair(SOCK_STREAM);
    }
}
