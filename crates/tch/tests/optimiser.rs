//! AdamW is a loop over libtorch's memory, on several threads, and writes over means that nobody else holds: no value may show it, only the memory.

use simseg_tch::{Precision, TchDevice, TchTensor};
use simseg_tensor::{AdamWStep, Differentiable, Ops, Result, Tensor, hooks};

const STEP: AdamWStep = AdamWStep { beta1: 0.9, beta2: 0.98, eps: 1e-2, keep: 0.99, rate: 0.3, root: 1.5 };

fn wave(shape: &[usize], step: f64) -> Result<TchTensor> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f64> = (0..count).map(|i| (i as f64 * step).sin()).collect();
    TchTensor::from_host(&values, shape, &TchDevice::CPU)
}

/// Parameter, gradient and means after a first step, so that the means are the backend's own.
fn stepped(shape: &[usize]) -> Result<[TchTensor; 4]> {
    let (p, g) = (wave(shape, 0.37)?, wave(shape, 0.73)?);
    let [p, m, v] = p.adamw(&g, p.zeros_like()?, p.zeros_like()?, STEP)?;
    Ok([p, g, m, v])
}

fn assert_near(got: &TchTensor, want: &TchTensor) -> Result<()> {
    let worst = got.sub(want)?.to_f32()?.into_iter().fold(0.0, |worst: f32, x| worst.max(x.abs()));
    assert!(worst < 1e-5, "{worst}");
    Ok(())
}

#[test]
fn a_step_on_several_threads_is_the_formula_whatever_the_layout_and_type() -> Result<()> {
    for shape in [&[][..], &[3], &[500, 700], &[0, 4]] {
        let [p, g, m, v] = stepped(shape)?;
        let (p, g) = if shape.len() == 2 { (p.t()?.reshape(&[shape[1], shape[0]])?.t()?, g) } else { (p, g) };
        let want = hooks::adamw(&p, &g, &m.clone(), &v.clone(), STEP)?;
        let got = p.adamw(&g, m, v, STEP)?;
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got.shape(), shape);
            assert_near(got, want)?;
        }
    }
    // A gradient that is one value repeated, in f64, at a rate of nothing.
    let doubles = TchDevice::CPU.with_precision(Precision::F64);
    let [p, g] = [0.3, 0.7].map(|x| TchTensor::full(x, &[1], &doubles)?.expand(&[5]));
    let (p, g, still) = (p?, g?, AdamWStep { rate: 0.0, ..STEP });
    let [after, m, v] = p.adamw(&g, p.zeros_like()?, p.zeros_like()?, still)?;
    for (got, want) in [(after, 0.3 * 0.99), (m, 0.7 * 0.1), (v, 0.49 * 0.02)] {
        assert!(got.to_vec::<f64>()?.iter().all(|x| (x - want).abs() < 1e-15));
    }
    Ok(())
}

#[test]
fn means_that_are_seen_elsewhere_stay_what_they_were() -> Result<()> {
    type Look = fn(&TchTensor) -> Result<TchTensor>;
    let looks: [Look; 4] = [|x| Ok(x.clone()), |x| x.reshape(&[6]), |x| Ok(x.leaf()), |x| x.t()];
    for look in looks {
        let [p, g, m, v] = stepped(&[2, 3])?;
        let (kept_m, kept_v) = (look(&m)?, look(&v)?);
        let before = (kept_m.to_f32()?, kept_v.to_f32()?);
        let [_, after, _] = p.adamw(&g, m, v, STEP)?;
        assert_eq!((kept_m.to_f32()?, kept_v.to_f32()?), before);
        assert_ne!(after.to_f32()?, before.0);
    }
    Ok(())
}

#[test]
fn means_that_nobody_else_holds_stay_where_they_lie() -> Result<()> {
    let [p, g, m, v] = stepped(&[2, 3])?;
    let before = [m.data_ptr(), v.data_ptr()];
    let [p, m, v] = p.adamw(&g, m, v, STEP)?;
    assert_eq!([m.data_ptr(), v.data_ptr()], before);
    // Read meanwhile, they are copied once.
    let _ = m.to_f32()?;
    let [p, m, v] = p.adamw(&g, m, v, STEP)?;
    assert_ne!(m.data_ptr(), before[0]);
    assert_eq!(v.data_ptr(), before[1]);
    let before = m.data_ptr();
    assert_eq!(p.adamw(&g, m, v, STEP)?[1].data_ptr(), before);
    Ok(())
}

#[test]
fn one_tensor_may_be_gradient_and_both_means() -> Result<()> {
    let mean = || stepped(&[2, 3]).map(|[_, _, _, v]| v);
    let p = wave(&[2, 3], 0.37)?;
    let want = hooks::adamw(&p, &mean()?, &mean()?, &mean()?, STEP)?;
    let v = mean()?;
    // The gradient is a view of the means' memory; the second mean is the last to hold it.
    let got = [p.adamw(&v.clone(), v.clone(), v.clone(), STEP)?, p.adamw(&mean()?, v.clone(), v, STEP)?];
    for (got, want) in got.iter().flatten().zip(want.iter().cycle()) {
        assert_near(got, want)?;
    }
    Ok(())
}
