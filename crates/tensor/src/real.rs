//! Functions that `core` doesn't have, by libm: what `f64` has of its own where there is `std`.

/// Called as the methods of `std` are.
pub(crate) trait Real {
    fn sqrt(self) -> Self;
    fn ln(self) -> Self;
    fn cos(self) -> Self;
}

impl Real for f64 {
    fn sqrt(self) -> Self {
        libm::sqrt(self)
    }
    fn ln(self) -> Self {
        libm::log(self)
    }
    fn cos(self) -> Self {
        libm::cos(self)
    }
}
