//! Address ranges: `10.0.0.0/8`.

use std::net::IpAddr;

/// A range of addresses with a common prefix.
#[derive(Debug)]
pub(crate) struct Network {
    address: u128,
    bits: u32,
    is_v4: bool,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, is_v4) = number(address.parse().ok()?);
        let bits: u32 = bits.parse().ok()?;
        let bits = if is_v4 { bits.checked_add(96)? } else { bits };
        (bits <= 128).then_some(Self { address, bits, is_v4 })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (address, is_v4) = number(address);
        let differing = (address ^ self.address).checked_shr(128 - self.bits).unwrap_or(0);
        is_v4 == self.is_v4 && differing == 0
    }
}

/// An address as a number of 128 bits, and whether it is one of IPv4, mapped or not.
fn number(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_ipv6_mapped()), true),
        IpAddr::V6(address) => (u128::from(address), false),
    }
}
