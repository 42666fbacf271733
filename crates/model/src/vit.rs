//! The image encoder: a vision transformer (Dosovitskiy et al. 2021) in timm's layout.
//!
//! `x₀ = [cls; patches·Wᵀ + b] + pos`, then per block (pre-norm)
//! `x ← x + attn(norm₁(x))`, `x ← x + fc₂(gelu(fc₁(norm₂(x))))`, and a last norm.
//! - pixels `[b, 3, h, w]`   - patches `[b, n, 3·p·p]`, `n = (h/p)·(w/p)`   - tokens `[b, 1+n, d]`
//!
//! The stride-`p` convolution of the checkpoint is a product with its kernel laid flat: patches do not overlap.
//! LayerNorm ε is 1e-6, GELU is exact, q, k and v are one projection with bias (timm).

use crate::encoder::{Encoder, EncoderConfig, ImageEncoder, ImageEncoderConfig, ImageFacts};
use crate::last_layer::LastLayer;
use crate::layers::{LayerNorm, Linear, Visit, list, map_list};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_tensor::{Attention, Error, Init, Ops, Parameter, Result, Tap, Tensor, hooks};

/// The architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Side of the square training images, in pixels: sets the position grid.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Channels per token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; divides the width (released models: width / 64).
    pub heads: usize,
}

impl EncoderConfig for VitConfig {
    fn check(&self) -> Result<()> {
        let Self { image_size, patch, width, depth, heads } = *self;
        if patch == 0 || image_size == 0 || image_size % patch != 0 {
            let expected = format!("a positive multiple of the patch ({patch}), found {image_size}");
            return Err(Error::setting("model.image.image_size", expected));
        }
        if heads == 0 || width == 0 || width % heads != 0 {
            return Err(Error::setting(
                "model.image.heads",
                format!("a divisor of the width ({width}), found {heads}"),
            ));
        }
        if depth == 0 {
            return Err(Error::setting("model.image.depth", "at least 1"));
        }
        Ok(())
    }

    fn parameters(&self, prefix: &str) -> Vec<(String, Parameter)> {
        list(|f| Vit::layout(*self).map(prefix, f))
    }

    fn width(&self) -> usize {
        self.width
    }
}

impl ImageFacts for VitConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }
    fn patch(&self) -> usize {
        self.patch
    }
}

impl<T: Tensor> ImageEncoderConfig<T> for VitConfig {
    fn build(&self, prefix: &str, parameters: &Parameters<T>) -> Result<ImageEncoder<T>> {
        let vit = Vit::layout(*self).map(prefix, &mut |name, _| parameters.get(name).cloned())?;
        Ok(Box::new(vit))
    }
}

/// A vision transformer.
#[derive(Debug, Clone)]
pub struct Vit<P> {
    /// Its numbers.
    pub config: VitConfig,
    /// `[1, 1, d]`
    pub cls_token: P,
    /// `[1, 1+g·g, d]`, the \[CLS\] token's row first.
    pub pos_embed: P,
    /// `weight [d, 3, p, p]`
    pub patch_embed: Linear<P>,
    /// The blocks.
    pub blocks: Vec<Block<P>>,
    /// The last norm.
    pub norm: LayerNorm<P>,
}

/// One pre-norm transformer block.
#[derive(Debug, Clone)]
pub struct Block<P> {
    /// Before attention.
    pub norm1: LayerNorm<P>,
    /// Queries, keys and values in one projection, `[3d, d]`.
    pub qkv: Linear<P>,
    /// After attention, `[d, d]`.
    pub proj: Linear<P>,
    /// Before the MLP.
    pub norm2: LayerNorm<P>,
    /// `[4d, d]`
    pub fc1: Linear<P>,
    /// `[d, 4d]`
    pub fc2: Linear<P>,
}

const EPS: f64 = 1e-6;

impl Vit<Parameter> {
    /// The parameters of an architecture.
    pub fn layout(config: VitConfig) -> Self {
        let VitConfig { image_size, patch, width: d, depth, .. } = config;
        let grid = image_size / patch;
        let mut patch_embed = Linear::layout(3 * patch * patch, d, true);
        patch_embed.weight.shape = vec![d, 3, patch, patch];
        let block = || Block {
            norm1: LayerNorm::layout(d, EPS),
            qkv: Linear::layout(d, 3 * d, true),
            proj: Linear::layout(d, d, true),
            norm2: LayerNorm::layout(d, EPS),
            fc1: Linear::layout(d, 4 * d, true),
            fc2: Linear::layout(4 * d, d, true),
        };
        Self {
            config,
            cls_token: Parameter::new(&[1, 1, d], Init::Normal(1e-6)),
            pos_embed: Parameter::new(&[1, 1 + grid * grid, d], Init::Normal(0.02)),
            patch_embed,
            blocks: (0..depth).map(|_| block()).collect(),
            norm: LayerNorm::layout(d, EPS),
        }
    }
}

