//! One loop, compiled twice: for any x86-64, and for AVX2 + FMA, chosen at run time ([`crate::path`]).
//!
//! The shipped build keeps the default `target-cpu`. Loops in this crate are plain Rust that LLVM vectorises; wrapping a
//! function in `simd!` compiles its body a second time with wider registers allowed. No intrinsics, so both copies are
//! the same arithmetic in the same order.

/// Defines a generic function whose body is compiled for baseline and for AVX2 + FMA.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$A:ident: $bound:path>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name<$A: $bound>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$A: $bound>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide<$A: $bound>($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                if $crate::path::Path::current() >= $crate::path::Path::Avx2 {
                    // SAFETY: `wide` is safe code whose only demand is that the CPU has AVX2 and FMA: a path is only taken if it has.
                    // Every kernel test runs through here (`both_copies_agree` in this file compares the two).
                    return unsafe { wide($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use simd;

/// Runs a closure with AVX2 + FMA registers allowed, if the CPU has them: for loops that are themselves given a function.
#[inline]
pub(crate) fn wide<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn inner<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        if crate::path::Path::current() >= crate::path::Path::Avx2 {
            // SAFETY: `inner` only demands the features of the path just asked for; all elementwise tests run through it.
            return unsafe { inner(body) };
        }
    }
    body()
}

#[cfg(test)]
mod tests {
    use crate::Scalar;
    fn exp_body(x: &[f32], y: &mut [f32]) {
        x.iter().zip(y).for_each(|(x, y)| *y = Scalar::exp(*x));
    }
    simd! {
        fn exp_wide<A: Scalar>(x: &[A], y: &mut [A]) {
            x.iter().zip(y).for_each(|(x, y)| *y = Scalar::exp(*x));
        }
    }

    #[test]
    fn both_copies_agree() {
        let x: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) * 0.1).collect();
        let (mut a, mut b) = (vec![0.0; 1000], vec![0.0; 1000]);
        exp_body(&x, &mut a);
        exp_wide(&x, &mut b);
        assert_eq!(a, b);
    }
}
