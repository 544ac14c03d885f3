//! What a connection begins with: which versions a broker speaks, and who we are.

use bytes::Bytes;

use super::{Request, code};
use crate::error::Code;
use crate::wire::{Reader, WireError, Writer};

/// Which kinds and versions of requests there are. Brokers answer it before they know who asks.
pub struct ApiVersions;

/// A kind of request, and the versions in which it may be asked.
pub struct ApiVersion {
    /// The number of its kind.
    pub key: i16,
    /// The oldest.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

impl Request for ApiVersions {
    const KEY: i16 = 18;
    const NAME: &'static str = "ApiVersions";
    type Answer = (Code, Vec<ApiVersion>);

    fn version(&self) -> i16 {
        0
    }

    fn write(&self, _: &mut Writer) {}

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        let code = code(from)?;
        let versions = from
            .list(|from| Ok(ApiVersion { key: from.i16()?, min: from.i16()?, max: from.i16()? }))?;
        Ok((code, versions))
    }
}

/// Chooses a mechanism of SASL.
pub struct SaslHandshake {
    /// Its name.
    pub mechanism: &'static str,
}

impl Request for SaslHandshake {
    const KEY: i16 = 17;
    const NAME: &'static str = "SaslHandshake";
    /// The mechanisms that the broker has.
    type Answer = (Code, Vec<String>);

    fn version(&self) -> i16 {
        1
    }

    fn write(&self, out: &mut Writer) {
        out.text(self.mechanism);
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        Ok((code(from)?, from.list(Reader::text)?))
    }
}

/// A step of the mechanism.
pub struct SaslAuthenticate {
    /// What the mechanism says.
    pub bytes: Vec<u8>,
}

/// The broker's step.
pub struct SaslAuthenticated {
    /// Whether it goes on.
    pub code: Code,
    /// Why not.
    pub reason: Option<String>,
    /// What the mechanism says.
    pub bytes: Bytes,
}

impl Request for SaslAuthenticate {
    const KEY: i16 = 36;
    const NAME: &'static str = "SaslAuthenticate";
    type Answer = SaslAuthenticated;

    fn version(&self) -> i16 {
        0
    }

    fn write(&self, out: &mut Writer) {
        out.bytes(&self.bytes);
    }

    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError> {
        Ok(SaslAuthenticated {
            code: code(from)?,
            reason: from.text_or_null()?,
            bytes: from.bytes()?.unwrap_or_default(),
        })
    }
}
