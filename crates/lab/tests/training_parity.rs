//! The training step against the released objective in timm, transformers and PyTorch: `fixtures/pytorch/train.py` makes the fixture and says
//! what it holds.

use safetensors::{Dtype, SafeTensors};
use simseg::{Recipe, Registry};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_lab::experiment::Settings;
use simseg_lab::training::batch::Batch;
use simseg_lab::training::state::State;
use simseg_lab::training::{objective::Objective, start};
use simseg_model::{Dropout, Parameters, Schedule, TokenBatch};
use simseg_tensor::{Autodiff, Tensor};

const STEPS: u64 = 20;
const SCHEDULE: Schedule = Schedule { rate: 1e-3, warmup: 0, floor: 0.1 };

/// What PyTorch computed.
struct Fixture(Vec<u8>);

impl Fixture {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pytorch/training.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
            Dtype::I32 => data.as_chunks().0.iter().map(|&bytes| f64::from(i32::from_le_bytes(bytes))).collect(),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Which of these names there is something for.
    fn holds(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).is_ok()
    }

    fn captions(&self) -> TokenBatch {
        let ids = self.values("batch/ids");
        let sentence = |(row, &length): (&[f64], &f64)| row[..length as usize].iter().map(|&id| id as u32).collect();
        let sentences: Vec<Vec<u32>> = ids.chunks(7).zip(&self.values("batch/lengths")).map(sentence).collect();
        TokenBatch::new(&sentences, 0, 7).unwrap()
    }
}

fn settings(padding: &str, parts: usize) -> Settings {
    let text = format!(
        r#"
        aligner = {{ kind = "loda", image_k = 3, text_k = 4, padding = "{padding}" }}
        evaluation = {{ data = {{ kind = "scenes", count = 2, image_size = 32, bias = 0.0 }} }}
        [model]
        projection = 12
        temperature = 0.07
        image = {{ image_size = 32, patch = 8, width = 24, depth = 2, heads = 2 }}
        text = {{ vocabulary = 30, positions = 9, types = 2, width = 16, intermediate = 40, depth = 2, heads = 2 }}
        [training]
        data = {{ kind = "scenes", count = 8, image_size = 32, bias = 0.5 }}
        batch = 8
        parts = {parts}
        steps = {STEPS}
        schedule = {{ rate = 1e-3, warmup = 0, floor = 0.1 }}
        adamw = {{ decay_all = true }}
        "#
    );
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    table.insert("segmentation".into(), toml::Value::try_from(Recipe::plain()).unwrap());
    table.try_into().unwrap()
}

/// A run on the fixture's batch.
struct Run<A: simseg_cpu::Scalar> {
    objective: Objective<Autodiff<CpuTensor<A>>>,
    state: State<Autodiff<CpuTensor<A>>>,
    batch: Batch<Autodiff<CpuTensor<A>>>,
    /// Whether the text tower drops values: with the masks that PyTorch was given.
    dropout: bool,
}

impl<A: simseg_cpu::Scalar> Run<A> {
    fn new(fixture: &Fixture, padding: &str, parts: usize) -> Self {
        let (registry, settings) = (Registry::<Autodiff<CpuTensor<A>>>::built_in(), settings(padding, parts));
        let objective = Objective::new(&settings, &registry).unwrap();
        let layout = start::layout(&settings, &registry).unwrap();
        let weight = |name: &str, shape: &[usize]| {
            let values = fixture.values(&format!("start/{name}"));
            (name.to_owned(), Autodiff::<CpuTensor<A>>::from_host(&values, shape, &CpuDevice).unwrap())
        };
        let named = layout.iter().map(|(name, parameter)| weight(name, &parameter.shape)).collect();
        let state = State::new(Parameters::new(named).unwrap(), vec![true; layout.len()], settings.training.adamw);
        let pixels = Autodiff::from_host(&fixture.values("batch/pixels"), &[8, 3, 32, 32], &CpuDevice).unwrap();
        Self { objective, state: state.unwrap(), batch: Batch::new(pixels, fixture.captions()), dropout: false }
    }

    fn step(&mut self) -> f64 {
        let rate = SCHEDULE.rate_at(self.state.step(), STEPS);
        let step = self.state.step();
        self.batch.dropout = self.dropout.then_some(Dropout { rate: 0.1, seed: 5, step, first: 0 });
        self.objective.step(&mut self.state, &self.batch, rate).unwrap()
    }

