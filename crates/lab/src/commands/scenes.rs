//! `simseg scenes`: draw the small world into a folder.

use crate::failure::{Failure, Outcome};
use crate::progress::Steps;
use clap::Args;
use simseg_data::scenes::export::export;
use simseg_data::{SceneConfig, World};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where they go.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub count: u64,
    /// Which world.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Probability that an object stands in its favourite context.
    #[arg(long, default_value_t = SceneConfig::default().bias)]
    pub bias: f64,
    /// Side of the images, in pixels.
    #[arg(long, default_value_t = SceneConfig::default().image_size)]
    pub size: usize,
}

/// Draws them.
///
/// # Errors
/// If a setting makes no sense or the folder cannot be written.
pub fn scenes(options: &Options) -> Outcome {
    let Options { out, count, seed, bias, size } = options;
    let count = *count;
    if count == 0 || count > 999_999 {
        return Err(Failure::input("--count", format!("from 1 to 999999, found {count}")));
    }
    let world = World::new(SceneConfig { bias: *bias, image_size: *size, ..SceneConfig::default() }, *seed)?;
    let bar = Steps::new("drawing scenes", 1.0, "scenes");
    bar.start(count, 0);
    let (drawn, finished) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let result = export(&world, out, count, || {
                drawn.fetch_add(1, Ordering::Relaxed);
            });
            finished.store(true, Ordering::Release);
            result
        });
        while !finished.load(Ordering::Acquire) && !work.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            bar.to(drawn.load(Ordering::Relaxed), None);
        }
        work.join().map_err(|_| Failure::Machine("scenes: drawing failed".into()))?.map_err(Failure::from)
    })?;
    bar.finish();
    crate::output::say!("{count} scenes → {}", out.display());
    Ok(())
}
