//! What a picture will need, said before memory is asked for, and a limit that is kept.
//!
//! ```text
//! weights │ + resize │ + encode │ + segment        one stage after the other; the peak is the weights and the largest stage
//! ```
//!
//! Everything follows from sizes: no memory is asked for to find out. The numbers are the most that can be needed; what depends on the
//! colours of a picture (how many lattice points a CRF has) counts as if it were noise.

use crate::features::TOGETHER;
use crate::windows::Layout;
use crate::{Error, Model, Result, Words};
use serde::Serialize;
use simseg_segment::Extent;
pub use simseg_segment::map::Size;
use simseg_tensor::Tensor;

/// Bytes that segmenting a picture needs at most, the picture itself and the words aside, which are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The weights in the type in which they are kept, and their copy in the order in which products read them; the same for every picture.
    pub weights: usize,
    /// The picture on its way to the network's input.
    pub resize: usize,
    /// The input, and the activations of the image encoder.
    pub encode: usize,
    /// Features, maps, masks, their refinement, and the label map.
    pub segment: usize,
}

impl Memory {
    /// The weights and the largest stage.
    pub fn peak(&self) -> usize {
        self.weights.saturating_add(self.resize.max(self.encode).max(self.segment))
    }
}

const F32: usize = size_of::<f32>();
/// Channels of an attention head at least, where a recipe wants the attention of all heads; released networks have 64.
const HEAD: usize = 16;
/// Copies of the attention of all heads while it is computed: products, weights, and one that is moved.
const ATTENTIONS: usize = 3;

impl<T: Tensor> Model<T> {
    /// What a picture of this size will need with these words, under the model's recipe.
    ///
    /// ```
    /// # fn main() -> simseg::Result<()> {
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny");
    /// let model = simseg::Model::open(folder)?;
    /// let words = model.words(["balloon", "fish", "car"])?;
    /// let [small, large] = [64, 4096].map(|side| simseg::memory::Size { height: side, width: side });
    /// let needed = model.memory(small, &words);
    /// assert!(needed.peak() < 8 << 20); // bytes
    /// assert_eq!(needed.encode, model.memory(large, &words).encode); // both become 64×64 pixels
    /// # Ok(())
    /// # }
    /// ```
    pub fn memory(&self, picture: Size, words: &Words<T>) -> Memory {
        let network = self.network_config();
        let (input, patch) = (self.input_of(picture), network.patch().max(1));
        let layout = Layout::new(input, self.recipe().input.windows, patch);
        let needs = self.segmenter().needs(self.aligner());
        let (n, e) = (layout.grid().area(), network.projection());
        let bytes = 3 * input.area();

        let passes = (picture.height * input.width).max(picture.width * input.height);
        let resize = 3 * passes + bytes + 3 * F32 * picture.width;

        // Windows that go through together, and sums over them as large as the features.
        let (together, kept) = match layout.corners.len() {
            1 => (1, 0),
            many => {
                ((TOGETHER / layout.window_grid().area().max(1)).clamp(1, many), 3 * input.area() + 3 * (1 + n) * e)
            }
        };
        let heads = if needs.attention { ATTENTIONS * (e / HEAD).max(1) } else { 0 };
        let threads = simseg_tensor::parallel::current_num_threads() + heads;
        let encoder = network.image_activations(together, layout.window.height, layout.window.width, threads);
        let features = F32 * 2 * (1 + n) * e;
        let encode = bytes + F32 * (encoder + kept) + features;

        let attention = if needs.attention { F32 * (1 + n) * (1 + n) * (e / HEAD).max(1) } else { 0 };
        let rows = words.bank.embeddings.shape().first().copied().unwrap_or(0);
        let extent = Extent { input, patches: n, channels: e, classes: words.list.len(), rows };
        let labels = size_of::<u16>() * picture.area();
        let segment = bytes + features + attention + self.segmenter().memory(extent) + labels;

        Memory { weights: self.weight_bytes(), resize, encode, segment }
    }

    /// [`Memory::weights`]
    fn weight_bytes(&self) -> usize {
        self.parameters().iter().map(|(_, value)| value.weight_bytes()).sum()
    }

    /// The same model, whose [`Self::segment`] refuses a picture which may need more than so many bytes ([`Self::memory`]) with
    /// [`Error::Input`], before it asks for any. Several calls at a time may take as much each, and embedding words is no part of it. On the CPU the buffers that wait to be used again stay within the limit, too; that holds for the whole process.
    ///
    /// # Errors
    /// If the weights alone are more.
    pub fn with_memory_limit(mut self, bytes: usize) -> Result<Self> {
        let weights = self.weight_bytes();
        let Some(rest) = bytes.checked_sub(weights) else {
            let (weights, bytes) = (shown(weights), shown(bytes));
            let hint = "a smaller model, or its weights in fewer bits";
            return Err(Error::input("memory limit", format!("{bytes}; the weights alone are {weights}: {hint}")));
        };
        T::bound_memory(self.device(), rest);
        self.memory_limit = Some(bytes);
        Ok(self)
    }

    /// What [`Self::with_memory_limit`] was told.
    pub fn memory_limit(&self) -> Option<usize> {
        self.memory_limit
    }

    /// Whether a picture of this size may go on.
    ///
    /// # Errors
    /// If it may need more than the limit: one line with both, and what the most is needed for.
    pub fn check_memory(&self, picture: Size, words: &Words<T>) -> Result<()> {
        let Some(limit) = self.memory_limit else { return Ok(()) };
        let needed = self.memory(picture, words);
        if needed.peak() <= limit {
            return Ok(());
        }
        let stages = [("resizing", needed.resize), ("the encoder", needed.encode), ("maps and masks", needed.segment)];
        let (stage, most) = stages.into_iter().max_by_key(|(_, bytes)| *bytes).unwrap_or(stages[0]);
        let Size { height, width } = picture;
        Err(Error::input(
            format!("a picture of {width}×{height}"),
            format!(
                "needs up to {} ({} for the weights, {} for {stage}), and the memory limit is {}: a smaller picture or input.size, or fewer classes",
                shown(needed.peak()),
                shown(needed.weights),
                shown(most),
                shown(limit)
            ),
        ))
    }
}

/// Bytes for people.
fn shown(bytes: usize) -> String {
    if bytes < 1_000_000 { format!("{bytes} bytes") } else { format!("{:.3} MB", bytes as f64 / 1e6) }
}
