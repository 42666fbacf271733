//! What this machine can do at most, measured: multiply-adds that wait for nothing, and copies of memory that no cache holds.

use std::hint::black_box;
use std::time::Instant;

const TURNS: usize = 100_000;
/// Sums that do not wait for each other: the two units of a core with 4 or 5 cycles each, and a few more.
const CHAINS: usize = 12;

/// A short piece of work.
pub struct Burst {
    /// Does it, on the thread that calls.
    pub work: fn(),
    /// Floating-point operations of one call.
    pub flops: f64,
}

/// Multiply-adds with the widest registers of this CPU.
pub fn burst() -> Burst {
    let of = |lanes: usize, work: fn()| Burst { work, flops: (2 * CHAINS * lanes * TURNS) as f64 };
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has what the function asks for.
            return of(16, || unsafe { x86::avx512(black_box(1.0)) });
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return of(8, || unsafe { x86::avx2(black_box(1.0)) });
        }
    }
    of(4, plain)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, TURNS, black_box};
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};

    #[target_feature(enable = "avx512f")]
    pub fn avx512(x: f32) {
        let (x, mut sums) = (_mm512_set1_ps(x), [_mm512_set1_ps(0.0); CHAINS]);
        for _ in 0..TURNS {
            sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(x, x, *sum));
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(x: f32) {
        let (x, mut sums) = (_mm256_set1_ps(x), [_mm256_set1_ps(0.0); CHAINS]);
        for _ in 0..TURNS {
            sums.iter_mut().for_each(|sum| *sum = _mm256_fmadd_ps(x, x, *sum));
        }
        black_box(sums);
    }
}

/// Four lanes, which every CPU has; a fused operation where the target is sure to have one.
fn plain() {
    let (x, mut sums) = ([black_box(1.0f32); 4], [[0.0f32; 4]; CHAINS]);
    for _ in 0..TURNS {
        for sum in &mut sums {
            for (sum, x) in sum.iter_mut().zip(x) {
                *sum = if cfg!(target_arch = "aarch64") { x.mul_add(x, *sum) } else { x * x + *sum };
            }
        }
    }
    black_box(sums);
}

/// Operations per second of all threads of the pool together.
pub fn flops() -> f64 {
    let Burst { work, flops } = burst();
    flops * rayon::current_num_threads() as f64 / least(|| drop(rayon::broadcast(|_| work())))
}

/// Bytes read and written per second where every thread of the pool copies an array of its own that no cache holds.
pub fn bandwidth() -> f64 {
    use rayon::prelude::*;
    const LENGTH: usize = 1 << 24; // 64 MiB
    let threads = rayon::current_num_threads();
    let (from, mut to) = (vec![1.0f32; LENGTH * threads], vec![0.0f32; LENGTH * threads]);
    let seconds = least(|| {
        to.par_chunks_mut(LENGTH).zip(from.par_chunks(LENGTH)).for_each(|(to, from)| to.copy_from_slice(from))
    });
    black_box(to);
    (2 * 4 * LENGTH * threads) as f64 / seconds
}

/// Least seconds of many calls: what else runs can only add to them.
fn least(mut work: impl FnMut()) -> f64 {
    work();
    let (began, mut least, mut calls) = (Instant::now(), f64::INFINITY, 0);
    while calls < 10 || began.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        work();
        least = least.min(start.elapsed().as_secs_f64());
        calls += 1;
    }
    least
}
