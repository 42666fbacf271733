//! `y = x·Wᵀ + b`: the bias is where the sums start, so the result is touched once. Weights of a file are prepared at the second use.

use crate::contraction::{columns, product, view2};
use crate::product;
use crate::scalar::Scalar;
use crate::tensor::CpuTensor;
use ndarray::{ArrayView2, ArrayViewMut2};
use simseg_tensor::{Result, Tensor, contract};

/// `x` as a matrix `[rows, i]`.
fn matrix<A: Scalar>(x: &CpuTensor<A>, i: usize) -> Result<CpuTensor<A>> {
    x.reshape(&[x.numel() / i.max(1), i])
}

pub(crate) fn forward<A: Scalar>(
    x: &CpuTensor<A>,
    weight: &CpuTensor<A>,
    bias: Option<&CpuTensor<A>>,
) -> Result<CpuTensor<A>> {
    let [o, i] = contract::linear(x.shape(), weight.shape(), bias.map(Tensor::shape))?;
    let rows = matrix(x, i)?;
    if rows.numel() == 0 || o == 0 {
        return simseg_tensor::hooks::linear(x, weight, bias);
    }
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("checked by width") = o;
    let bias = bias.map(CpuTensor::contiguous);
    let n = rows.shape()[0];
    Ok(CpuTensor::build(&shape, |out| {
        let c = ArrayViewMut2::from_shape((n, o), out).expect("n·o values");
        let bias = bias.as_ref().map(|bias| &bias.values()[..o]);
        match product::kernel().and_then(|kernel| weight.prepared(kernel)) {
            Some(weight) => weight.product(&view2(&rows), bias, c),
            None => product(view2(&rows), view2(weight).reversed_axes(), bias, c),
        }
    }))
}

/// For `(x, weight, bias)`.
type Gradients<A> = (Option<CpuTensor<A>>, CpuTensor<A>, CpuTensor<A>);

pub(crate) fn backward<A: Scalar>(
    x: &CpuTensor<A>,
    weight: &CpuTensor<A>,
    grad: &CpuTensor<A>,
    wants_input: bool,
) -> Result<Gradients<A>> {
    let [o, i] = contract::linear_grad(x.shape(), weight.shape(), grad.shape())?;
    if x.numel() == 0 || o == 0 {
        return simseg_tensor::hooks::linear_grad(x, weight, grad, wants_input);
    }
    let (rows, g) = (matrix(x, i)?, matrix(grad, o)?);
    let (rows, g) = (rows.contiguous(), g.contiguous());
    let n = rows.shape()[0];
    let g_view = ArrayView2::from_shape((n, o), g.values()).expect("n·o values");
    let dx = wants_input.then(|| {
        CpuTensor::build(x.shape(), |out| {
            let c = ArrayViewMut2::from_shape((n, i), out).expect("n·i values");
            product(g_view, view2(weight), None, c);
        })
    });
    let dw = CpuTensor::build(&[o, i], |out| {
        let c = ArrayViewMut2::from_shape((o, i), out).expect("o·i values");
        product(g_view.reversed_axes(), view2(&rows), None, c);
    });
    let db = CpuTensor::build(&[o], |out| columns(g.values(), o, out));
    Ok((dx, dw, db))
}

