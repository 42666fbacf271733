//! Which responses an aligner pooled, channel by channel.
//!
//! `pool_c = Σ_j share_jc · x_jc`, then divided by its norm: [`simseg_model::Aligner::shares`] gives the shares, of which nearly all are
//! zero for LoDA, and all are alike for dense alignment.

use crate::Result;
use serde::{Deserialize, Serialize};
use simseg_model::{Aligner, Side, Tokens};
use simseg_tensor::{Ops, Tensor};

/// A response that a channel was pooled from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// The patch or token.
    pub token: usize,
    /// Its share of the sum.
    pub share: f32,
}

/// What a pooled vector is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Pooling {
    /// Every token counts alike in every channel.
    Uniform {
        /// `1/n`
        share: f32,
    },
    /// Each channel has its own.
    PerChannel {
        /// For each channel its picks, the strongest response first.
        picks: Vec<Vec<Pick>>,
    },
    /// The vector is no sum over tokens.
    Whole {
        /// Why, in a sentence.
        why: String,
    },
}

impl Pooling {
    /// The share of a token in a channel; nothing where the vector is no sum.
    pub fn share(&self, token: usize, channel: usize) -> Option<f32> {
        match self {
            Self::Uniform { share } => Some(*share),
            Self::PerChannel { picks } => {
                let own = picks.get(channel)?.iter().find(|pick| pick.token == token);
                Some(own.map_or(0.0, |pick| pick.share))
            }
            Self::Whole { .. } => None,
        }
    }

    /// The shares of all `n` tokens in all `d` channels, `[n·d]`; nothing where the vector is no sum.
    pub fn shares(&self, n: usize, d: usize) -> Option<Vec<f32>> {
        match self {
            Self::Uniform { share } => Some(vec![*share; n * d]),
            Self::PerChannel { picks } => {
                let mut shares = vec![0.0; n * d];
                for (channel, picks) in picks.iter().enumerate().take(d) {
                    for pick in picks.iter().filter(|pick| pick.token < n) {
                        shares[pick.token * d + channel] = pick.share;
                    }
                }
                Some(shares)
            }
            Self::Whole { .. } => None,
        }
    }

    /// How the aligner pools one item: `tokens [1, n, d]`, with `skipped` tokens in front that take no part.
    pub(super) fn of<T: Tensor>(aligner: &dyn Aligner<T>, kind: &str, side: Side, tokens: &Tokens<T>) -> Result<Self> {
        let Some(shares) = aligner.shares(side, tokens)? else {
            return Ok(Self::Whole { why: why_whole(kind, side) });
        };
        let [_, n, d] = shares.dims()?;
        let [_, all, _] = tokens.values.dims()?;
        let (shares, values) = (shares.to_f32()?, tokens.values.slice(1, all - n, n)?.to_f32()?);
        if shares.iter().all(|share| *share == shares[0]) {
            return Ok(Self::Uniform { share: shares[0] });
        }
        let picks = |channel: usize| {
            let mut picks: Vec<Pick> = (0..n)
                .map(|token| Pick { token, share: shares[token * d + channel] })
                .filter(|pick| pick.share != 0.0)
                .collect();
            // Stable: the lower index first on a tie, as top-k has it.
            picks.sort_by(|a, b| values[b.token * d + channel].total_cmp(&values[a.token * d + channel]));
            picks
        };
        Ok(Self::PerChannel { picks: (0..d).map(picks).collect() })
    }
}

/// Why a vector can't be split over tokens.
fn why_whole(kind: &str, side: Side) -> String {
    let what = if side == Side::Image { "patches" } else { "words" };
    match kind {
        "holistic" => format!(
            "Holistic alignment compares the [CLS] token alone. It has looked at all {what} through attention, layer by layer, and no \
             sum over {what} gives it back: its score can't be split."
        ),
        other => format!(
            "The aligner `{other}` pools {what} in a way that is no sum over them, so its score can't be split."
        ),
    }
}
