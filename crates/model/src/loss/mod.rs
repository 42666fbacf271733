//! Losses: how the similarities of a batch of pairs become one number.
//!
//! Two answers, each in its own file with its settings: [`info_nce`] lets every image choose among the captions of its batch (and
//! every caption among the images), [`siglip`] asks of every image and caption by themselves whether they belong together.

simseg_registry::family! {
    /// Registers every loss.
    pub fn register<T: Tensor>(losses: &mut Kinds<dyn LossConfig<T>>);
    info_nce, siglip,
}

pub use info_nce::InfoNce;
pub use siglip::SigLip;

use crate::parameters::Parameters;
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Parameter, Result, Tensor};

/// A loss: how the similarities of a batch become one number.
pub trait Loss<T: Tensor>: Send + Sync {
    /// `similarity [b, b]` (image `i` against caption `j`), `temperature []` of the network → scalar.
    ///
    /// # Errors
    /// If `similarity` is not square.
    fn loss(&self, similarity: &T, temperature: &T) -> Result<T>;

    /// What some of the pairs add to the loss of a batch that is spread over several processes, a scalar: the shares of all pairs sum to
    /// [`Self::loss`]. `images [p, b]`: some images against all captions, `captions [p, b]`: their captions against all images, of which
    /// pair `k` is pair `first + k` of the batch.
    ///
    /// # Errors
    /// If shapes do not fit, or the loss can't be split so, as it is unless a loss says how.
    fn share(&self, images: &T, captions: &T, first: usize, temperature: &T) -> Result<T> {
        let _ = (images, captions, first, temperature);
        Err(Error::setting("loss", "one that can be computed by several processes, such as `info-nce` or `siglip`"))
    }

    /// What similarities are divided by, `[]`, given the temperature of the network: that, unless the loss has its own.
    ///
    /// # Errors
    /// If the backend fails.
    fn divisor(&self, temperature: &T) -> Result<T> {
        Ok(temperature.clone())
    }
}

/// A loss before it has weights. One without parameters and without checks implements [`Self::build`] alone.
pub trait LossConfig<T: Tensor>: Send + Sync {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// The key that does not.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Learned parameters. They are optimised with the model, as `loss.NAME`, and are of no use once it is trained.
    fn parameters(&self) -> Vec<(String, Parameter)> {
        vec![]
    }

    /// The loss, given all parameters: its own are called `loss.NAME`.
    ///
    /// # Errors
    /// If a parameter is missing.
    fn build(&self, parameters: &Parameters<T>) -> Result<Box<dyn Loss<T>>>;
}

/// How many pairs there are: the side of `similarity [b, b]`.
///
/// # Errors
/// If it is not square, or empty.
fn pairs<T: Tensor>(op: &'static str, similarity: &T) -> Result<usize> {
    match similarity.dims()? {
        [b, captions] if b == captions && b > 0 => Ok(b),
        [b, captions] => {
            let rule = "one caption per image, and at least one";
            Err(Error::Shape { op, lhs: vec![b, captions], rhs: vec![], rule })
        }
    }
}
