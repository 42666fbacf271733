//! Scenes as files: `images/`, `labels/`, `captions.csv`, `classes.txt`, which the `folder` data set reads back.

use super::{World, contexts, objects};
use crate::picture::{Labels, Picture};
use crate::{Result, atomic};
use simseg_tensor::parallel::prelude::*;
use std::path::Path;

/// Draws scenes `0..count` into a folder. `progress` is told after each, from any thread.
///
/// # Errors
/// If the folder cannot be written.
pub fn export(world: &World, folder: &Path, count: u64, progress: impl Fn() + Sync) -> Result<()> {
    let (images, labels) = (folder.join("images"), folder.join("labels"));
    atomic::folder(&images)?;
    atomic::folder(&labels)?;
    let one = |index: u64| -> Result<String> {
        let scene = world.scene(index);
        let (name, size) = (format!("{index:06}.png"), scene.size);
        Picture { width: size, height: size, rgb: scene.rgb }.save(&images.join(&name))?;
        Labels::new(size, size, scene.labels.into_iter().map(u16::from).collect()).save(&labels.join(&name))?;
        let named: Vec<&str> = scene.objects.iter().map(|o| objects::NAMES[usize::from(o.class) - 1]).collect();
        progress();
        // No field holds a comma or a quote: the vocabulary has none.
        Ok(format!("{name},{},{},{}", scene.caption, contexts::NAMES[scene.context], named.join(" ")))
    };
    let lines: Vec<String> = (0..count).into_par_iter().map(one).collect::<Result<_>>()?;
    let table = format!("image,caption,context,objects\n{}\n", lines.join("\n"));
    atomic::write(&folder.join("captions.csv"), table.as_bytes())?;
    atomic::write(&folder.join("classes.txt"), (World::classes().join("\n") + "\n").as_bytes())
}
