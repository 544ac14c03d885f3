//! What all commands that read a configuration take.

use clap::Args;

use crate::serve::Where;

/// Where a configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// A configuration of the OpenTelemetry Collector: a path, file:PATH, env:NAME or yaml:TEXT;
    /// repeatable, later ones win
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Vec<String>,
    /// Sets one key of the configuration, such as processors.batch.timeout=2s; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// Without a file that which plain `spanfall serve` runs is still to be added.
    pub fn place(&self) -> Where {
        Where {
            configs: self.config.clone(),
            sets: self.set.clone(),
            is_built_in: self.config.is_empty(),
        }
    }
}
