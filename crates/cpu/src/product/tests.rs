//! Every kernel that this CPU can run, held to the bit to the sum it promises.

use super::*;
use ndarray::{Array2, Slice};

/// What a kernel has to give to the bit: one chain of fused multiply-adds per stretch of `k`.
fn chains<A: Fused>(alpha: A, a: &ArrayView2<A>, b: &ArrayView2<A>, bias: Option<&[A]>) -> Array2<A> {
    let (m, (k, n)) = (a.nrows(), b.dim());
    let mut c = Array2::from_shape_fn((m, n), |(_, j)| bias.map_or(A::lit(0.0), |bias| bias[j]));
    let rows: Vec<Vec<A>> = b.rows().into_iter().map(|row| row.to_vec()).collect();
    // With AVX2 and FMA where there are kernels at all: a fused multiply-add in software takes a hundred times as long.
    crate::simd::wide(
        #[inline(always)]
        || {
            for (a, mut c) in a.rows().into_iter().zip(c.rows_mut()) {
                for from in (0..k).step_by(chain(k)) {
                    let mut sums = vec![A::lit(0.0); n];
                    for p in from..k.min(from + chain(k)) {
                        let x = a[p];
                        sums.iter_mut().zip(&rows[p]).for_each(|(sum, &y)| *sum = x.fused(y, *sum));
                    }
                    c.iter_mut().zip(sums).for_each(|(c, sum)| *c = alpha.fused(sum, *c));
                }
            }
        },
    );
    c
}

/// `self·x + y`, rounded once.
trait Fused: Scalar {
    fn fused(self, x: Self, y: Self) -> Self;
    fn negative_zero(self) -> bool;
}
impl Fused for f32 {
    #[inline(always)]
    fn fused(self, x: Self, y: Self) -> Self {
        self.mul_add(x, y)
    }
    fn negative_zero(self) -> bool {
        self.to_bits() == (-0.0f32).to_bits()
    }
}
impl Fused for f64 {
    #[inline(always)]
    fn fused(self, x: Self, y: Self) -> Self {
        self.mul_add(x, y)
    }
    fn negative_zero(self) -> bool {
        self.to_bits() == (-0.0f64).to_bits()
    }
}

/// A matrix in one of four layouts: row-major, transposed, every second column, upside down.
fn laid_out<A: Scalar>(shape: (usize, usize), layout: usize, seed: u32) -> (Array2<A>, usize) {
    let (rows, cols) = shape;
    let mut x = seed;
    let mut draw = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        A::lit(f64::from(x >> 8) / f64::from(1 << 23) - 1.0)
    };
    match layout {
        1 => (Array2::from_shape_simple_fn((cols, rows), &mut draw), 1),
        2 => (Array2::from_shape_simple_fn((rows, 2 * cols), &mut draw), 2),
        other => (Array2::from_shape_simple_fn((rows, cols), &mut draw), other),
    }
}

fn view<A>(x: &(Array2<A>, usize)) -> ArrayView2<'_, A> {
    match x.1 {
        1 => x.0.t(),
        2 => x.0.slice_axis(Axis(1), Slice::new(0, None, 2)),
        3 => x.0.slice_axis(Axis(0), Slice::new(0, None, -1)),
        _ => x.0.view(),
    }
}

/// One shape in the layouts that `seed` draws.
fn one<A: Fused>(kernel: &'static Kernel<A>, [m, k, n]: [usize; 3], seed: usize) {
    let (a, b) = (laid_out((m, k), seed % 4, seed as u32), laid_out((k, n), seed / 4 % 4, !seed as u32));
    let (a, b) = (view(&a), view(&b));
    let bias: Vec<A> = (0..n).map(|j| A::lit(j as f64 * 0.25 - 3.0)).collect();
    let bias = (!seed.is_multiple_of(3)).then_some(&bias[..]);
    let alpha = if seed.is_multiple_of(2) || bias.is_some() { A::lit(1.0) } else { A::lit(0.3) };
    // In the middle of a larger matrix, none of whose other values may be touched: adding even 0 makes -0 into 0.
    let mut frame = Array2::from_elem((m + 2, n + 5), A::lit(-0.0));
    let mut c = frame.slice_mut(s![1..=m, 2..n + 2]);
    let case = format!("{:?} {}: [{m}, {k}] × [{k}, {n}], case {seed}", kernel.path, A::NAME);
    if bias.is_some() && seed.is_multiple_of(5) {
        Prepared::new(kernel, &b).product(&a, bias, c.view_mut());
    } else if bias.is_some() {
        product(kernel, &a, b, bias, c.view_mut());
    } else {
        multiply(kernel, alpha, &a, &b, &mut c);
    }
    assert_eq!(c, chains(alpha, &a, &b, bias), "{case}");
    let untouched = frame.iter().filter(|x| x.negative_zero()).count();
    assert_eq!(untouched, frame.len() - m * n, "{case}");
}

fn every_shape<A: Fused>() {
    for kernel in kernels::<A>() {
        let mut seed = 0;
        for k in [1, 2, 31, panel::DEPTH, panel::DEPTH + 1, 2 * panel::DEPTH + 5] {
            for n in [1, 3, 8, 9, 16, 17, 31, 32, 33, 48, 65, 129, 161] {
                for m in [1, 2, 5, 6, 7, 14, 15, 29] {
                    seed += 1;
                    one(kernel, [m, k, n], seed);
                }
            }
        }
        // Several blocks, one way and both.
        for (i, shape) in [[300, 64, 40], [230, 400, 450], [20, 390, 1300], [113, 1200, 33]].into_iter().enumerate() {
            (0..8).for_each(|seed| one(kernel, shape, 16 * i + seed));
        }
        // The last block has fewer tiles than the others, and all are copied before.
        [1, 5].into_iter().for_each(|seed| one(kernel, [1570, 400, 450], seed));
    }
}

