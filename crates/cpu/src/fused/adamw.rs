//! A step of AdamW in one pass: four tensors are read once and three written.

use crate::scalar::Scalar;
use crate::simd::simd;
use crate::storage::Buffer;
use crate::tensor::CpuTensor;
use crate::walk::GRAIN;
use simseg_tensor::parallel::prelude::*;
use simseg_tensor::{AdamWStep, Result, Tensor, contract};

/// `[p, m, v]` after the step.
pub(crate) fn step<A: Scalar>(
    p: &CpuTensor<A>,
    g: &CpuTensor<A>,
    m: &CpuTensor<A>,
    v: &CpuTensor<A>,
    how: AdamWStep,
) -> Result<[CpuTensor<A>; 3]> {
    contract::adamw(p.shape(), [g.shape(), m.shape(), v.shape()])?;
    let inputs = [p, g, m, v].map(CpuTensor::contiguous);
    let [p_in, g, m_in, v_in] = inputs.each_ref().map(CpuTensor::values);
    let mut out = [0; 3].map(|_| Buffer::unwritten(p_in.len()));
    let [p_out, m_out, v_out] = &mut out;
    let outputs = p_out.par_chunks_mut(GRAIN).zip(m_out.par_chunks_mut(GRAIN)).zip(v_out.par_chunks_mut(GRAIN));
    outputs.enumerate().for_each(|(chunk, ((p_out, m_out), v_out))| {
        let here = chunk * GRAIN..chunk * GRAIN + p_out.len();
        let inputs = [&p_in[here.clone()], &g[here.clone()], &m_in[here.clone()], &v_in[here]];
        values(inputs, [p_out, m_out, v_out], &how);
    });
    Ok(out.map(|values| CpuTensor::owned(values, p.shape())))
}

simd! {
    /// The formula, value by value, in the order of its text.
    fn values<A: Scalar>(inputs: [&[A]; 4], outputs: [&mut [A]; 3], how: &AdamWStep) {
        let [beta1, rest1] = [how.beta1, 1.0 - how.beta1].map(A::lit);
        let [beta2, rest2] = [how.beta2, 1.0 - how.beta2].map(A::lit);
        let [eps, keep, rate, root] = [how.eps, how.keep, how.rate, how.root].map(A::lit);
        let ([p, g, m, v], [p_out, m_out, v_out]) = (inputs, outputs);
        let n = p_out.len();
        let (p, g, m, v) = (&p[..n], &g[..n], &m[..n], &v[..n]);
        let (m_out, v_out) = (&mut m_out[..n], &mut v_out[..n]);
        for i in 0..n {
            m_out[i] = m[i] * beta1 + g[i] * rest1;
            v_out[i] = v[i] * beta2 + g[i] * g[i] * rest2;
            p_out[i] = p[i] * keep - m_out[i] / (v_out[i].sqrt() * root + eps) * rate;
        }
    }
}
