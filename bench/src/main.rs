//! Costs of single operations, one line each: `name nanoseconds`. Runs natively and in any sandbox.

mod memory;
mod processes;
mod syscalls;

use std::time::Instant;

/// Nanoseconds for one turn of `body`: the best of several rounds, each long enough to trust the clock.
fn measure<F: FnMut()>(name: &str, mut body: F) {
    let wanted = std::env::args().nth(1);
    if wanted.is_some_and(|w| !name.contains(&w)) {
        return;
    }
    let mut turns = 1_u32;
    let mut best = f64::INFINITY;
    let mut rounds = 0;
    while rounds < 5 {
        let start = Instant::now();
        for _ in 0..turns {
            body();
        }
        let took = start.elapsed().as_secs_f64();
        if took < 0.03 && turns < 1 << 24 {
            turns *= if took < 0.003 { 8 } else { 2 };
            continue;
        }
        best = best.min(took * 1e9 / f64::from(turns));
        rounds += 1;
    }
    println!("{name} {best:.0}");
}

fn main() {
    syscalls::run();
    memory::run();
    processes::run();
}