impl<P> Vit<P> {
    /// The same network around other contents.
    pub fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<Vit<Q>, E> {
        Ok(Vit {
            config: self.config,
            cls_token: f(&format!("{name}.cls_token"), &self.cls_token)?,
            pos_embed: f(&format!("{name}.pos_embed"), &self.pos_embed)?,
            patch_embed: self.patch_embed.map(&format!("{name}.patch_embed.proj"), f)?,
            blocks: map_list(&format!("{name}.blocks"), &self.blocks, |name, block| block.map(name, f))?,
            norm: self.norm.map(&format!("{name}.norm"), f)?,
        })
    }
}

impl<P> Block<P> {
    fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<Block<Q>, E> {
        Ok(Block {
            norm1: self.norm1.map(&format!("{name}.norm1"), f)?,
            qkv: self.qkv.map(&format!("{name}.attn.qkv"), f)?,
            proj: self.proj.map(&format!("{name}.attn.proj"), f)?,
            norm2: self.norm2.map(&format!("{name}.norm2"), f)?,
            fc1: self.fc1.map(&format!("{name}.mlp.fc1"), f)?,
            fc2: self.fc2.map(&format!("{name}.mlp.fc2"), f)?,
        })
    }
}

impl<T: Tensor> Block<T> {
    /// The attention weights of [`Self::forward`], `[b, h, n, n]`: queries by keys.
    ///
    /// # Errors
    /// If the width is not a multiple of the heads.
    pub fn attention(&self, x: &T, heads: usize) -> Result<T> {
        let d = x.width();
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?; //             [b, n, 3d]
        let how = Attention { heads, key_bias: None, causal: false };
        hooks::attention_weights(&qkv.slice(2, 0, d)?, &qkv.slice(2, d, d)?, how)
    }

    /// `[b, n, d]` → `[b, n, d]`
    pub fn forward(&self, x: &T, heads: usize) -> Result<T> {
        let d = x.width();
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?; //             [b, n, 3d]
        let (q, k, v) = (qkv.slice(2, 0, d)?, qkv.slice(2, d, d)?, qkv.slice(2, 2 * d, d)?);
        let how = Attention { heads, key_bias: None, causal: false };
        let x = x.add(&self.proj.forward(&q.attention(&k, &v, how)?)?)?; //  [b, n, d]
        self.mlp(&x)
    }

    /// The same as the last layer of an encoder whose patches form a grid.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward_last(&self, x: &T, heads: usize, last: LastLayer, grid: [usize; 2]) -> Result<T> {
        if last.is_trained() {
            return self.forward(x, heads);
        }
        let d = x.width();
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?; //             [b, n, 3d]
        let (q, k, v) = (qkv.slice(2, 0, d)?, qkv.slice(2, d, d)?, qkv.slice(2, 2 * d, d)?);
        let heard = self.proj.forward(&last.attend([&q, &k, &v], heads, grid)?)?;
        if last.keeps_rest() { self.mlp(&x.add(&heard)?) } else { Ok(heard) }
    }

    /// The second half of a block.
    fn mlp(&self, x: &T) -> Result<T> {
        let hidden = self.fc1.forward(&self.norm2.forward(x)?)?.gelu()?; //  [b, n, 4d]
        x.add(&self.fc2.forward(&hidden)?)
    }
}

/// `[b, 3, h, w]` → `[b, n, 3·p·p]`, patches row by row, each laid out as the convolution's kernel is.
///
/// # Errors
/// If the image is not a whole number of patches.
pub fn patchify<T: Tensor>(pixels: &T, p: usize) -> Result<T> {
    let [b, c, h, w] = pixels.dims()?;
    if c != 3 || p == 0 || h % p != 0 || w % p != 0 || h * w == 0 {
        let rule = "[b, 3, h, w] with height and width multiples of the patch (right)";
        return Err(Error::Shape { op: "patchify", lhs: pixels.shape().to_vec(), rhs: vec![p], rule });
    }
    pixels
        .reshape(&[b, c, h / p, p, w / p, p])?
        .permute(&[0, 2, 4, 1, 3, 5])? //                        [b, h/p, w/p, 3, p, p]
        .reshape(&[b, (h / p) * (w / p), c * p * p])
}

