//! Where the host's kernel happens to put things in a guest process. It chooses at random; here without chance. Needs root.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

mod common;

use std::process::Command;

use common::{Bundle, code};

/// Begin of the range that the platform has above the guest's (`stub_abi.rs`).
const PLATFORM: u64 = 0x7ff0_0000_0000;
const TOP: u64 = 0x7fff_ffff_f000;
/// What the kernel leaves free below the largest stack.
const GAP: u64 = 0x10_0000;

/// Each place where the platform is about to map something, by its distance from the begin of its range: the program, where the
/// vDSO itself goes, channels, signal stacks, the title.
#[test]
fn the_vdso_lies_where_the_platform_maps() {
    let b = Bundle::new("date +%s >/host/now; exec test $(cat /host/now) -gt 1000000000");
    for end in [
        0,
        0x8000,
        0x100_0000,
        0x100_4000,
        0x1000_0000,
        0x1000_2000,
        0x1200_0000,
        0x13ff_f000,
        0x2000_c000,
        0x2001_0000,
        0x3000_1000,
        0x4000_0000,
    ] {
        // Without chance the first mapping of a new program, the vDSO, ends where the largest stack begins.
        let stack = TOP - GAP - (PLATFORM + end);
        let plain = b.command(&["run", "c"]);
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--stack={stack}:unlimited"))
            .args(["setarch", "-R"]);
        command
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(b.dir.path());
        assert_eq!(code(&command.output().unwrap()), Some(0), "{end:#x}");
    }
    b.left_nothing();
}
