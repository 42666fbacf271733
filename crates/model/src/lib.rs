//! The networks and losses of the paper, generic over the tensor.
//!
//! Reading order: [`layers`] (parameters as plain fields), [`parameters`] (all of them as one list), [`tokens`], [`last_layer`]
//! (edits of attention), [`dropout`], [`encoder`] (the
//! traits), [`vit`], [`bert`], [`network`] (the traits), [`dual`] (two encoders and their projections), [`clip`] (OpenAI's pair),
//! [`pool`] (aligners: holistic, dense, LoDA and others), [`loss`] (InfoNCE, SigLIP), [`adamw`], [`schedule`], [`accumulate`] (a big batch on small memory),
//! [`registry`] (all of it by name).
//!
//! Networks are generic over what their fields hold: `Vit<Parameter>` is the architecture, `Vit<T>` the network, and
//! `map` leads from one to the other (see [`simseg_tensor::parameters`]).

pub mod layers;
pub mod parameters;
pub mod tokens;
pub mod last_layer;
pub mod dropout;
pub mod encoder;
pub mod vit;
pub mod bert;
mod activations;
pub mod network;
pub mod dual;
pub mod clip;
pub mod pool;
pub mod loss;
pub mod adamw;
pub mod schedule;
pub mod accumulate;
pub mod registry;

pub use adamw::{AdamW, AdamWConfig};
pub use clip::{Clip, ClipConfig};
pub use dropout::Dropout;
pub use dual::{DualConfig, DualEncoder, ModelConfig};
pub use encoder::{Encoder, EncoderConfig, ImageEncoderConfig, ImageFacts, TextEncoderConfig, TextFacts};
pub use last_layer::LastLayer;
/// The loss of the paper, by itself.
pub use loss::info_nce as nce;
pub use loss::{InfoNce, Loss, LossConfig, SigLip};
pub use network::{Architecture, Network, NetworkConfig, with_vocabulary};
pub use parameters::Parameters;
pub use pool::{Aligner, AlignerConfig, Limits, PromptPooling, Side, Stage};
pub use registry::{Encoders, ModelRegistry, setting};
pub use schedule::Schedule;
pub use tokens::{TokenBatch, Tokens};
