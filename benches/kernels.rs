//! The kernels of inference and training, each at the sizes where time goes: `cargo bench -p simseg-benches`.
//!
//! What computes is counted in operations, what moves data in bytes read and written once; both stand beside the peak that this machine
//! shows just before, all threads together. Data of a few MB may lie in a cache, which is faster than the memory of that peak.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simseg_benches::peak;
use simseg_benches::tensors::{in_file, tensor};
use simseg_cpu::CpuTensor;
use simseg_segment::refine::{CrfParameters, Lattices};
use simseg_tensor::{AdamWStep, Attention, Result, Tensor};
use std::hint::black_box;
use std::time::{Duration, Instant};

type Cpu = CpuTensor<f32>;

/// Time by the clock, and rates as shares of what is possible.
struct OfPeak {
    flops: f64,
    bandwidth: f64,
}

impl OfPeak {
    fn measured() -> Self {
        let peak = Self { flops: peak::flops(), bandwidth: peak::bandwidth() };
        let (flops, bandwidth, threads) = (peak.flops * 1e-9, peak.bandwidth * 1e-9, rayon::current_num_threads());
        println!("peak of {threads} threads: {flops:.1} GFLOP/s, {bandwidth:.1} GB/s\n");
        peak
    }

    /// Units per second, their name, and the most of them.
    fn rate(&self, throughput: &Throughput, nanoseconds: f64) -> (f64, &'static str, f64) {
        match throughput {
            Throughput::Elements(flops) => (*flops as f64 / nanoseconds, "GFLOP/s", self.flops * 1e-9),
            Throughput::Bytes(bytes) => (*bytes as f64 / nanoseconds, "GB/s", self.bandwidth * 1e-9),
            _ => (f64::NAN, "", f64::NAN), // no other is used below
        }
    }
}

impl ValueFormatter for OfPeak {
    fn format_throughput(&self, throughput: &Throughput, value: f64) -> String {
        let (rate, unit, most) = self.rate(throughput, value);
        format!("{rate:.1} {unit} ({:.0}%)", 100.0 * rate / most)
    }
    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        values.iter_mut().for_each(|value| *value = self.rate(throughput, *value).0);
        self.rate(throughput, 1.0).1
    }
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }
    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}

impl Measurement for OfPeak {
    type Intermediate = Instant;
    type Value = Duration;
    fn start(&self) -> Instant {
        WallTime.start()
    }
    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }
    fn zero(&self) -> Duration {
        WallTime.zero()
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

fn flops(count: usize) -> Option<Throughput> {
    Some(Throughput::Elements(count as u64))
}

/// So many values of four bytes, read or written.
fn moved(values: usize) -> Option<Throughput> {
    Some(Throughput::Bytes(4 * values as u64))
}

fn run<R>(
    criterion: &mut Criterion<OfPeak>,
    name: &str,
    counted: Option<Throughput>,
    work: impl Fn() -> std::result::Result<R, simseg_tensor::Error>,
) {
    let mut group = criterion.benchmark_group("kernels");
    if let Some(counted) = counted {
        group.throughput(counted);
    }
    group.bench_function(name, |bencher| bencher.iter(|| black_box(work().expect("shapes fit"))));
}

/// `b` images of `n` tokens of width `d` in `h` heads.
struct Tokens {
    name: &'static str,
    sizes: [usize; 4],
}

/// One image of 288×288 in ViT-B/16, and a training batch of the small world.
const TOKENS: [Tokens; 2] =
    [Tokens { name: "ViT-B/16", sizes: [1, 325, 768, 12] }, Tokens { name: "training", sizes: [128, 65, 96, 3] }];

fn kernels(criterion: &mut Criterion<OfPeak>) {
    for Tokens { name, sizes: [b, n, d, heads] } in TOKENS {
        let (rows, x) = (b * n, tensor(&[b, n, d]));
        let (weight, bias, scale) = (tensor(&[4 * d, d]), tensor(&[4 * d]), tensor(&[d]));
        let (hidden, prepared) = (tensor(&[b, n, 4 * d]), in_file(&[4 * d, d]));
        let mut run = |what: &str, counted, work: &dyn Fn() -> Result<Cpu>| {
            run(criterion, &format!("{name}: {what}"), counted, work);
        };
        let product = 2 * rows * d * 4 * d;
        run(&format!("linear {rows}×{d}→{}", 4 * d), flops(product), &|| x.linear(&weight, Some(&bias)));
        run("the same, weight prepared", flops(product), &|| x.linear(&prepared, Some(&bias)));
        run("its gradients", flops(2 * product), &|| Ok(x.linear_grad(&weight, &hidden, true)?.1));
        let how = Attention { heads, key_bias: None, causal: false };
        run(&format!("attention, {heads} heads"), flops(4 * b * n * n * d), &|| x.attention(&x, &x, how));
        run(&format!("gelu {rows}×{}", 4 * d), moved(2 * rows * 4 * d), &|| hidden.gelu());
        run(&format!("layer norm {rows}×{d}"), moved(2 * rows * d), &|| x.layer_norm(&scale, &scale, 1e-6));
        let scores = tensor(&[b * heads, n, n]);
        run(&format!("softmax {}×{n}", b * heads * n), moved(2 * b * heads * n * n), &|| scores.softmax());
        run(&format!("top 5 of {n} tokens"), moved(rows * d), &|| x.gather(1, &x.topk(5, 1)?));
    }
    let [parameter, gradient, m] = [(); 3].map(|()| tensor(&[3072, 768])); // each in memory of its own
    let v = m.binary(simseg_tensor::Binary::Mul, &m).expect("one shape");
    let step = AdamWStep { beta1: 0.9, beta2: 0.98, eps: 1e-6, keep: 1.0, rate: 1e-4, root: 1.0 };
    run(criterion, "AdamW 3072×768", moved(7 * 3072 * 768), || parameter.adamw(&gradient, m.clone(), v.clone(), step));
    crf(criterion);
}

/// What the released code does to a picture: lattices, then five classes.
fn crf(criterion: &mut Criterion<OfPeak>) {
    const SIDE: usize = 288;
    let wave = |i: usize, c: usize| ((i % SIDE) as f32 * 0.03 + c as f32).sin() * ((i / SIDE) as f32 * 0.02).cos();
    let rgb: Vec<u8> = (0..3 * SIDE * SIDE).map(|i| (127.0 + 90.0 * wave(i / 3, i % 3)) as u8).collect();
    let maps: Vec<Vec<f32>> = (0..5).map(|c| (0..SIDE * SIDE).map(|i| 0.5 + 0.45 * wave(i, 2 * c)).collect()).collect();
    let maps: Vec<&[f32]> = maps.iter().map(Vec::as_slice).collect();
    run(criterion, "CRF 288×288, 5 classes", None, || {
        let lattices = Lattices::new(&rgb, SIDE, SIDE, &CrfParameters::default())?;
        Ok(lattices.infer(&maps)?)
    });
}

fn configured() -> Criterion<OfPeak> {
    let short = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    short.sample_size(20).without_plots().with_measurement(OfPeak::measured())
}

criterion_group! {
    name = benches;
    config = configured();
    targets = kernels
}
criterion_main!(benches);
