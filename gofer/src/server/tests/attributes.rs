use std::fs;
use std::os::unix::fs::MetadataExt;

use abi::Errno;

use super::Fixture;
use crate::client::{SetAttr, TimeSet, open, unlink};
use crate::proto::Time;

#[test]
fn setattr_changes_what_it_names() {
    let f = Fixture::new();
    fs::write(f.root.join("x"), "0123456789").unwrap();
    let x = f.node("x");
    let attr = f
        .client
        .setattr(
            x,
            &SetAttr {
                size: Some(4),
                mode: Some(0o2751),
                ..SetAttr::default()
            },
        )
        .unwrap();
    assert_eq!((attr.size, attr.mode & 0o7777), (4, 0o2751));
    let attr = f
        .client
        .setattr(
            x,
            &SetAttr {
                uid: Some(7),
                gid: Some(8),
                ..SetAttr::default()
            },
        )
        .unwrap();
    assert_eq!((attr.uid, attr.gid), (7, 8));
    let then = Time {
        sec: -5,
        nsec: 42,
        pad: 0,
    };
    let attr = f
        .client
        .setattr(
            x,
            &SetAttr {
                mtime: Some(TimeSet::To(then)),
                ..SetAttr::default()
            },
        )
        .unwrap();
    assert_eq!(attr.mtime, then);
    assert!(attr.atime.sec > 0);
    let attr = f
        .client
        .setattr(
            x,
            &SetAttr {
                mtime: Some(TimeSet::Now),
                ..SetAttr::default()
            },
        )
        .unwrap();
    assert!(attr.mtime.sec > 1_000_000_000);
    let bad = Time {
        sec: 0,
        nsec: 1_000_000_000,
        pad: 0,
    };
    let bad = SetAttr {
        atime: Some(TimeSet::To(bad)),
        ..SetAttr::default()
    };
    assert_eq!(f.client.setattr(x, &bad).unwrap_err(), Errno::EINVAL);
    let bad = SetAttr {
        uid: Some(u32::MAX),
        ..SetAttr::default()
    };
    assert_eq!(f.client.setattr(x, &bad).unwrap_err(), Errno::EINVAL);
    let size = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    assert_eq!(f.client.setattr(f.top, &size).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_symbolic_link_is_changed_itself() {
    let f = Fixture::new();
    fs::write(f.base.join("outside"), "").unwrap();
    let before = fs::metadata(f.base.join("outside")).unwrap();
    let l = f
        .client
        .symlink(f.top, b"l", f.base.join("outside").to_str().unwrap().as_bytes(), 0, 0)
        .unwrap()
        .entry
        .node;
    let attr = f.client.setattr(
        l,
        &SetAttr {
            uid: Some(9),
            mtime: Some(TimeSet::To(Time::default())),
            ..SetAttr::default()
        },
    );
    let attr = attr.unwrap();
    assert_eq!((attr.uid, attr.mtime), (9, Time::default()));
    assert_eq!(
        f.client
            .setattr(
                l,
                &SetAttr {
                    mode: Some(0),
                    ..SetAttr::default()
                }
            )
            .unwrap_err(),
        Errno::EOPNOTSUPP
    );
    let after = fs::metadata(f.base.join("outside")).unwrap();
    assert_eq!(
        (before.uid(), before.mode(), before.mtime_nsec()),
        (after.uid(), after.mode(), after.mtime_nsec())
    );
}

#[test]
fn extended_attributes() {
    let f = Fixture::new();
    fs::write(f.root.join("x"), "").unwrap();
    let x = f.node("x");
    let c = &f.client;
    c.setxattr(x, b"user.a", b"value", 0).unwrap();
    assert_eq!(c.setxattr(x, b"user.a", b"v", 1), Err(Errno::EEXIST));
    assert_eq!(c.setxattr(x, b"user.b", b"v", 2), Err(Errno::ENODATA));
    assert_eq!(c.getxattr(x, b"user.a", 64).unwrap(), b"value");
    assert_eq!(c.getxattr_len(x, b"user.a").unwrap(), 5);
    assert_eq!(c.getxattr(x, b"user.a", 2), Err(Errno::ERANGE));
    assert_eq!(c.getxattr(x, b"user.none", 2), Err(Errno::ENODATA));
    assert_eq!(c.getxattr(x, b"system.posix_acl_access", 2), Err(Errno::EOPNOTSUPP));
    assert_eq!(c.setxattr(x, b"security.selinux", b"v", 0), Err(Errno::EPERM));
    assert_eq!(c.listxattr(x).unwrap(), b"user.a\0");
    c.removexattr(x, b"user.a").unwrap();
    assert_eq!(c.listxattr(x).unwrap(), b"");
    let large = vec![1; 1 << 16];
    // Whether the host's file system takes that much is its affair; that it is asked is ours.
    assert!(matches!(
        c.setxattr(x, b"user.l", &large, 0),
        Ok(()) | Err(Errno::ENOSPC | Errno::E2BIG)
    ));
    assert_eq!(c.setxattr(x, b"user.l", &vec![1; (1 << 16) + 1], 0), Err(Errno::E2BIG));
}

#[test]
fn file_system_calls() {
    let f = Fixture::new();
    let st = f.client.statfs(f.top).unwrap();
    assert!(st.bsize > 0 && st.namelen >= 255 && st.readonly == 0);
    fs::write(f.root.join("x"), "").unwrap();
    f.client.fsync(f.node("x"), true).unwrap();
    f.client.fsync(f.top, false).unwrap();
    f.client.syncfs(f.top).unwrap();
}

#[test]
fn a_read_only_mount_cannot_be_changed() {
    let f = Fixture::with(|m| m.readonly = true, |_| {}, 1);
    fs::write(f.root.join("x"), "data").unwrap();
    let (c, top, x) = (&f.client, f.top, f.node("x"));
    let refused = [
        c.create(top, b"n", open::READ, 0o644, 0, 0).map(drop),
        c.tmpfile(top, open::READ, 0o644, 0, 0).map(drop),
        c.mkdir(top, b"n", 0o755, 0, 0).map(drop),
        c.mknod(top, b"n", 0o010_600, 0, 0, 0).map(drop),
        c.symlink(top, b"n", b"t", 0, 0).map(drop),
        c.link(x, top, b"n").map(drop),
        c.unlink(top, b"x", 0).map(drop),
        c.unlink(top, b"x", unlink::DIR).map(drop),
        c.rename((top, b"x"), (top, b"y"), 0).map(drop),
        c.setattr(
            x,
            &SetAttr {
                mode: Some(0),
                ..SetAttr::default()
            },
        )
        .map(drop),
        c.setxattr(x, b"user.a", b"", 0),
        c.removexattr(x, b"user.a"),
        c.open(x, open::WRITE).map(drop),
        c.open(x, open::READ | open::WRITE).map(drop),
        c.open(x, open::READ | open::TRUNC).map(drop),
    ];
    assert!(refused.iter().all(|r| *r == Err(Errno::EROFS)), "{refused:?}");
    assert_eq!(c.statfs(top).unwrap().readonly, 1);
    assert_eq!(fs::read(f.root.join("x")).unwrap(), b"data");
    drop(c.open(x, open::READ).unwrap());
}
