//! `linear` on the shapes of ViT-B/16, of short texts and of the small world, beside what this core could do at most.
//!
//! `cargo run --release -p simseg-benches --bin products`, and the same with `SIMSEG_CPU=avx2` or `plain`; a number as argument
//! leaves only the shapes with so many rows.
//!
//! Times are the least of many repetitions, of the CPU and not of the clock: other programs may run beside it. That is why there
//! has to be one thread only.

use simseg_benches::peak::{Burst, burst};
use simseg_benches::tensors::{in_file, tensor};
use simseg_cpu::CpuTensor;
use simseg_tensor::{Attention, Tensor};
use std::hint::black_box;
use std::time::Instant;

type Cpu = CpuTensor<f32>;

/// Rows, inputs, outputs.
const SHAPES: [[usize; 3]; 12] = [
    [325, 768, 3072],
    [325, 768, 2304],
    [325, 768, 768],
    [325, 3072, 768],
    [700, 768, 3072],
    [80, 768, 3072],
    [16, 768, 3072],
    [10, 768, 3072],
    [1, 768, 3072],
    [8320, 64, 256],
    [8320, 96, 288],
    [8320, 384, 96],
];

/// Seconds that this thread has computed. Giving way once makes Linux count up to now.
fn thread_seconds() -> f64 {
    std::thread::yield_now();
    let file = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = file.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds * 1e-9)
}

/// Least seconds of one call, of at least 15 and about a second's worth.
fn least(work: impl Fn()) -> f64 {
    work();
    let (began, mut least, mut turns) = (Instant::now(), f64::INFINITY, 0);
    while turns < 15 || began.elapsed().as_secs_f64() < 1.0 {
        // Several short calls together, so that reading the time doesn't count.
        let before = thread_seconds();
        let (clock, mut calls) = (Instant::now(), 0);
        while calls == 0 || clock.elapsed().as_secs_f64() < 2e-3 {
            work();
            calls += 1;
        }
        least = least.min((thread_seconds() - before) / f64::from(calls));
        turns += 1;
    }
    least
}

/// What a core can do at most, in GFLOP/s.
fn peak() -> f64 {
    let Burst { work, flops } = burst();
    flops / least(work) * 1e-9
}

fn main() {
    // Inside the pool's one thread, whose time is read.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        println!("SIMSEG_CPU={}", std::env::var("SIMSEG_CPU").unwrap_or_default());
        println!("peak: {:.1} GFLOP/s", peak());
        let only: Option<usize> = std::env::args().nth(1).and_then(|rows| rows.parse().ok());
        for [m, k, n] in SHAPES.into_iter().filter(|shape| only.is_none_or(|rows| rows == shape[0])) {
            let (x, weight, bias) = (tensor(&[m, k]), tensor(&[n, k]), tensor(&[n]));
            let flops = (2 * m * k * n) as f64;
            let rate =
                |weight: &Cpu| flops / least(|| drop(black_box(x.linear(weight, Some(&bias)).expect("fits")))) * 1e-9;
            let fresh = rate(&weight);
            let file = in_file(&[n, k]);
            println!("linear [{m}, {k}] × [{k}, {n}]: {fresh:.1} GFLOP/s, weight of a file {:.1}", rate(&file));
        }
        let qkv = tensor(&[1, 325, 2304]);
        let part = |i: usize| qkv.slice(2, 768 * i, 768).expect("within");
        let (q, k, v) = (part(0), part(1), part(2));
        let how = Attention { heads: 12, key_bias: None, causal: false };
        let attention = least(|| drop(black_box(q.attention(&k, &v, how).expect("fits"))));
        println!("attention [325, 768], 12 heads: {:.2} ms", attention * 1e3);
        let hidden = tensor(&[325, 3072]);
        println!("gelu [325, 3072]: {:.2} ms", least(|| drop(black_box(hidden.gelu().expect("fits")))) * 1e3);
    });
}