#[test]
fn every_shape_and_layout() {
    every_shape::<f32>();
}

#[test]
fn every_shape_and_layout_in_f64() {
    every_shape::<f64>();
}

#[test]
fn the_bits_depend_neither_on_the_number_of_threads_nor_on_being_prepared() {
    let (a, b) = (laid_out::<f32>((150, 500), 0, 1), laid_out((500, 700), 1, 2));
    for kernel in kernels::<f32>() {
        let prepared = Prepared::new(kernel, &view(&b));
        let with = |threads, ready: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = Array2::zeros((150, 700));
            pool.install(|| match ready {
                true => prepared.product(&view(&a), None, c.view_mut()),
                false => product(kernel, &view(&a), view(&b), None, c.view_mut()),
            });
            c
        };
        let one = with(1, false);
        let same = |(threads, ready)| with(threads, ready) == one;
        assert!([(1, true), (2, false), (2, true), (5, false), (5, true)].into_iter().all(same), "{:?}", kernel.path);
        assert!(prepared.is_of([500, 700], [1, 500]) && !prepared.is_of([700, 500], [500, 1]));
    }
}

#[test]
fn an_empty_sum_is_its_bias() {
    for kernel in kernels::<f32>() {
        let mut c = Array2::from_elem((2, 3), 7.0);
        product(
            kernel,
            &Array2::zeros((2, 0)).view(),
            Array2::zeros((0, 3)).view(),
            Some(&[1.0, 2.0, 3.0]),
            c.view_mut(),
        );
        assert_eq!(c, ndarray::arr2(&[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]));
    }
}

/// The products of values that were rounded as a type's instructions round them, in f64, and the largest difference that order and f32's
/// rounding of the sums can make.
#[test]
fn both_operands_in_fewer_bits_are_the_product_of_what_was_rounded() {
    use simseg_tensor::narrow::{Narrow, WeightType, from_bf16, to_bf16};
    for (kind, bits) in [(WeightType::Bf16, "vdpbf16ps"), (WeightType::Int8, "vpdpbusd")] {
        let Some(dot) = <f32 as Scalar>::dot(kind) else {
            eprintln!("skipped: this CPU has no {bits}, or SIMSEG_CPU forbids it");
            continue;
        };
        let mut seed = 0;
        for k in [1, 2, 3, 4, 31, 64, 770, 1601] {
            for (m, n) in [(1, 1), (2, 33), (14, 32), (15, 161), (300, 40), (600, 90)] {
                seed += 1;
                let (a, w) = (laid_out::<f32>((m, k), seed % 4, seed as u32), laid_out((n, k), 0, !seed as u32));
                let (a, weight) = (view(&a), Narrow::round(kind, w.0.as_slice().unwrap(), k));
                let bias: Vec<f32> = (0..n).map(|j| j as f32 * 0.25 - 3.0).collect();
                let bias = (!seed.is_multiple_of(3)).then_some(&bias[..]);
                let mut c = Array2::from_elem((m, n), 7.0f32);
                let dots = dots::Dots::new(dot, &weight, [k, n]);
                dots.product(&a, bias, c.view_mut());
                let wide = Array2::from_shape_vec((n, k), weight.widened()).unwrap().mapv(f64::from);
                let rounded = match kind {
                    WeightType::Int8 => {
                        let mut a = a.to_owned();
                        for mut row in a.rows_mut() {
                            let scale = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
                            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                            row.mapv_inplace(|x| (x * inverse).round_ties_even() * scale);
                        }
                        a.mapv(f64::from)
                    }
                    _ => a.mapv(|x| f64::from(from_bf16(to_bf16(x)))),
                };
                let exact = rounded.dot(&wide.t());
                let sizes = rounded.mapv(f64::abs).dot(&wide.t().mapv(f64::abs));
                for ((i, j), &c) in c.indexed_iter() {
                    let start = bias.map_or(0.0, |bias| f64::from(bias[j]));
                    // Each of k sums is off by 2⁻²⁴ at most; int8's shift is as large as 127 rows of ones.
                    let slack = if kind == WeightType::Int8 { 4.0 } else { 1.0 };
                    let most =
                        slack * (k as f64).sqrt().max(4.0) * 2f64.powi(-23) * (sizes[[i, j]] + start.abs() + 1e-3);
                    let most = if kind == WeightType::Int8 { most + 1e-6 * k as f64 } else { most };
                    let off = (f64::from(c) - exact[[i, j]] - start).abs();
                    assert!(off <= most, "{kind} [{m}, {k}] × [{k}, {n}] at {i}, {j}: {c}, off by {off:e} of {most:e}");
                }
                for threads in [1, 5] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut again = Array2::zeros((m, n));
                    pool.install(|| dots.product(&a, bias, again.view_mut()));
                    assert_eq!(again, c, "{kind} [{m}, {k}] × [{k}, {n}] with {threads} threads");
                }
            }
        }
        // What is no number stays none, in its own row only.
        let weight = Narrow::round(kind, &[1.0; 40], 20);
        for bad in [f32::NAN, f32::INFINITY] {
            let a = Array2::from_shape_fn((3, 20), |(i, p)| if (i, p) == (1, 7) { bad } else { 0.5 });
            let mut c = Array2::zeros((3, 2));
            dots::Dots::new(dot, &weight, [20, 2]).product(&a.view(), None, c.view_mut());
            assert!(c.row(1).iter().all(|x| !x.is_finite()) && c.row(0) == c.row(2) && (c[[0, 0]] - 10.0).abs() < 0.1);
        }
    }
}
