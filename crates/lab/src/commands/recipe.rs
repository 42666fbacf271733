//! `simseg recipe`: a recipe as TOML, with every switch.

use crate::failure::Outcome;
use clap::Args;
use simseg::{Extension, Recipe, Registry};
use simseg_cpu::CpuTensor;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// plain, official-code, paper, or a TOML file.
    #[arg(default_value = "plain")]
    pub name: String,
    /// Change a switch.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Prints it.
///
/// # Errors
/// If there is no such recipe, or a change does not fit.
pub fn recipe(options: &Options, extension: &impl Extension) -> Outcome {
    let registry = Registry::<CpuTensor<f32>>::with(extension);
    crate::output::print(format_args!("{}", Recipe::load(&options.name, "", &options.set, &registry)?.to_toml()?));
    Ok(())
}
