//! What this backend owes beyond the testkit's list: the CPU backend's errors word for word, no graph where no leaf is,
//! and mixed precision that keeps what it promises.

use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tch::{Precision, TchDevice, TchTensor, device};
use simseg_tensor::{AdamWStep, Attention, Binary, Differentiable, Error, Ops, Result, Tensor, Unary};

/// One attempt per check, each with operands that do not fit.
fn attempts<T: Tensor>(device: &T::Device) -> Vec<(&'static str, Option<Error>)> {
    let zeros = |shape: &[usize]| T::from_host(&vec![0f32; shape.iter().product()], shape, device).unwrap();
    let index = |positions: &[usize], shape: &[usize]| T::index_from_host(positions, shape, device).unwrap();
    let (x, y, scalar, cube) = (zeros(&[2, 3]), zeros(&[3, 2]), zeros(&[]), zeros(&[1, 2, 6]));
    let (square, bias) = (index(&[0; 6], &[2, 3]), zeros(&[1, 5]));
    let how = |heads, key_bias| Attention { heads, key_bias, causal: false };
    let step = AdamWStep { beta1: 0.9, beta2: 0.98, eps: 1e-6, keep: 1.0, rate: 0.1, root: 1.0 };
    let seven = zeros(&[1, 7, 6]);
    let deep = T::from_host(&[0.0f32, 1.0, 2.0, 3.0], &[1, 4], device).unwrap().topk(1, 1).unwrap();
    vec![
        ("from_host", T::from_host(&[1.0f32], &[2], device).err()),
        ("from_host overflow", T::from_host::<f32>(&[], &[usize::MAX, 2], device).err()),
        ("index_from_host", T::index_from_host(&[1], &[2], device).err()),
        ("index_from_host large", T::index_from_host(&[1 << 40], &[1], device).err()),
        ("binary", x.binary(Binary::Add, &y).err()),
        ("matmul", x.matmul(&x).err()),
        ("matmul rank", cube.matmul(&x).err()),
        ("sum", x.sum(2).err()),
        ("reshape", x.reshape(&[5]).err()),
        ("permute", x.permute(&[0, 0]).err()),
        ("expand", x.expand(&[2, 6]).err()),
        ("slice axis", x.slice(2, 0, 1).err()),
        ("slice", x.slice(1, 2, 2).err()),
        ("slice beyond", x.slice(0, usize::MAX, 2).err()),
        ("concat", T::concat(&[&x, &y], 0).err()),
        ("concat of nothing", T::concat(&[], 0).err()),
        ("concat axis", T::concat(&[&x], 2).err()),
        ("topk 0", x.topk(0, 1).err()),
        ("topk 4", x.topk(4, 1).err()),
        ("topk axis", x.topk(1, 2).err()),
        ("gather shape", x.gather(1, &index(&[0], &[1])).err()),
        ("gather position", x.gather(1, &index(&[3, 0], &[2, 1])).err()),
        ("gather far topk", zeros(&[1, 2]).gather(1, &deep).err()),
        ("scatter_add source", x.scatter_add(1, &square, &y).err()),
        ("rows table", cube.rows(&square).err()),
        ("rows position", x.rows(&index(&[2], &[1])).err()),
        ("rows_add source", x.rows_add(&index(&[1], &[1]), &x).err()),
        ("linear", x.linear(&y, None).err()),
        ("linear bias", x.linear(&x, Some(&zeros(&[3]))).err()),
        ("linear_grad", x.linear_grad(&x, &x, true).err()),
        ("softmax", scalar.softmax().err()),
        ("softmax_grad", x.softmax_grad(&y).err()),
        ("log_softmax", scalar.log_softmax().err()),
        ("log_softmax_grad", x.log_softmax_grad(&y).err()),
        ("layer_norm", x.layer_norm(&x, &x, 1e-6).err()),
        ("layer_norm_grad", x.layer_norm_grad(&zeros(&[3]), 1e-6, &y).err()),
        ("gelu_grad", x.gelu_grad(&y).err()),
        ("attention rank", x.attention(&x, &x, how(1, None)).err()),
        ("attention heads", cube.attention(&cube, &cube, how(4, None)).err()),
        ("attention values", cube.attention(&seven, &cube, how(2, None)).err()),
        ("attention bias", cube.attention(&cube, &cube, how(2, Some(&bias))).err()),
        ("adamw", x.adamw(&x, y.clone(), x.clone(), step).err()),
        ("attention_grad", cube.attention_grad(&cube, &cube, how(2, None), &seven).err()),
    ]
}

