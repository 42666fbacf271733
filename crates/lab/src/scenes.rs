//! `simseg scenes`: draw the small world into a folder.

use crate::failure::{Failure, Outcome};
use crate::progress::Steps;
use simseg_data::scenes::export::export;
use simseg_data::{SceneConfig, World};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Draws `count` scenes of a seed into `out`.
///
/// # Errors
/// If a setting makes no sense or the folder cannot be written.
pub fn scenes(out: &Path, count: u64, seed: u64, config: SceneConfig) -> Outcome {
    if count == 0 || count > 999_999 {
        return Err(Failure::input("--count", format!("from 1 to 999999, found {count}")));
    }
    let world = World::new(config, seed)?;
    let bar = Steps::new("drawing scenes", 1.0, "scenes");
    bar.start(count, 0);
    let drawn = AtomicU64::new(0);
    let finished = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let result = export(&world, out, count, || {
                drawn.fetch_add(1, Ordering::Relaxed);
            });
            finished.store(true, Ordering::Release);
            result
        });
        while !finished.load(Ordering::Acquire) && !work.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(20));
            bar.to(drawn.load(Ordering::Relaxed), None);
        }
        work.join().map_err(|_| Failure::input("scenes", "drawing failed"))?.map_err(Failure::from)
    })?;
    bar.finish();
    println!("{count} scenes → {}", out.display());
    Ok(())
}
