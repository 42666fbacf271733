//! Seconds of a ViT in candle or rten, the median of some steps: `simseg-rust-peers candle|rten JSON`, run by `../cpu.py` in turns with others.
//!
//! rten runs the ONNX file that onnxruntime runs. candle's ViT has the same layers but for the last, which projects the [CLS] token only;
//! its weights are zeros, on which speed does not depend. Threads are those of `RAYON_NUM_THREADS` and `RTEN_NUM_THREADS`.

use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, peer, json] = &arguments[..] else { return Err("usage: simseg-rust-peers candle|rten JSON".into()) };
    let settings: serde_json::Value = serde_json::from_str(json)?;
    let number = |name: &str| settings[name].as_u64().map(|n| n as usize).ok_or_else(|| format!("no `{name}`"));
    let (count, side) = (number("count")?, number("side")?);
    let (warm_up, steps) = (number("warm_up")?, number("steps")?);
    let seconds = match &peer[..] {
        "candle" => {
            use candle_core::{DType, Device, Tensor};
            use candle_nn::{Activation, VarBuilder};
            use candle_transformers::models::vit::{Config, Model};
            let width = number("width")?;
            let config = Config {
                hidden_size: width,
                num_hidden_layers: number("depth")?,
                num_attention_heads: number("heads")?,
                intermediate_size: 4 * width,
                hidden_act: Activation::Gelu,
                layer_norm_eps: 1e-6,
                image_size: side,
                patch_size: 16,
                num_channels: 3,
                qkv_bias: true,
            };
            let model = Model::new(&config, 512, VarBuilder::zeros(DType::F32, &Device::Cpu))?;
            let pixels = Tensor::randn(0f32, 1f32, (count, 3, side, side), &Device::Cpu)?;
            time(warm_up, steps, || Ok(drop(model.forward(&pixels)?)))?
        }
        "rten" => {
            use rten::Model;
            use rten_tensor::NdTensor;
            use rten_tensor::prelude::*;
            let model = Model::load_file(settings["onnx"].as_str().ok_or("no `onnx`")?)?;
            let values = (0..count * 3 * side * side).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect::<Vec<_>>();
            let pixels = NdTensor::from_data([count, 3, side, side], values);
            time(warm_up, steps, || Ok(drop(model.run_one(pixels.view().into(), None)?)))?
        }
        other => return Err(format!("expected candle or rten, found {other}").into()),
    };
    println!("{{\"seconds\": {seconds:.6}}}");
    Ok(())
}

fn time(
    warm_up: usize,
    steps: usize,
    mut step: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    for _ in 0..warm_up {
        step()?;
    }
    let mut seconds = vec![];
    for _ in 0..steps.max(1) {
        let start = Instant::now();
        step()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
