//! The products and hooks that training spends its time in: `cargo bench -p simseg-benches`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::{Attention, Result, Tensor, random};
use std::hint::black_box;

type Cpu = CpuTensor<f32>;

fn tensor(shape: &[usize]) -> Cpu {
    let mut rng = random::stream(0, "bench", shape.len() as u64);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random::normal(&mut rng) as f32).collect();
    Cpu::from_host(&values, shape, &CpuDevice).expect("as many values as the shape holds")
}

/// A batch of 128 images of the small world: 65 tokens of width 96.
fn kernels(criterion: &mut Criterion) {
    let (x, hidden) = (tensor(&[128, 65, 96]), tensor(&[128, 65, 384]));
    let (weight, bias) = (tensor(&[288, 96]), tensor(&[288]));
    let (scale, shift) = (tensor(&[96]), tensor(&[96]));
    let mut run = |name: &str, flops: u64, work: &dyn Fn() -> Result<Cpu>| {
        let mut group = criterion.benchmark_group("kernels");
        if flops > 0 {
            group.throughput(Throughput::Elements(flops));
        }
        group.bench_function(name, |bencher| bencher.iter(|| black_box(work().expect("shapes fit"))));
    };
    run("linear 8320×96→288 (elements are FLOP)", 2 * 8320 * 96 * 288, &|| x.linear(&weight, Some(&bias)));
    run("weight gradient of it", 2 * 8320 * 96 * 288, &|| {
        let g = x.linear(&weight, None)?;
        Ok(x.linear_grad(&weight, &g, false)?.1)
    });
    run("gelu 8320×384", 0, &|| hidden.gelu());
    run("layer norm 8320×96", 0, &|| x.layer_norm(&scale, &shift, 1e-6));
    run("attention 128×65×96, 3 heads", 4 * 128 * 65 * 65 * 96, &|| {
        x.attention(&x, &x, Attention { heads: 3, key_bias: None, causal: false })
    });
    run("top-5 of 65 tokens, 96 channels, 128 items", 0, &|| x.gather(1, &x.topk(5, 1)?));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).without_plots();
    targets = kernels
}
criterion_main!(benches);
