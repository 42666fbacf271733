//! The networks and losses of the paper, generic over the tensor.
//!
//! Reading order: [`layers`] (parameters as plain fields), [`tokens`], [`encoder`] (the trait), [`vit`], [`bert`],
//! [`dual`] (both towers and their projections), [`clip`] (OpenAI's pair), [`network`] (either),
//! [`pool`] (holistic, dense, LoDA), [`nce`] (the
//! loss), [`adamw`], [`schedule`], [`accumulate`] (a big batch on small memory).
//!
//! Networks are generic over what their fields hold: `Vit<Parameter>` is the architecture, `Vit<T>` the network, and
//! `map` leads from one to the other (see [`simseg_tensor::parameters`]).

pub mod layers;
pub mod tokens;
pub mod encoder;
pub mod vit;
pub mod bert;
pub mod dual;
pub mod clip;
pub mod network;
pub mod pool;
pub mod nce;
pub mod adamw;
pub mod schedule;
pub mod accumulate;

pub use adamw::{AdamW, AdamWConfig};
pub use clip::{Clip, ClipConfig};
pub use dual::{DualEncoder, ModelConfig};
pub use encoder::Encoder;
pub use network::{Network, NetworkConfig};
pub use pool::{Aligner, AlignerConfig, Side};
pub use schedule::Schedule;
pub use tokens::{TokenBatch, Tokens};