    fn gradients(&self) -> Vec<(String, Vec<f64>)> {
        let values = self.state.parameters.values();
        let (_, gradients) = self.objective.gradients(&self.state, values, &self.batch).unwrap();
        let names = self.state.parameters.iter().map(|(name, _)| name.to_owned());
        names.zip(gradients.iter().map(|gradient| gradient.to_vec().unwrap())).collect()
    }

    fn weights(&self) -> Vec<(String, Vec<f64>)> {
        self.state.parameters.iter().map(|(name, value)| (name.to_owned(), value.to_vec().unwrap())).collect()
    }
}

/// Distance of two tensors over the norm of the one that is right.
fn apart(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let distance = ours.iter().zip(theirs).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    distance / theirs.iter().map(|b| b * b).sum::<f64>().sqrt().max(1e-3)
}

/// Without the biases of keys: softmax does not see them, so that their gradient is 0 but for rounding, and AdamW makes a step of that,
/// another one in every precision.
fn without_key_biases(name: &str, mut values: Vec<f64>) -> Vec<f64> {
    let third = values.len() / 3;
    match name {
        _ if name.ends_with("key.bias") => vec![],
        _ if name.ends_with("qkv.bias") => {
            values.drain(third..2 * third);
            values
        }
        _ => values,
    }
}

/// Holds tensors against those of the fixture under a prefix; returns how many there were.
fn compare(fixture: &Fixture, prefix: &str, tensors: &[(String, Vec<f64>)], limit: f64) -> usize {
    let mut compared = 0;
    for (name, values) in tensors {
        let theirs = format!("{prefix}/{name}");
        if fixture.holds(&theirs) {
            let pick = |values| if limit > 1e-6 { without_key_biases(name, values) } else { values };
            let apart = apart(&pick(values.clone()), &pick(fixture.values(&theirs)));
            assert!(apart <= limit, "{theirs}: {apart:.1e} apart, at most {limit:.0e}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn twenty_steps_are_those_of_the_released_objective() {
    let fixture = Fixture::read();
    let cases = [
        ("compete", "compete", 1),
        ("shortest", "shortest-in-batch", 1),
        ("shortest-in-parts", "shortest-in-batch", 2),
        ("compete-in-parts", "compete", 2),
        ("dropped", "compete", 1),
        ("dropped-in-parts", "compete", 2),
    ];
    for (case, padding, parts) in cases {
        let mut run = Run::<f64>::new(&fixture, padding, parts);
        run.dropout = case.starts_with("dropped");
        let losses = fixture.values(&format!("{case}/losses"));
        let all = run.weights().len();
        if case == "compete" {
            assert_eq!(compare(&fixture, &format!("{case}/gradient"), &run.gradients(), 1e-9), all);
        }
        let mut compared = 0;
        for (step, theirs) in losses.iter().enumerate() {
            let ours = run.step();
            assert!((ours - theirs).abs() <= 1e-9 * theirs, "{case}, step {step}: {ours} and {theirs}");
            compared += compare(&fixture, &format!("{case}/after/{}", step + 1), &run.weights(), 1e-9);
        }
        assert_eq!(compared, if case == "compete" { 3 * all } else { 3 }, "{case}");
    }
    // The rules are different ones.
    let last = |case: &str| fixture.values(&format!("{case}/losses"))[19];
    assert!((last("compete") - last("shortest")).abs() > 1e-3);
    assert!((last("shortest") - last("shortest-in-parts")).abs() > 1e-3);
    assert!((last("compete") - last("compete-in-parts")).abs() < 1e-9);
    assert!((last("compete") - last("dropped")).abs() > 1e-3);
    assert!((last("dropped") - last("dropped-in-parts")).abs() < 1e-9);
}

#[test]
fn in_f32_the_first_gradients_and_all_losses_agree() {
    let fixture = Fixture::read();
    let mut run = Run::<f32>::new(&fixture, "compete", 1);
    let all = run.weights().len();
    assert_eq!(compare(&fixture, "compete/gradient", &run.gradients(), 1e-4), all);
    for (step, theirs) in fixture.values("compete/losses").iter().enumerate() {
        let ours = run.step();
        assert!((ours - theirs).abs() <= 1e-3 * theirs, "step {step}: {ours} and {theirs}");
        if step == 0 {
            assert_eq!(compare(&fixture, "compete/after/1", &run.weights(), 1e-4), all);
        }
    }
}