#[cfg(test)]
mod tests {
    use crate::{CpuDevice, CpuTensor};
    use simseg_tensor::{Narrow, Ops, Shared, Tensor, WeightType};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Values that count how often they are released.
    struct File(Vec<f32>, AtomicUsize);
    impl AsRef<[f32]> for File {
        fn as_ref(&self) -> &[f32] {
            &self.0
        }
    }
    impl Shared for File {
        fn in_file(&self) -> bool {
            true
        }
        fn release(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn weights_of_a_file_are_prepared_once_and_give_the_same_bits() {
        let draw = |count: usize, step: usize| (0..count).map(|i| (i * step % 97) as f32 / 97.0 - 0.5).collect();
        let values: Vec<f32> = draw(300 * 200, 31);
        let file = Arc::new(File(values.clone(), AtomicUsize::new(0)));
        let shared = CpuTensor::<f32>::from_shared(file.clone(), &[300, 4, 50], &CpuDevice).unwrap();
        let own = CpuTensor::<f32>::from_host(&values, &[300, 200], &CpuDevice).unwrap();
        let bits =
            |x: &CpuTensor<f32>, weight: &CpuTensor<f32>| x.linear(weight, None).unwrap().to_vec::<f32>().unwrap();
        let flat = shared.reshape(&[300, 200]).unwrap();
        for rows in [1, 9, 130] {
            let x = CpuTensor::<f32>::from_host::<f32>(&draw(rows * 200, 17), &[rows, 200], &CpuDevice).unwrap();
            assert_eq!(bits(&x, &flat), bits(&x, &own), "{rows} rows");
            assert!(rows > 1 || file.1.load(Ordering::Relaxed) == 0, "one product does not pay for a copy");
        }
        let prepared = usize::from(crate::product::kernel::<f32>().is_some());
        assert_eq!(file.1.load(Ordering::Relaxed), prepared, "released once, when it was prepared");
        // Another matrix of the same values, and a part of them: neither is what was prepared.
        let x = CpuTensor::<f32>::from_host::<f32>(&draw(9 * 300, 17), &[9, 300], &CpuDevice).unwrap();
        assert_eq!(bits(&x, &flat.t().unwrap()), bits(&x, &own.t().unwrap()));
        let x = x.slice(1, 0, 200).unwrap();
        assert_eq!(bits(&x, &flat.slice(0, 7, 50).unwrap()), bits(&x, &own.slice(0, 7, 50).unwrap()));
        assert_eq!(flat.to_vec::<f32>().unwrap(), values);
    }

    /// Values in fewer bits that nobody may ask for as a whole.
    struct Fewer(Narrow);
    impl AsRef<[f32]> for Fewer {
        fn as_ref(&self) -> &[f32] {
            panic!("all of it was widened at once")
        }
    }
    impl Shared for Fewer {
        fn count(&self) -> usize {
            self.0.count()
        }
        fn narrow(&self) -> Option<Narrow> {
            Some(self.0.clone())
        }
    }

    #[test]
    fn products_and_rows_of_weights_in_fewer_bits_are_those_of_the_widened_ones_to_the_bit() {
        let Some(_) = crate::product::kernel::<f32>() else { return }; // matrixmultiply wants f32 as a whole
        let draw =
            |count: usize, step: usize| (0..count).map(|i| (i * step % 97) as f32 / 97.0 - 0.5).collect::<Vec<f32>>();
        for kind in WeightType::ALL {
            // One panel and less, several chains, several groups of panels.
            for [o, i] in [[1, 1], [5, 40], [33, 385], [300, 200], [700, 1000]] {
                // Rows of different size, so that each has a scale of its own.
                let weights: Vec<f32> =
                    draw(o * i, 31).iter().enumerate().map(|(at, x)| x * (1 + at / i) as f32 / o as f32).collect();
                let narrow = Narrow::round(kind, &weights, i);
                let wide = CpuTensor::<f32>::from_host(&narrow.widened(), &[o, i], &CpuDevice).unwrap();
                let fewer = CpuTensor::<f32>::from_shared(Arc::new(Fewer(narrow)), &[o, i], &CpuDevice).unwrap();
                let bias = CpuTensor::<f32>::from_host::<f32>(&draw(o, 7), &[o], &CpuDevice).unwrap();
                for rows in [1, 9, 130, 600] {
                    let x = CpuTensor::<f32>::from_host::<f32>(&draw(rows * i, 17), &[rows, i], &CpuDevice).unwrap();
                    let bits = |weight: &CpuTensor<f32>, threads| {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        pool.install(|| x.linear(weight, Some(&bias)).unwrap().to_vec::<f32>().unwrap())
                    };
                    let expected = bits(&wide, 1);
                    for threads in [1, 2, 5] {
                        let same = bits(&fewer, threads) == expected;
                        assert!(same, "{kind} [{rows}, {i}] × [{i}, {o}] with {threads} threads");
                    }
                }
                let index = CpuTensor::<f32>::index_from_host(&[o - 1, 0, o / 2], &[3], &CpuDevice).unwrap();
                let rows = |table: &CpuTensor<f32>| table.rows(&index).unwrap().to_vec::<f32>().unwrap();
                assert_eq!(rows(&fewer), rows(&wide), "{kind} rows of [{o}, {i}]");
            }
        }
    }
}
