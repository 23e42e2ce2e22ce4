//! `linux.devices` and the rules for them, as the guest finds them; the kernel's log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

mod common;

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
        timeout 1 dd if=/dev/kmsg bs=10 count=1 2>&1 | head -n1";
    let b = with_kmsg(script, json!([]));
    let wanted = "head\n11,1 bad thing\n12,2 tab\\x09here\nbad thing\ntab\there\ndd: error reading '/dev/kmsg': Invalid argument\n";
    assert_eq!(b.output(), wanted);
}
