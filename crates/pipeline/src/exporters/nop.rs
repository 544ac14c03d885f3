//! Takes everything and does nothing with it.

use async_trait::async_trait;

use super::{Export, ExportError};
use crate::{Encoded, Signal};

/// The exporter `nop`.
#[derive(Debug, Default)]
pub struct Nop;

#[async_trait]
impl Export for Nop {
    async fn export(&self, _: Signal, _: &Encoded) -> Result<(), ExportError> {
        Ok(())
    }
}
