//! Every case of the testkit on libtorch: `tch-…` by its kernels, `autodiff-tch-…` by our derivative table over them,
//! `native-tch-…` by its own autograd. Without CUDA the `…-cuda` tests show as ignored.

use libtest_mimic::{Arguments, Failed, Trial, run};
use simseg_tch::{Precision, TchDevice, TchTensor, device};
use simseg_tensor::Autodiff;
use simseg_testkit::tolerance::{DIFFERENCES, F32, F64, Tolerance};
use simseg_testkit::{gradient_cases, trials, value_cases};

/// Products in bfloat16: 8 bits of mantissa in each operand.
const BF16: Tolerance =
    Tolerance { name: "bf16", reason: "8-bit mantissa in operands and results of products", limit: 2e-2 };

fn main() {
    // The GPU first: libtorch looks for it once.
    let cuda = device("cuda:0");
    if let Err(error) = &cuda {
        println!("no cuda:0 here, its tests are ignored: {error}");
    }
    let cuda = cuda.ok();
    let cpu = Some(TchDevice::CPU);
    let double = |device: Option<TchDevice>| device.map(|device| device.with_precision(Precision::F64));
    let bf16 = |device: Option<TchDevice>| device.map(|device| device.with_precision(Precision::Bf16));

    let mut all = trials::<TchTensor>("tch-cpu-f32", cpu, value_cases(F32));
    all.extend(trials::<TchTensor>("tch-cpu-f64", double(cpu), value_cases(F64)));
    all.extend(trials::<TchTensor>("tch-cpu-bf16", bf16(cpu), value_cases(BF16)));
    all.extend(trials::<Autodiff<TchTensor>>("autodiff-tch-cpu-f64", double(cpu), gradient_cases(DIFFERENCES, true)));
    all.extend(trials::<Autodiff<TchTensor>>("autodiff-tch-cpu-f32", cpu, gradient_cases(F32, false)));
    all.extend(trials::<TchTensor>("native-tch-cpu-f64", double(cpu), gradient_cases(DIFFERENCES, true)));
    all.extend(trials::<TchTensor>("native-tch-cpu-f32", cpu, gradient_cases(F32, false)));
    all.extend(trials::<TchTensor>("native-tch-cpu-bf16", bf16(cpu), gradient_cases(BF16, false)));

    all.extend(trials::<TchTensor>("tch-cuda-f32", cuda, value_cases(F32)));
    all.extend(trials::<TchTensor>("tch-cuda-f64", double(cuda), value_cases(F64)));
    all.extend(trials::<TchTensor>("tch-cuda-bf16", bf16(cuda), value_cases(BF16)));
    all.extend(trials::<Autodiff<TchTensor>>("autodiff-tch-cuda-f64", double(cuda), gradient_cases(DIFFERENCES, true)));
    all.extend(trials::<TchTensor>("native-tch-cuda-f64", double(cuda), gradient_cases(DIFFERENCES, true)));
    all.extend(trials::<TchTensor>("native-tch-cuda-f32", cuda, gradient_cases(F32, false)));
    all.extend(trials::<TchTensor>("native-tch-cuda-bf16", bf16(cuda), gradient_cases(BF16, false)));
    let tf32 = move || match cuda.map(TchDevice::tf32) {
        Some(Ok(true)) => Err(Failed::from("products of f32 are rounded to TF32")),
        Some(Err(error)) => Err(Failed::from(error.to_string())),
        Some(Ok(false)) | None => Ok(()),
    };
    all.push(Trial::test("tch-cuda-f32/tf32_is_off", tf32).with_ignored_flag(cuda.is_none()));
    run(&Arguments::from_args(), all).exit();
}
