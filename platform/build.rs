//! Builds the guest-side stub: a freestanding static program (`stub/`), embedded by `src/guest/image.rs`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Fixed address, nothing but our own code, no tables that nobody reads.
const LINK_ARGS: &str = "-no-pie -nostartfiles -nostdlib -static \
     -Wl,--build-id=none,-z,norelro,-z,noexecstack,-z,max-page-size=4096,--no-eh-frame-hdr,-T";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=stub");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let stub = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("stub");
    let status = Command::new(var("RUSTC"))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--crate-name",
            "stub",
            "--target",
            &var("TARGET"),
        ])
        .args([
            "-C",
            "panic=abort",
            "-C",
            "opt-level=3",
            "-C",
            "relocation-model=pie",
            "-C",
            "strip=symbols",
        ])
        .args(["-D", "warnings"])
        .arg("-C")
        .arg(format!("link-args={LINK_ARGS},{}", stub.join("stub.ld").display()))
        .arg("-o")
        .arg(PathBuf::from(var("OUT_DIR")).join("stub"))
        .arg(stub.join("src/main.rs"))
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        other => {
            println!("cargo::error=the stub does not build: {other:?}");
            ExitCode::FAILURE
        }
    }
}
