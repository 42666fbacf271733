//! The list of cases. A case's name is the sentence it proves; every backend runs all of them.

use crate::golden::{Golden, goldens};
use crate::gradient::{differences, rules, weigh};
use crate::hostile::{Domain, LAYOUTS, Layout, values};
use crate::naive::NaiveTensor;
use crate::plain::Plain;
use crate::sample::{Sample, samples};
use crate::step::Step;
use crate::subject;
use crate::tolerance::Tolerance;
use libtest_mimic::{Failed, Trial};
use simseg_tensor::{AdamWStep, Autodiff, Binary, Differentiable, Error, Ops, PADDING, Tensor, Unary};

type Check<T> = Box<dyn Fn(&<T as Tensor>::Device) -> Result<(), String> + Send>;

/// One case for one backend.
pub struct Case<T: Tensor> {
    /// The sentence it proves.
    pub name: String,
    /// Proves it.
    pub run: Check<T>,
}

impl<T: Tensor> Case<T> {
    fn new(name: impl Into<String>, run: impl Fn(&T::Device) -> Result<(), String> + Send + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

fn say(error: Error) -> String {
    error.to_string()
}

/// What a step must give: the naive backend's result.
fn wanted(sample: &Sample) -> Result<(Vec<f64>, Vec<usize>), String> {
    let inputs = sample.inputs::<NaiveTensor>(Layout::Contiguous, &()).map_err(say)?;
    let result = sample.step.apply(&inputs.iter().collect::<Vec<_>>()).map_err(say)?;
    Ok((result.to_vec().map_err(say)?, result.shape().to_vec()))
}

/// Values: against plain loops in every layout, and what the trait promises beyond that.
pub fn value_cases<T: Tensor>(tolerance: Tolerance) -> Vec<Case<T>> {
    let mut cases = Vec::new();
    for sample in samples() {
        let name = format!("{}_agrees_with_plain_loops_in_every_layout", sample.name());
        cases.push(Case::new(name, move |device| {
            let (want, shape) = wanted(&sample)?;
            for layout in LAYOUTS {
                let inputs = sample.inputs::<T>(layout, device).map_err(say)?;
                let got = sample.step.apply(&inputs.iter().collect::<Vec<_>>()).map_err(say)?;
                if got.shape() != shape {
                    return Err(format!("{layout:?}: shape {:?}, expected {shape:?}", got.shape()));
                }
                tolerance.compare(&format!("{layout:?}"), &got.to_vec::<f64>().map_err(say)?, &want)?;
            }
            Ok(())
        }));
    }
    for sample in samples() {
        let name = format!("{}_of_an_expanded_input_equals_that_of_its_copy", sample.name());
        cases.push(Case::new(name, move |device| {
            let mut inputs = sample.inputs::<T>(Layout::Contiguous, device).map_err(say)?;
            let shape = sample.shapes[0].clone();
            let thin = inputs[0].slice(0, 0, 1).and_then(|row| row.expand(&shape)).map_err(say)?;
            inputs[0] = tensor::<T>(&thin.to_vec::<f64>().map_err(say)?, &shape, device)?;
            let want = sample.step.apply(&inputs.iter().collect::<Vec<_>>()).map_err(say)?;
            inputs[0] = thin;
            let got = sample.step.apply(&inputs.iter().collect::<Vec<_>>()).map_err(say)?;
            let (got, want) = (got.to_vec::<f64>().map_err(say)?, want.to_vec::<f64>().map_err(say)?);
            tolerance.compare("expanded", &got, &want).map(|_| ())
        }));
    }
    for sample in samples().into_iter().filter(|sample| sample.step.is_hook()) {
        let name = format!("{}_fused_equals_its_formula", sample.name());
        cases.push(Case::new(name, move |device| {
            let fused = sample.inputs::<T>(Layout::Permuted, device).map_err(say)?;
            let plain = sample.inputs::<Plain<T>>(Layout::Permuted, device).map_err(say)?;
            let fused = sample.step.apply(&fused.iter().collect::<Vec<_>>()).map_err(say)?;
            let plain = sample.step.apply(&plain.iter().collect::<Vec<_>>()).map_err(say)?;
            let (fused, plain) = (fused.to_vec::<f64>().map_err(say)?, plain.to_vec::<f64>().map_err(say)?);
            tolerance.compare("fused", &fused, &plain).map(|_| ())
        }));
    }
    for golden in goldens() {
        let name = format!("{}_is_that_of_pytorch", golden.name);
        cases.push(Case::new(name, move |device| golden_values::<T>(&golden, device, tolerance)));
    }
    cases.extend(promises(tolerance));
    cases
}

fn golden_values<T: Tensor>(golden: &Golden, device: &T::Device, tolerance: Tolerance) -> Result<(), String> {
    let got = subject::values::<T>(golden, device).map_err(say)?.remove(0);
    if got.shape != golden.shape {
        return Err(format!("shape {:?}, expected {:?}", got.shape, golden.shape));
    }
    tolerance.compare("value", &got.values, &golden.values).map(|_| ())
}

fn tensor<T: Tensor>(values: &[f64], shape: &[usize], device: &T::Device) -> Result<T, String> {
    T::from_host(values, shape, device).map_err(say)
}

/// What the trait promises beyond the values of each operation.
fn promises<T: Tensor>(tolerance: Tolerance) -> Vec<Case<T>> {
    vec![
        Case::new("softmax_rows_sum_to_one", move |device| {
            let x = tensor::<T>(&values(Domain::Any, 66, 0), &[2, 33], device)?;
            let sums = x.scale(30.0).and_then(|x| x.softmax()?.sum(1)).map_err(say)?;
            tolerance.compare("sum", &sums.to_vec::<f64>().map_err(say)?, &[1.0, 1.0]).map(|_| ())
        }),
        Case::new("softmax_survives_large_scores_and_hides_padding", |device| {
            let x = tensor::<T>(&[1e4, 0.0, PADDING], &[1, 3], device)?;
            let p = x.softmax().and_then(|p| p.to_vec::<f64>()).map_err(say)?;
            if p == [1.0, 0.0, 0.0] { Ok(()) } else { Err(format!("{p:?}")) }
        }),
        Case::new("attention_gives_padding_no_weight", move |device| {
            let v = values(Domain::Any, 24, 3);
            let (q, short) = (tensor::<T>(&v[..6], &[1, 2, 3], device)?, tensor::<T>(&v[6..12], &[1, 2, 3], device)?);
            let long = tensor::<T>(&[&v[6..12], &[9.0, -9.0, 9.0]].concat(), &[1, 3, 3], device)?;
            let bias = tensor::<T>(&[0.0, 0.0, PADDING], &[1, 3], device)?;
            let how = |key_bias| simseg_tensor::Attention { heads: 1, key_bias, causal: false };
            let want = q.attention(&short, &short, how(None)).and_then(|y| y.to_vec::<f64>()).map_err(say)?;
            let got = q.attention(&long, &long, how(Some(&bias))).and_then(|y| y.to_vec::<f64>()).map_err(say)?;
            tolerance.compare("padded", &got, &want).map(|_| ())
        }),
        Case::new("the_largest_come_largest_first_and_ties_by_value", |device| {
            let x = tensor::<T>(&[1.0, 3.0, 3.0, 2.0, 3.0, 0.0], &[1, 6], device)?;
            let y = x.topk(4, 1).and_then(|i| x.gather(1, &i)).and_then(|y| y.to_vec::<f64>()).map_err(say)?;
            if y == [3.0, 3.0, 3.0, 2.0] { Ok(()) } else { Err(format!("{y:?}")) }
        }),
        Case::new("shapes_that_do_not_fit_are_errors", |device| {
            let x = tensor::<T>(&[0.0; 6], &[2, 3], device)?;
            let index = T::index_from_host(&[3, 0, 0, 0, 0, 0], &[2, 3], device).map_err(say)?;
            let far = T::index_from_host(&[2], &[1], device).map_err(say)?;
            let attempts = [
                ("matmul", x.matmul(&x).err()),
                ("binary", x.binary(Binary::Add, &x.t().map_err(say)?).err()),
                ("sum", x.sum(2).err()),
                ("reshape", x.reshape(&[5]).err()),
                ("permute", x.permute(&[0, 0]).err()),
                ("expand", x.expand(&[2, 6]).err()),
                ("slice", x.slice(1, 2, 2).err()),
                ("slice beyond", x.slice(0, usize::MAX, 2).err()),
                ("concat", T::concat(&[&x, &x.t().map_err(say)?], 0).err()),
                ("concat of nothing", T::concat(&[], 0).err()),
                ("topk 0", x.topk(0, 1).err()),
                ("topk", x.topk(4, 1).err()),
                ("gather", x.gather(1, &index).err()),
                ("rows", x.rows(&far).err()),
                ("from_host", T::from_host(&[1.0], &[2], device).err()),
                ("linear", x.linear(&x.t().map_err(say)?, None).err()),
                ("layer_norm", x.layer_norm(&x, &x, 1e-6).err()),
            ];
            let silent: Vec<&str> = attempts.iter().filter(|(_, error)| error.is_none()).map(|(op, _)| *op).collect();
            if silent.is_empty() { Ok(()) } else { Err(format!("no error from {silent:?}")) }
        }),
        Case::new("empty_axes_do_not_panic", |device| {
            let x = tensor::<T>(&[], &[2, 0], device)?;
            let sum = x.sum(1).and_then(|y| y.to_vec::<f64>()).map_err(say)?;
            let product = x.matmul(&x.t().map_err(say)?).and_then(|y| y.to_vec::<f64>()).map_err(say)?;
            let joined = T::concat(&[&x, &tensor::<T>(&[1.0, 2.0], &[2, 1], device)?], 1);
            let joined = joined.and_then(|y| y.to_vec::<f64>()).map_err(say)?;
            if sum == [0.0; 2] && product == [0.0; 4] && joined == [1.0, 2.0] { Ok(()) } else { Err("wrong".into()) }
        }),
        Case::new("a_clone_does_not_see_later_work", |device| {
            let x = tensor::<T>(&[1.0, 2.0], &[2], device)?;
            let clone = x.clone();
            let index = T::index_from_host(&[0], &[1], device).map_err(say)?;
            x.scatter_add(0, &index, &tensor::<T>(&[5.0], &[1], device)?).map_err(say)?;
            let left = clone.to_vec::<f64>().map_err(say)?;
            if left == [1.0, 2.0] { Ok(()) } else { Err(format!("{left:?}")) }
        }),
        Case::new("adamw_fused_equals_its_formula_and_leaves_its_inputs_alone", move |device| {
            let step =
                AdamWStep { beta1: 0.9, beta2: 0.98, eps: 1e-2, keep: 0.99, rate: 0.3, root: 1.0 / 0.02f64.sqrt() };
            let shape = [33, 40]; // more than one block of a kernel
            let inputs = [Domain::Any, Domain::Any, Domain::Any, Domain::Positive];
            let inputs = [0, 1, 2, 3].map(|i| values(inputs[i], 33 * 40, 11 + i as u64));
            let make = |i: usize| tensor::<T>(&inputs[i], &shape, device);
            let [p, g, m, v] = [make(0)?, make(1)?, make(2)?, make(3)?];
            let got = p.adamw(&g, m.clone(), v.clone(), step).map_err(say)?;
            let want = simseg_tensor::hooks::adamw(&p, &g, &m, &v, step).map_err(say)?;
            for (name, got, want) in [("p", &got[0], &want[0]), ("m", &got[1], &want[1]), ("v", &got[2], &want[2])] {
                let (got, want) = (got.to_vec::<f64>().map_err(say)?, want.to_vec::<f64>().map_err(say)?);
                tolerance.compare(name, &got, &want)?;
            }
            let unmoved = |x: &T, i: usize| {
                Ok::<bool, String>(x.to_vec::<f64>().map_err(say)? == make(i)?.to_vec::<f64>().map_err(say)?)
            };
            match unmoved(&p, 0)? && unmoved(&m, 2)? && unmoved(&v, 3)? {
                true => Ok(()),
                false => Err("an input changed".into()),
            }
        }),
        Case::new("long_axes_are_summed_in_full", move |device| {
            let v = values(Domain::Any, 1025 * 3, 5);
            let x = tensor::<T>(&v, &[1025, 3], device)?;
            let want: Vec<f64> = (0..3).map(|c| v.iter().skip(c).step_by(3).sum()).collect();
            let got = x.sum(0).and_then(|y| y.to_vec::<f64>()).map_err(say)?;
            tolerance.compare("columns", &got, &want).map(|_| ())
        }),
        Case::new("large_products_agree_with_plain_loops", move |device| {
            // Large enough for every way of cutting a product into parts.
            for [m, k, n] in [[300, 40, 130], [40, 60, 400], [24, 4100, 16]] {
                let (a, b) = (values(Domain::Any, m * k, 1), values(Domain::Any, k * n, 2));
                let got = tensor::<T>(&a, &[m, k], device)?.matmul(&tensor::<T>(&b, &[k, n], device)?);
                let dot = |i: usize| (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum();
                let want: Vec<f64> = (0..m * n).map(dot).collect();
                tolerance.compare(
                    &format!("{m}×{k}×{n}"),
                    &got.and_then(|y| y.to_vec::<f64>()).map_err(say)?,
                    &want,
                )?;
            }
            Ok(())
        }),
    ]
}

/// Gradients: against central differences (for f64), or those of the naive backend; and the corners of the rules.
pub fn gradient_cases<D: Differentiable>(tolerance: Tolerance, exact: bool) -> Vec<Case<D>> {
    let mut cases = Vec::new();
    // The jump function has slope 0 wherever it has one.
    let smooth = |sample: &Sample| !matches!(sample.step, Step::Unary(Unary::Inside { .. }));
    for sample in samples().into_iter().filter(smooth) {
        let yardstick = if exact { "central_differences" } else { "the_naive_backend" };
        let name = format!("gradient_of_{}_agrees_with_{yardstick}", sample.name());
        cases.push(Case::new(name, move |device| {
            let inputs = sample.inputs::<D>(Layout::Permuted, device).map_err(say)?;
            let f = |x: &[D]| weigh(&sample.step.apply(&x.iter().collect::<Vec<_>>())?);
            let got = rules(&inputs, f).map_err(say)?;
            let want = if exact {
                differences(&inputs, f).map_err(say)?
            } else {
                let inputs = sample.inputs::<Autodiff<NaiveTensor>>(Layout::Contiguous, &()).map_err(say)?;
                let f = |x: &[Autodiff<NaiveTensor>]| weigh(&sample.step.apply(&x.iter().collect::<Vec<_>>())?);
                rules(&inputs, f).map_err(say)?
            };
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                tolerance.compare(&format!("input {i}"), got, want)?;
            }
            Ok(())
        }));
    }
    for sample in samples().into_iter().filter(|sample| sample.step.is_hook()) {
        let name = format!("gradient_of_fused_{}_equals_its_formulas", sample.name());
        cases.push(Case::new(name, move |device| {
            let fused = sample.inputs::<D>(Layout::Contiguous, device).map_err(say)?;
            let plain = sample.inputs::<Plain<D>>(Layout::Contiguous, device).map_err(say)?;
            let fused = rules(&fused, |x| weigh(&sample.step.apply(&x.iter().collect::<Vec<_>>())?)).map_err(say)?;
            let plain = rules(&plain, |x| weigh(&sample.step.apply(&x.iter().collect::<Vec<_>>())?)).map_err(say)?;
            for (i, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
                tolerance.compare(&format!("input {i}"), fused, plain)?;
            }
            Ok(())
        }));
    }
    for golden in goldens() {
        let name = format!("gradient_of_{}_is_that_of_pytorch", golden.name);
        cases.push(Case::new(name, move |device| {
            let got = subject::gradients::<D>(&golden, device).map_err(say)?;
            for (i, (got, want)) in got.iter().zip(&golden.gradients).enumerate() {
                tolerance.compare(&format!("input {i}"), got, want)?;
            }
            if got.len() == golden.gradients.len() { Ok(()) } else { Err(format!("{} gradients", got.len())) }
        }));
    }
    cases.extend(corners());
    cases
}

/// The corners of the rules.
fn corners<D: Differentiable>() -> Vec<Case<D>> {
    let gradient = |x: &D, f: fn(&D) -> simseg_tensor::Result<D>| {
        rules(std::slice::from_ref(x), |x| f(&x[0])).map(|mut list| list.remove(0)).map_err(say)
    };
    let equal =
        |got: Vec<f64>, want: &[f64]| if got == want { Ok(()) } else { Err(format!("{got:?}, expected {want:?}")) };
    vec![
        Case::new("clamp_has_gradient_one_on_its_bounds", move |device| {
            let x = tensor::<D>(&[-1.0, -0.5, 0.0, 0.5, 1.0], &[5], device)?;
            equal(gradient(&x, |x| x.clamp(-0.5, 0.5)?.sum_all())?, &[0.0, 1.0, 1.0, 1.0, 0.0])
        }),
        Case::new("a_zero_row_has_a_finite_gradient_through_l2_normalize", move |device| {
            let x = tensor::<D>(&[0.0, 0.0, 3.0, 4.0], &[2, 2], device)?;
            for f in [|x: &D| weigh(&x.l2_normalize()?), |x: &D| weigh(&x.l2_normalize_pooled()?)] {
                let g = gradient(&x, f)?;
                if !g.iter().all(|g| g.is_finite()) {
                    return Err(format!("{g:?}"));
                }
            }
            Ok(())
        }),
        Case::new("overlapping_slices_add_their_gradients", move |device| {
            let x = tensor::<D>(&[1.0; 4], &[4], device)?;
            let f = |x: &D| {
                let (a, b, c) = (x.slice(0, 0, 2)?, x.slice(0, 0, 3)?, x.slice(0, 2, 2)?);
                a.sum_all()?.add(&b.sum_all()?)?.add(&c.sum_all()?)?.add(&x.sum_all()?)
            };
            equal(gradient(&x, f)?, &[3.0, 3.0, 3.0, 2.0])
        }),
        Case::new("a_leaf_that_does_not_count_gets_zeros_and_constants_none", |device| {
            let (x, y) = (tensor::<D>(&[2.0], &[1], device)?.leaf(), tensor::<D>(&[5.0, 6.0], &[2], device)?.leaf());
            let loss = x.mul(&x.detach()).and_then(|z| z.sum_all()).map_err(say)?;
            let grads = loss.grad(&[&x, &y]).map_err(say)?;
            let [dx, dy] = [&grads[0], &grads[1]].map(|g| g.to_vec::<f64>());
            let (dx, dy) = (dx.map_err(say)?, dy.map_err(say)?);
            if dx == [2.0] && dy == [0.0, 0.0] { Ok(()) } else { Err(format!("{dx:?} {dy:?}")) }
        }),
        Case::new("a_leaf_that_is_asked_for_twice_gets_its_gradient_twice", |device| {
            let (x, y) = (tensor::<D>(&[2.0], &[1], device)?.leaf(), tensor::<D>(&[5.0], &[1], device)?.leaf());
            let loss = x.mul(&x).and_then(|z| z.mul(&y)).and_then(|z| z.sum_all()).map_err(say)?;
            let grads = loss.grad(&[&x, &y, &x]).map_err(say)?;
            let values = grads.iter().map(|g| g.to_vec::<f64>()).collect::<Result<Vec<_>, _>>().map_err(say)?;
            if values == [[20.0], [4.0], [20.0]] { Ok(()) } else { Err(format!("{values:?}")) }
        }),
        Case::new("backward_gives_the_value_as_a_constant_and_the_gradients", |device| {
            let (x, y) = (tensor::<D>(&[2.0], &[1], device)?.leaf(), tensor::<D>(&[5.0], &[1], device)?.leaf());
            let loss = x.mul(&x).and_then(|z| z.sum_all()).map_err(say)?;
            let (loss, grads) = loss.backward(&[&x, &y]).map_err(say)?;
            let again = loss.grad(&[&x]).map_err(say)?; // a constant: no record is asked again
            let numbers = [&loss, &grads[0], &grads[1], &again[0]].map(|x| x.item().map_err(say));
            if numbers == [4.0, 4.0, 0.0, 0.0].map(Ok) { Ok(()) } else { Err(format!("{numbers:?}")) }
        }),
        Case::new("the_gradient_of_many_values_is_an_error", |device| {
            let x = tensor::<D>(&[1.0, 2.0], &[2], device)?.leaf();
            let y = x.scale(2.0).map_err(say)?;
            if y.grad(&[&x]).is_err() && y.backward(&[&x]).is_err() { Ok(()) } else { Err("no error".into()) }
        }),
    ]
}

/// Cases as tests named `prefix/sentence`. Without a device they show as ignored, never as missing.
pub fn trials<T: Tensor>(prefix: &str, device: Option<T::Device>, cases: Vec<Case<T>>) -> Vec<Trial> {
    let trial = |case: Case<T>| {
        let (name, device) = (format!("{prefix}/{}", case.name), device.clone());
        let ignored = device.is_none();
        let run = move || match &device {
            Some(device) => (case.run)(device).map_err(Failed::from),
            None => Ok(()),
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    };
    cases.into_iter().map(trial).collect()
}