#[test]
fn errors_are_those_of_the_cpu_backend_word_for_word() {
    let cpu = attempts::<CpuTensor<f32>>(&CpuDevice);
    let tch = attempts::<TchTensor>(&TchDevice::CPU);
    assert!(cpu.len() > 40);
    for ((name, cpu), (_, tch)) in cpu.into_iter().zip(tch) {
        assert!(cpu.is_some(), "{name}: the attempt was meant to fail");
        assert_eq!(tch, cpu, "{name}");
    }
}

#[test]
fn a_topk_index_of_a_longer_axis_is_used_where_its_positions_fit() -> Result<()> {
    let device = TchDevice::CPU;
    let index = TchTensor::from_host(&[9.0f32, 1.0, 2.0, 3.0], &[1, 4], &device)?.topk(1, 1)?;
    assert_eq!(TchTensor::from_host(&[5.0f32, 6.0], &[1, 2], &device)?.gather(1, &index)?.to_f32()?, [5.0]);
    Ok(())
}

#[test]
fn what_libtorch_refuses_is_a_backend_error_without_its_stack_trace() {
    let x = TchTensor::from_host(&[1.0f32], &[1], &TchDevice::CPU).unwrap();
    let y = TchTensor::from_host(&[1.0f64], &[1], &TchDevice::CPU.with_precision(Precision::F64)).unwrap();
    let error = x.reshape(&[1, 1]).unwrap().matmul(&y.reshape(&[1, 1]).unwrap()).unwrap_err();
    let Error::Backend { backend: "libtorch", message } = &error else { panic!("{error}") };
    assert!(message.contains("dtype") && !message.contains('\n'), "{message}");
}

#[test]
fn a_device_is_named_cpu_or_cuda() {
    assert_eq!(device("cpu"), Ok(TchDevice::CPU));
    for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0"] {
        assert!(matches!(device(wrong), Err(Error::Setting { .. })), "{wrong}");
    }
    // Nobody has this one: an error that says why, whether or not there is CUDA.
    let error = device("cuda:4096").unwrap_err().to_string();
    assert!(error.contains("CUDA can't be loaded") || error.contains("is not there"), "{error}");
    assert!("bf16".parse::<Precision>().is_ok() && "fp8".parse::<Precision>().is_err());
    assert_eq!(TchDevice::CPU.with_precision(Precision::Bf16).to_string(), "cpu bf16");
    assert_eq!(TchDevice::CPU.tf32(), Ok(false));
}

#[test]
fn bounds_beyond_f32_do_not_bind_but_nan_is_never_inside() -> Result<()> {
    let x = TchTensor::from_host(&[-3.0f32, 0.5, f32::NAN], &[3], &TchDevice::CPU)?;
    assert_eq!(x.clamp(0.0, f64::MAX)?.to_f32()?[..2], [0.0, 0.5]);
    assert_eq!(x.clamp(f64::MIN, 0.0)?.to_f32()?[..2], [-3.0, 0.0]);
    assert_eq!(x.clamp(f64::MIN, f64::MAX)?.to_f32()?[..2], [-3.0, 0.5]);
    assert!(x.clamp(0.0, 1.0)?.to_f32()?[2].is_nan());
    let inside = x.unary(Unary::Inside { low: f64::MIN, high: f64::MAX })?;
    assert_eq!(inside.to_f32()?, [1.0, 1.0, 0.0]);
    Ok(())
}

/// `Σ gelu(x·Wᵀ)·W`, shaped so that products, an elementwise function and a norm are on the way.
fn network<T: Tensor>(x: &T, weight: &T, gain: &T) -> Result<T> {
    let y = x.linear(weight, None)?.gelu()?.layer_norm(gain, gain, 1e-5)?;
    y.attention(&y, &y, Attention { heads: 2, key_bias: None, causal: true })?.add(x)?.square()?.mean_all()
}