/// Weights `[to, from]` of cubic interpolation (Keys 1981, a = −0.75) between grids, half-pixel centres, edges repeated:
/// what `interpolate(mode="bicubic", align_corners=False)` computes along one axis.
pub fn bicubic(from: usize, to: usize) -> Vec<f64> {
    const A: f64 = -0.75;
    let near = |t: f64| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    let far = |t: f64| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
    let mut weights = vec![0.0; from * to];
    for i in 0..to {
        let position = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let t = position - position.floor();
        for (offset, weight) in [(-1, far(1.0 + t)), (0, near(t)), (1, near(1.0 - t)), (2, far(2.0 - t))] {
            let source = (position.floor() as i64 + offset).clamp(0, from as i64 - 1) as usize;
            weights[i * from + source] += weight;
        }
    }
    weights
}

/// Position embeddings `[1, 1+g·g, d]` for another grid; the \[CLS\] token's row is kept.
pub fn resize_positions<T: Tensor>(positions: &T, [rows, columns]: [usize; 2]) -> Result<T> {
    let [_, n, d] = positions.dims()?;
    let grid = n.saturating_sub(1).isqrt();
    if n != 1 + grid * grid || grid == 0 {
        let rule = "[1, 1+g·g, d]: a row for [CLS] and a square grid";
        return Err(Error::Shape {
            op: "resize_positions",
            lhs: positions.shape().to_vec(),
            rhs: vec![rows, columns],
            rule,
        });
    }
    if [rows, columns] == [grid, grid] {
        return Ok(positions.clone());
    }
    let device = positions.device();
    let along_x =
        T::from_host(&bicubic(grid, columns), &[1, columns, grid], &device)?.expand(&[grid, columns, grid])?;
    let along_y = T::from_host(&bicubic(grid, rows), &[rows, grid], &device)?;
    let cells = positions.slice(1, 1, n - 1)?.reshape(&[grid, grid, d])?;
    let cells = along_x.matmul(&cells)?; //                                          [g, columns, d]
    let cells = along_y.matmul(&cells.reshape(&[grid, columns * d])?)?; //           [rows, columns·d]
    T::concat(&[&positions.slice(1, 0, 1)?, &cells.reshape(&[1, rows * columns, d])?], 1)
}

/// `[cls; patches·Wᵀ + b] + positions`: pixels `[b, 3, h, w]`, cls `[1, 1, d]`, positions `[1, 1+g·g, d]` → `[b, 1+n, d]`.
///
/// # Errors
/// If the image is not a whole number of patches.
pub fn embed<T: Tensor>(pixels: &T, p: usize, kernel: &Linear<T>, cls: &T, positions: &T) -> Result<T> {
    let patches = patchify(pixels, p)?; //                                     [b, n, 3·p·p]
    let ([b, _, h, w], d) = (pixels.dims()?, cls.width());
    let flat = kernel.weight.reshape(&[d, 3 * p * p])?;
    let patches = patches.linear(&flat, kernel.bias.as_ref())?; //             [b, n, d]
    let positions = resize_positions(positions, [h / p, w / p])?;
    T::concat(&[&cls.expand(&[b, 1, d])?, &patches], 1)?.add(&positions)
}

impl<T: Tensor> Encoder<T> for Vit<T> {
    type Input = T;

    fn encode(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.encode_with(pixels, LastLayer::AsTrained, tap)
    }

    fn encode_with(&self, pixels: &T, last: LastLayer, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let VitConfig { patch, heads, .. } = self.config;
        let mut x = embed(pixels, patch, &self.patch_embed, &self.cls_token, &self.pos_embed)?; // [b, 1+n, d]
        tap.see("image/embed", &x)?;
        let [_, _, h, w] = pixels.dims()?;
        let grid = [h / patch, w / patch];
        for (i, block) in self.blocks.iter().enumerate() {
            if i + 1 == self.blocks.len() && tap.wants("image/attention") {
                tap.see("image/attention", &block.attention(&x, heads)?)?;
            }
            x = match i + 1 == self.blocks.len() {
                true => block.forward_last(&x, heads, last, grid)?,
                false => block.forward(&x, heads)?,
            };
            tap.see(&format!("image/block/{i}"), &x)?;
        }
        let values = self.norm.forward(&x)?;
        tap.see("image/tokens", &values)?;
        Ok(Tokens { values, lengths: None })
    }

    fn width(&self) -> usize {
        self.config.width
    }
}
