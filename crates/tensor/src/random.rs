//! Random numbers that depend on *what* they are for, never on *when* they are drawn.
//!
//! Every draw comes from a ChaCha8 stream named by `(seed, purpose, index)`: the key holds the seed and a hash of the
//! purpose, the stream number is the index. Scene 17 looks the same whether it is drawn first, last or on another
//! thread; step 400 of a resumed run picks the samples it would have picked anyway.

#[cfg(not(feature = "std"))]
use crate::real::Real as _;
use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng;

/// The generator for `(seed, purpose, index)`.
///
/// ```
/// use rand::Rng;
/// let mut a = simseg_tensor::random::stream(0, "scene", 3);
/// let mut b = simseg_tensor::random::stream(0, "scene", 3);
/// let mut c = simseg_tensor::random::stream(0, "order", 3);
/// let (a, b, c) = (a.next_u64(), b.next_u64(), c.next_u64());
/// assert_eq!(a, b);
/// assert_ne!(a, c);
/// ```
pub fn stream(seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(purpose.as_bytes()).to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}

/// A standard normal value from two uniform ones (Box & Muller 1958).
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt(); // 1 − u is in (0, 1]: no ln(0)
    radius * (core::f64::consts::TAU * uniform(rng)).cos()
}

/// A value in `[0, 1)` with 53 random bits.
pub fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    use rand::Rng;
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// 64-bit FNV-1a: short, published, and the same on every platform and compiler version (unlike `std`'s hasher).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
