//! How many numbers an encoder keeps at once while it only computes, from the shapes of its parameters.
//!
//! A layer `[o, i]` reads `i` and writes `o` channels of each token. At the widest one, the MLP of a transformer's block, five things are there
//! together: what the layer reads (`i`), what it writes and the same after GELU (`2·o`), what goes past the block, and what went into it (`2·d`,
//! where `d` is the width, the narrower side of every layer in a block).
//! Without gradients nothing else is kept. Attention keeps the weights of one head, `[n, n]`, for each thread, and products
//! the copies that they read: blocks of both sides, keys and values of a head.

use simseg_tensor::Parameter;

/// At most so many numbers for `images` of `tokens` tokens each that go through layers of these shapes together on so many threads: their
/// values, attention's weights (which a thread keeps of one image and head at a time), and a copy of the largest layer, which a backend may
/// need for a product.
pub(crate) fn of_layers<'a>(
    parameters: impl IntoIterator<Item = &'a Parameter>,
    images: usize,
    tokens: usize,
    threads: usize,
) -> usize {
    let (mut values, mut width, mut largest) = (0, 0, 0);
    for parameter in parameters {
        // Positions and the [CLS] token are `[1, n, d]`, biases and norms `[d]`: no layers.
        let [out, rest @ ..] = &*parameter.shape else { continue };
        if *out < 2 || rest.is_empty() {
            continue;
        }
        let input = rest.iter().product::<usize>();
        values = values.max(input + 2 * out);
        width = width.max(input.min(*out));
        largest = largest.max(out * input);
    }
    let each = values + 2 * width;
    // A thread's blocks of a product: up to 512 rows and 256 columns of chains of 384 steps.
    let together = tokens.saturating_mul(images);
    let blocks = (together.min(512) + 256) * width.min(384);
    // Of two heads or more, a thread's keys and values in the order in which its products read them.
    let heads = tokens.saturating_mul(width);
    let attention = tokens.saturating_mul(tokens).saturating_add(blocks + heads).saturating_mul(threads);
    together.saturating_mul(each).saturating_add(attention).saturating_add(largest)
}

#[cfg(test)]
mod tests {
    use super::of_layers;
    use crate::encoder::EncoderConfig;
    use crate::vit::VitConfig;

    #[test]
    fn a_block_of_a_vit_keeps_eleven_widths_of_each_token() {
        let vit = VitConfig { image_size: 224, patch: 16, width: 768, depth: 2, heads: 12 };
        let layers: Vec<_> = vit.parameters("image").into_iter().map(|(_, parameter)| parameter).collect();
        let (tokens, d) = (197, 768);
        let of = |images, threads| of_layers(&layers, images, tokens, threads);
        assert_eq!(of(1, 0), 11 * d * tokens + 4 * d * d);
        assert_eq!(of(1, 2) - of(1, 0), 2 * (tokens * tokens + (tokens + 256) * 384 + tokens * d));
        // Of a batch each thread still has one attention and one block of a product.
        assert_eq!(of(8, 0), 8 * 11 * d * tokens + 4 * d * d);
        assert_eq!(of(8, 2) - of(8, 0), 2 * (tokens * tokens + (512 + 256) * 384 + tokens * d));
    }
}
