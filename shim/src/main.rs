//! `containerd-shim-runsc-v1`: containerd's way to `runsc`.

#![forbid(unsafe_code)]

mod events;
mod io;
mod options;
mod runsc;
mod service;
mod task;
mod tasks;

fn main() {
    let config = containerd_shim::Config {
        // Every child has a thread that waits for it: see `tasks.rs`.
        no_reaper: true,
        ..containerd_shim::Config::default()
    };
    containerd_shim::run::<service::Service>("io.containerd.runsc.v1", Some(config));
}
