//! Every case on every backend. A name says the backend, the precision, and the sentence that is proved:
//!
//! ```text
//! cpu-f32/softmax_rows_sum_to_one               kernels of simseg-cpu (and cpu-f64/…)
//! autodiff-cpu/f64/gradient_of_softmax_…        the derivative table over them
//! tch-cpu/f32/…  tch-cpu/bf16/…                 kernels of libtorch, and gradients by its own engine
//! autodiff-tch/f64/…                            the derivative table over libtorch's kernels
//! tch-cuda/f32/…                                the same on a GPU
//! ```
//!
//! `cargo test --test conformance tch-cpu/` runs one backend. What is absent, in the build or in the machine, shows as ignored.

use libtest_mimic::{Arguments, Trial, run};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::Autodiff;
use simseg_testkit::tolerance::{DIFFERENCES, F32, F64};
use simseg_testkit::{NaiveTensor, gradient_cases, trials, value_cases};

fn main() {
    let cpu = Some(CpuDevice);
    let mut all = trials::<NaiveTensor>("naive", Some(()), value_cases(F64));
    all.extend(trials::<Autodiff<NaiveTensor>>("autodiff-naive", Some(()), gradient_cases(DIFFERENCES, true)));
    all.extend(trials::<CpuTensor<f32>>("cpu-f32", cpu, value_cases(F32)));
    all.extend(trials::<CpuTensor<f64>>("cpu-f64", cpu, value_cases(F64)));
    all.extend(trials::<Autodiff<CpuTensor<f64>>>("autodiff-cpu/f64", cpu, gradient_cases(DIFFERENCES, true)));
    all.extend(trials::<Autodiff<CpuTensor<f32>>>("autodiff-cpu/f32", cpu, gradient_cases(F32, false)));
    // The GPU is asked for before anything else is asked of libtorch; so this comes before any trial runs.
    all.extend(libtorch());
    run(&Arguments::from_args(), all).exit();
}

/// One line for each backend that this build is without.
#[cfg(not(feature = "tch"))]
fn libtorch() -> Vec<Trial> {
    let absent =
        |name| Trial::test(format!("{name}/this_build_is_without_libtorch"), || Ok(())).with_ignored_flag(true);
    ["tch-cpu", "autodiff-tch", "tch-cuda", "autodiff-tch-cuda"].map(absent).into()
}

#[cfg(feature = "tch")]
fn libtorch() -> Vec<Trial> {
    use libtest_mimic::Failed;
    use simseg_tch::{Precision, TchDevice, TchTensor, device};
    use simseg_testkit::tolerance::BF16;

    let cuda = device("cuda:0");
    if let Err(error) = &cuda {
        println!("no cuda:0 here, its tests are ignored: {error}");
    }
    let cuda = cuda.ok();
    let mut all = vec![];
    let places = [("tch-cpu", "autodiff-tch", Some(TchDevice::CPU)), ("tch-cuda", "autodiff-tch-cuda", cuda)];
    for (kernels, table, place) in places {
        let of = |precision| place.map(|device| device.with_precision(precision));
        let [single, double, bf16] = [Precision::F32, Precision::F64, Precision::Bf16].map(of);
        let (f32, f64, short) = (format!("{kernels}/f32"), format!("{kernels}/f64"), format!("{kernels}/bf16"));
        all.extend(trials::<TchTensor>(&f32, single, value_cases(F32)));
        all.extend(trials::<TchTensor>(&f32, single, gradient_cases(F32, false)));
        all.extend(trials::<TchTensor>(&f64, double, value_cases(F64)));
        all.extend(trials::<TchTensor>(&f64, double, gradient_cases(DIFFERENCES, true)));
        all.extend(trials::<TchTensor>(&short, bf16, value_cases(BF16)));
        all.extend(trials::<TchTensor>(&short, bf16, gradient_cases(BF16, false)));
        let (f32, f64) = (format!("{table}/f32"), format!("{table}/f64"));
        all.extend(trials::<Autodiff<TchTensor>>(&f32, single, gradient_cases(F32, false)));
        all.extend(trials::<Autodiff<TchTensor>>(&f64, double, gradient_cases(DIFFERENCES, true)));
    }
    let tf32 = move || match cuda.map(TchDevice::tf32) {
        Some(Ok(true)) => Err(Failed::from("products of f32 are rounded to TF32")),
        Some(Err(error)) => Err(Failed::from(error.to_string())),
        Some(Ok(false)) | None => Ok(()),
    };
    all.push(Trial::test("tch-cuda/f32/tf32_is_off", tf32).with_ignored_flag(cuda.is_none()));
    all
}
