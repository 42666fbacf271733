//! `simseg convert`: label maps that a data set does not come with.

use crate::failure::{Failure, Outcome};
use crate::progress::Steps;
use clap::Args;
use simseg_data::datasets::{coco, context};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// context or coco-object.
    pub dataset: String,
    /// The folder VOC2010, or the one with COCO-Stuff's annotations.
    #[arg(long, value_name = "PATH")]
    pub root: PathBuf,
    /// PASCAL in Detail's annotations, if not ROOT/trainval_merged.json.
    #[arg(long, value_name = "FILE.json")]
    pub annotations: Option<PathBuf>,
}

/// Counts calls from several threads on one bar, whose length the first call tells.
struct Counter {
    done: AtomicU64,
    bar: Mutex<Option<Steps>>,
}

impl Counter {
    fn new() -> Self {
        Self { done: AtomicU64::new(0), bar: Mutex::new(None) }
    }

    fn one(&self, of: usize) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let bar = Steps::new("label maps", 1.0, "maps");
            bar.start(of as u64, 0);
            bar
        });
        bar.to(done, None);
    }

    fn finish(self) {
        if let Some(bar) = self.bar.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            bar.finish();
        }
    }
}

/// Converts.
///
/// # Errors
/// Exit 2 for an unknown data set, or one that is not what it should be.
pub fn convert(options: &Options) -> Outcome {
    let Options { dataset, root, annotations } = options;
    let counter = Counter::new();
    match dataset.as_str() {
        "context" => {
            let own = root.join("trainval_merged.json");
            let written = context::convert(annotations.as_ref().unwrap_or(&own), root, |of| counter.one(of))?;
            counter.finish();
            crate::output::say!(
                "{} label maps for training, {} for validation → {}",
                written.train,
                written.val,
                root.display()
            );
        }
        "coco-object" => {
            let written = coco::convert(root, |of| counter.one(of))?;
            counter.finish();
            crate::output::say!("{written} label maps → {}", root.display());
        }
        other => {
            return Err(Failure::input("DATASET", format!("expected context or coco-object, found `{other}`")));
        }
    }
    Ok(())
}