fn inputs<T: Tensor>(device: &T::Device) -> Result<[T; 3]> {
    let wave = |n: usize, step: f64| (0..n).map(|i| (i as f64 * step).sin()).collect::<Vec<_>>();
    Ok([
        T::from_host(&wave(2 * 5 * 8, 0.7), &[2, 5, 8], device)?,
        T::from_host(&wave(64, 1.3), &[8, 8], device)?,
        T::from_host(&wave(8, 0.4), &[8], device)?,
    ])
}

#[test]
fn mixed_precision_stays_near_f32_and_gradients_of_leaves_are_f32() -> Result<()> {
    let run = |precision| -> Result<(f64, Vec<f64>)> {
        let device = TchDevice::CPU.with_precision(precision);
        let [x, weight, gain] = inputs::<TchTensor>(&device)?;
        let weight = weight.leaf();
        let loss = network(&x, &weight, &gain)?;
        let gradient = loss.grad(&[&weight])?.remove(0);
        // An update in the leaf's own precision: 2⁻²⁰ would vanish beside 1 in bf16 and f16.
        let tiny = TchTensor::full(1.0, &[8, 8], &device)?.add(&gradient.scale(0.0)?.shift(2f64.powi(-20))?)?;
        assert_eq!(tiny.to_f32()?[0], 1.0 + 2f32.powi(-20));
        Ok((loss.item()?, gradient.to_vec()?))
    };
    let (loss, gradient) = run(Precision::F32)?;
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for precision in [Precision::Bf16, Precision::F16] {
        let (short_loss, short) = run(precision)?;
        let off: Vec<f64> = short.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        assert!((short_loss - loss).abs() < 0.02 * loss && short_loss != loss, "{precision:?}: {short_loss} {loss}");
        assert!(norm(&off) < 0.05 * norm(&gradient), "{precision:?}: {} of {}", norm(&off), norm(&gradient));
    }
    Ok(())
}

#[test]
fn a_gradient_can_be_asked_for_twice_and_a_constant_has_none() -> Result<()> {
    let [x, weight, gain] = inputs::<TchTensor>(&TchDevice::CPU)?;
    let leaf = weight.leaf();
    let loss = network(&x, &leaf, &gain)?;
    let (first, second) = (loss.grad(&[&leaf])?, loss.grad(&[&x, &leaf])?);
    assert_eq!(first[0].to_f32()?, second[1].to_f32()?);
    assert!(first[0].to_f32()?.iter().any(|&g| g != 0.0) && second[0].to_f32()?.iter().all(|&g| g == 0.0));
    // Without a leaf on the way there is nothing to ask: zeros, not an error.
    let constant = network(&x, &leaf.detach(), &gain)?;
    assert!(constant.grad(&[&leaf])?[0].to_f32()?.iter().all(|&g| g == 0.0));
    Ok(())
}

#[test]
fn backward_frees_what_the_graph_saved() -> Result<()> {
    let [x, weight, gain] = inputs::<TchTensor>(&TchDevice::CPU)?;
    let leaf = weight.leaf();
    let loss = network(&x, &leaf, &gain)?;
    let want = (loss.item()?, loss.grad(&[&leaf])?[0].to_f32()?);
    let kept = loss.clone();
    let (value, gradients) = loss.backward(&[&leaf])?;
    assert_eq!((value.item()?, gradients[0].to_f32()?), want);
    // The graph is still there, what it saved is not: libtorch says so.
    assert!(matches!(kept.grad(&[&leaf]), Err(Error::Backend { .. })));
    Ok(())
}

#[test]
fn tensors_may_be_read_by_several_threads() -> Result<()> {
    let [x, weight, gain] = inputs::<TchTensor>(&TchDevice::CPU)?;
    let want = network(&x, &weight, &gain)?.item()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| network(&x, &weight, &gain)?.item())).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(want));
        }
    });
    Ok(())
}
