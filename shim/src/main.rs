//! `containerd-shim-runsc-v1`: containerd's way to `runsc`.

#![forbid(unsafe_code)]

mod children;
mod console;
mod container;
mod ending;
mod events;
mod io;
mod logger;
mod options;
mod rootfs;
mod runsc;
mod service;
mod stats;
mod task;

fn main() {
    let config = containerd_shim::Config {
        // Every child has a thread that waits for it: see `children.rs`.
        no_reaper: true,
        ..containerd_shim::Config::default()
    };
    containerd_shim::run::<service::Service>("io.containerd.runsc.v1", Some(config));
}
