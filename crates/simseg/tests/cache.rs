//! Class banks on disk.

use simseg::{Cache, ClassList, Loaded, Model, Registry, Unwatched, WeightType};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_tensor::Tensor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny")
}

/// The embeddings of two words, kept in a folder.
fn embeddings<T: Tensor<Device = CpuDevice>>(registry: Registry<T>, kept: &Path) -> Vec<f64> {
    let registry = Arc::new(registry);
    let loaded = Loaded::read(&folder(), &registry, &CpuDevice).unwrap();
    let model = Model::<T>::assemble(loaded, None, registry, &CpuDevice).unwrap();
    let list = ClassList::parse("cherry\nfish").unwrap();
    let cache = Cache::In(kept.to_owned());
    cache.classes(&model, &folder(), list, &mut Unwatched).unwrap().bank.embeddings.to_vec().unwrap()
}

#[test]
fn a_bank_of_one_precision_is_not_taken_for_that_of_another() {
    let kept = tempfile::tempdir().unwrap();
    let count = || std::fs::read_dir(kept.path()).unwrap().count();
    let single = embeddings::<CpuTensor<f32>>(Registry::built_in(), kept.path());
    assert_eq!(count(), 1);
    let double = embeddings::<CpuTensor<f64>>(Registry::built_in(), kept.path());
    assert_eq!(count(), 2, "one file for each precision");
    assert_ne!(single, double);
    // Each is read again.
    assert_eq!(embeddings::<CpuTensor<f32>>(Registry::built_in(), kept.path()), single);
    assert_eq!(count(), 2);
}

#[test]
fn a_bank_of_rounded_weights_is_one_of_its_own() {
    let kept = tempfile::tempdir().unwrap();
    let registry = Arc::new(Registry::built_in());
    let embeddings = |rounded: Option<WeightType>| -> Vec<f32> {
        let loaded = Loaded::read_rounded(&folder(), rounded, &registry, &CpuDevice).unwrap();
        let model = Model::<CpuTensor<f32>>::assemble(loaded, None, registry.clone(), &CpuDevice).unwrap();
        let list = ClassList::parse("cherry\nfish").unwrap();
        let cache = Cache::In(kept.path().to_owned());
        cache.classes(&model, &folder(), list, &mut Unwatched).unwrap().bank.embeddings.to_vec().unwrap()
    };
    let asked = [None, Some(WeightType::Bf16), Some(WeightType::Int8)];
    let first = asked.map(&embeddings);
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 3, "one file for each");
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    assert_eq!(asked.map(&embeddings), first, "each is read again");
}
