//! `linux.devices` and the rules for them, as the guest finds them; the kernel's log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

use std::os::unix::fs::FileTypeExt;

use common::{Bundle, code};
use serde_json::{Value, json};

fn with_kmsg(script: &str, rules: Value) -> Bundle {
    let mut b = Bundle::new(script);
    b.spec["linux"]["devices"] = json!([
        { "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666 },
        { "path": "/dev/disk", "type": "b", "major": 8, "minor": 0, "fileMode": 0o666 }
    ]);
    let caps = json!(["CAP_MKNOD", "CAP_SYSLOG"]);
    b.spec["process"]["capabilities"] = json!({ "bounding": caps, "effective": caps, "permitted": caps });
    b.spec["linux"]["resources"] = json!({ "devices": rules });
    b
}

const ACCESS: &str = "for how in r w; do test -$how /dev/kmsg && echo $how; done; \
    head -c 0 /dev/null && : >/dev/zero && echo defaults; \
    (head -n1 /dev/kmsg || echo no read; echo said >/dev/kmsg || echo no write) 2>&1 | sed 's/.*: //; s/.*;//'";

/// The last rule that fits decides; the default devices can always be used.
#[test]
fn rules_bind_the_guest() {
    let none = "defaults\nOperation not permitted\nno read\nOperation not permitted\nno write\n";
    let deny = json!({ "allow": false, "access": "rwm" });
    let kmsg = |access: &str| json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": access });
    for (rules, wanted) in [
        (json!([deny]), none.to_owned()),
        (json!([kmsg("rw"), deny]), none.to_owned()),
        (
            json!([{ "allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwa" }]),
            none.to_owned(),
        ),
        (
            json!([deny, kmsg("r")]),
            "r\ndefaults\nLinux version\nOperation not permitted\nno write\n".to_owned(),
        ),
        (json!([deny, kmsg("rw")]), "r\nw\ndefaults\nLinux version\n".to_owned()),
        (json!([]), "r\nw\ndefaults\nLinux version\n".to_owned()),
    ] {
        let b = with_kmsg(ACCESS, rules.clone());
        let said = b.output();
        let said: String = said
            .lines()
            .map(|l| {
                if l.starts_with("Linux version ") {
                    "Linux version"
                } else {
                    l
                }
            })
            .flat_map(|l| [l, "\n"])
            .collect();
        assert_eq!(said, wanted, "{rules}");
    }
}

/// Nodes can be made where they cannot be used.
#[test]
fn making_nodes() {
    let script = "cd /tmp; mknod a c 1 11; mknod b b 8 0; head -n1 a >/dev/null; ls";
    let mut b = with_kmsg(script, json!([{ "allow": false, "access": "rwm" }]));
    let output = b.runsc(&["run", "c"]);
    assert_eq!((code(&output), output.stdout.as_slice()), (Some(0), &b"a\nb\n"[..]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Operation not permitted"));
    // Without rules the log can be read.
    b.spec["linux"]["resources"]["devices"] = json!([]);
    let output = b.runsc(&["run", "c"]);
    assert_eq!((code(&output), output.stdout.as_slice()), (Some(0), &b"a\nb\n"[..]));
    assert!(output.stderr.is_empty());
}

#[test]
fn the_log() {
    let script = "echo '<3>bad thing' >/dev/kmsg; printf 'tab\\there' >/dev/kmsg; \
        head -n3 /dev/kmsg | sed 's/,[0-9]*,-;/ /; s/^5,0 Linux.*/head/'; \
        dmesg | sed 's/^.*\\] //' | tail -n2; dmesg -C; dmesg; \
        timeout 60 dd if=/dev/kmsg bs=10 count=1 2>&1 | head -n1";
    let b = with_kmsg(script, json!([]));
    let wanted = "head\n11,1 bad thing\n12,2 tab\\x09here\nbad thing\ntab\there\ndd: error reading '/dev/kmsg': Invalid argument\n";
    assert_eq!(b.output(), wanted);
}

/// With a root that can be written, one that cannot, and one of a user namespace, whose root may make no nodes on the host.
#[test]
fn anywhere_in_the_root() {
    let script = "cd /; for f in odd sub/odd /dev/odd pipe dev/null; do busybox stat -c '%n %F %a %u %g %t:%T' $f; done; \
        for f in odd /sub/odd; do busybox head -c1 $f; done 2>&1 | busybox sed 's/.*: //'; \
        echo gone >/dev/null; busybox head -c 3 zero | busybox od -An -tx1";
    let wanted = "odd block special file 644 1 2 a:e5\nsub/odd character special file 666 0 0 c:22\n\
        /dev/odd character special file 600 0 0 c:22\npipe fifo 666 0 0 0:0\ndev/null character special file 666 0 0 1:3\n\
        No such device or address\nNo such device or address\n 00 00 00\n";
    let all = json!([{ "containerID": 0, "hostID": 0, "size": 100_000 }]);
    for (readonly, user, dev) in [
        (false, false, true),
        (true, false, true),
        (true, false, false),
        (false, true, true),
        (true, true, false),
    ] {
        let mut b = Bundle::new(script);
        b.own_root();
        b.spec["root"]["readonly"] = json!(readonly);
        b.spec["linux"]["devices"] = json!([
            { "path": "/odd", "type": "b", "major": 10, "minor": 229, "fileMode": 0o644, "uid": 1, "gid": 2 },
            { "path": "/sub/odd", "type": "c", "major": 12, "minor": 34 },
            { "path": "/dev/odd", "type": "u", "major": 12, "minor": 34, "fileMode": 0o600 },
            { "path": "/zero", "type": "c", "major": 1, "minor": 5 },
            { "path": "/pipe", "type": "p" }
        ]);
        if user {
            let namespaces = b.spec["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.push(json!({ "type": "user" }));
            b.spec["linux"]["uidMappings"] = all.clone();
            b.spec["linux"]["gidMappings"] = all.clone();
        }
        if !dev {
            let mounts = b.spec["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/dev");
        }
        // Twice: the first time leaves something in the root.
        for _ in 0..2 {
            let output = b.plain(&["run", "c"]).output().unwrap();
            assert_eq!(code(&output), Some(0), "{readonly} {user} {dev}");
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                wanted,
                "{readonly} {user} {dev}"
            );
        }
        let kind = b.path("rootfs/odd").metadata().unwrap().file_type();
        assert_eq!(kind.is_block_device(), !readonly && !user, "{readonly} {user} {dev}");
    }
}

/// With a `/dev` that the configuration binds nothing is made in it.
#[test]
fn a_bound_dev_stays_as_it_is() {
    let mut b = Bundle::new("echo /dev/*");
    b.own_root();
    std::fs::create_dir(b.path("dev")).unwrap();
    std::fs::write(b.path("dev/own"), "").unwrap();
    b.spec["linux"]["devices"] = json!([{ "path": "/dev/odd", "type": "c", "major": 12, "minor": 34 }]);
    b.spec["mounts"][1] =
        json!({ "destination": "/dev", "type": "bind", "source": b.path("dev"), "options": ["rbind"] });
    let output = b.plain(&["run", "c"]).output().unwrap();
    assert_eq!((code(&output), output.stdout.as_slice()), (Some(0), &b"/dev/own\n"[..]));
    assert!(!b.path("dev/odd").exists());
}
