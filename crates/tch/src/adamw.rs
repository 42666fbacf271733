//! A step of AdamW in one pass over memory.
//!
//! Each of libtorch's kernels reads and writes whole tensors, and a step is eight of them; PyTorch's fused kernel, which reads four tensors and
//! writes three, is not bound by `tch`. On the CPU the formula is therefore a loop of our own over libtorch's memory, in equal shares on
//! libtorch's number of threads. The means are written over where they lie if nobody else holds them: fresh memory costs a page fault
//! every 4 KiB. On a GPU it is kernels: `β·a + (1−β)·b` is `lerp`; the rate goes into the denominator, so that the step itself is one
//! `addcdiv`.

use crate::tensor::TchTensor;
use crate::{backend, ours};
use simseg_tensor::{AdamWStep, Result, Tensor, contract, hooks};
use std::mem::MaybeUninit;
use tch::{Kind, TchError};

/// Values from which on a second thread is worth its start.
const SHARE: usize = 1 << 17;

/// `[p, m, v]` after the step.
pub(crate) fn step(p: &TchTensor, g: &TchTensor, m: TchTensor, v: TchTensor, how: AdamWStep) -> Result<[TchTensor; 3]> {
    contract::adamw(p.shape(), [g.shape(), m.shape(), v.shape()])?;
    let (device, count) = (p.device(), p.shape().iter().product::<usize>());
    if count == 0 || device.is_cuda() && how.rate == 0.0 {
        return hooks::adamw(p, g, &m, &v, how); // nothing to divide, or nothing to divide by
    }
    let (m, v) = (m.into_own()?, v.into_own()?);
    let constant = |x: &TchTensor| x.wide().and_then(|x| ours(x.f_detach().and_then(|x| x.f_contiguous())));
    let (p_old, g) = (constant(p)?, constant(g)?);
    let p_new = ours(tch::Tensor::f_empty(m.size(), (device.kind(), device.place())))?;
    let all = Step { p_old, g, p_new, m, v };
    if device.is_cuda() {
        ours(all.by_kernels(&how))?;
    } else if device.kind() == Kind::Double {
        all.by_loop(count, |part: Part<'_, f64>| part.step_f64(&how))?;
    } else {
        all.by_loop(count, |part: Part<'_, f32>| part.step_f32(&how))?;
    }
    Ok([all.p_new, all.m, all.v].map(|x| TchTensor::sole(x, device)))
}

/// Contiguous tensors of one shape, in the type that values are stored in. Nobody else has a handle to the last three, nor do they
/// share memory.
struct Step {
    p_old: tch::Tensor,
    g: tch::Tensor,
    p_new: tch::Tensor,
    m: tch::Tensor,
    v: tch::Tensor,
}

/// The same places of all five tensors.
struct Part<'a, E> {
    p_old: &'a [E],
    g: &'a [E],
    p_new: &'a mut [MaybeUninit<E>],
    m: &'a mut [E],
    v: &'a mut [E],
}

impl Step {
    /// The formula: writes to `p_new`, `m` and `v`.
    fn by_kernels(&self, how: &AdamWStep) -> std::result::Result<(), TchError> {
        let AdamWStep { beta1, beta2, eps, keep, rate, root } = *how;
        let [mut p, mut m, mut v] = [&self.p_new, &self.m, &self.v].map(tch::Tensor::shallow_clone);
        let _ = m.f_lerp_(&self.g, 1.0 - beta1)?;
        let _ = v.f_lerp_(&self.g.f_square()?, 1.0 - beta2)?;
        let denominator = v.f_sqrt()?.f_mul_scalar_(-root / rate)?.f_add_scalar_(-eps / rate)?;
        let _ = self.p_old.f_mul_scalar_out(&p, keep)?;
        p.f_addcdiv_(&m, &denominator).map(drop)
    }

    /// `work` on equal shares of the `count` values, on libtorch's number of threads, this one among them.
    fn by_loop<E: tch::kind::Element + Send + Sync>(
        &self,
        count: usize,
        work: impl Fn(Part<'_, E>) + Sync,
    ) -> Result<()> {
        let tensors = [&self.p_old, &self.g, &self.p_new, &self.m, &self.v];
        if tensors.iter().any(|x| x.kind() != E::KIND || x.numel() != count || !x.is_contiguous()) {
            return Err(backend("AdamW: a tensor is not as it was made"));
        }
        let [p_old, g, p_new, m, v] = tensors.map(tch::Tensor::data_ptr);
        // SAFETY: each is the first of `count` values of `E` in a row in host memory (just checked), and `self` keeps them alive. Nobody
        // writes to `p_old` and `g` meanwhile: the crate writes to no tensor that has a second handle.
        let (p_old, g): (&[E], &[E]) =
            unsafe { (std::slice::from_raw_parts(p_old.cast(), count), std::slice::from_raw_parts(g.cast(), count)) };
        // SAFETY: as above, and no other slice or handle reaches these: `p_new` was made for this step, `m` and `v` come from `into_own`.
        // `p_new` has no values yet, so it is not read.
        let (p_new, m, v): (&mut [MaybeUninit<E>], &mut [E], &mut [E]) = unsafe {
            (
                std::slice::from_raw_parts_mut(p_new.cast(), count),
                std::slice::from_raw_parts_mut(m.cast(), count),
                std::slice::from_raw_parts_mut(v.cast(), count),
            )
        };
        let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).min(count / SHARE).max(1);
        let share = count.div_ceil(threads);
        let parts = p_old.chunks(share).zip(g.chunks(share)).zip(p_new.chunks_mut(share));
        let parts = parts.zip(m.chunks_mut(share).zip(v.chunks_mut(share)));
        let mut parts = parts.map(|(((p_old, g), p_new), (m, v))| Part { p_old, g, p_new, m, v });
        let own = parts.next();
        std::thread::scope(|scope| {
            let work = &work;
            parts.for_each(|part| drop(scope.spawn(move || work(part))));
            own.map(work)
        });
        Ok(())
    }
}

/// The formula in one type.
macro_rules! step_in {
    ($name:ident, $float:ty) => {
        impl Part<'_, $float> {
            fn $name(self, how: &AdamWStep) {
                let n = self.p_old.len();
                let [beta1, beta2, eps] = [how.beta1, how.beta2, how.eps].map(|x| x as $float);
                let [rest1, rest2] = [1.0 - how.beta1, 1.0 - how.beta2].map(|x| x as $float);
                let [keep, rate, root] = [how.keep, how.rate, how.root].map(|x| x as $float);
                // One length for all, which the compiler sees: then it takes several values at once.
                let (p_old, g, p_new) = (&self.p_old[..n], &self.g[..n], &mut self.p_new[..n]);
                let (m, v) = (&mut self.m[..n], &mut self.v[..n]);
                for i in 0..n {
                    m[i] = beta1 * m[i] + rest1 * g[i];
                    v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
                    p_new[i].write(keep * p_old[i] - rate * m[i] / (root * v[i].sqrt() + eps));
                }
            }
        }
    };
}
step_in!(step_f32, f32);
step_in!(step_f64, f64);
