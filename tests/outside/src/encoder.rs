//! An image encoder of one product: every patch by itself, their mean in the place of the \[CLS\] token.

use serde::{Deserialize, Serialize};
use simseg_model::encoder::ImageEncoder;
use simseg_model::vit::patchify;
use simseg_model::{Encoder, EncoderConfig, ImageEncoderConfig, ImageFacts, Parameters, Tokens};
use simseg_registry::Kinds;
use simseg_tensor::{Init, Ops, Parameter, Result, Tap, Tensor};

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchesOnly {
    image_size: usize,
    patch: usize,
    width: usize,
}

struct Product<T> {
    config: PatchesOnly,
    kernel: T,
}

impl EncoderConfig for PatchesOnly {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn parameters(&self, prefix: &str) -> Vec<(String, Parameter)> {
        let shape = [self.width, 3 * self.patch * self.patch];
        vec![(format!("{prefix}.kernel"), Parameter::new(&shape, Init::Xavier))]
    }
    fn width(&self) -> usize {
        self.width
    }
}

impl ImageFacts for PatchesOnly {
    fn image_size(&self) -> usize {
        self.image_size
    }
    fn patch(&self) -> usize {
        self.patch
    }
}

impl<T: Tensor> ImageEncoderConfig<T> for PatchesOnly {
    fn build(&self, prefix: &str, parameters: &Parameters<T>) -> Result<ImageEncoder<T>> {
        Ok(Box::new(Product { config: *self, kernel: parameters.get(&format!("{prefix}.kernel"))?.clone() }))
    }
}

impl<T: Tensor> Encoder<T> for Product<T> {
    type Input = T;

    fn encode(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let patches = patchify(pixels, self.config.patch)?.linear(&self.kernel, None)?.tanh()?; // [b, n, d]
        let values = T::concat(&[&patches.mean(1)?, &patches], 1)?; //                             [b, 1+n, d]
        tap.see("image/tokens", &values)?;
        Ok(Tokens { values, lengths: None })
    }

    fn width(&self) -> usize {
        self.config.width
    }
}

pub fn register<T: Tensor>(kinds: &mut Kinds<dyn ImageEncoderConfig<T>>) {
    kinds.add("patches-only", "one product per patch", |config: PatchesOnly| Ok(Box::new(config)));
}
