//! Hashes.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use twox_hash::{XxHash3_64, XxHash3_128};

use super::{Converter, Param, STRING, need};
use crate::value::{Kind, Value, hex};

const VALUE: &[Param] = &[need("value", STRING)];

pub(super) static TABLE: &[Converter] = &[
    Converter::new("MD5", VALUE, Some(Kind::String), |call, reader| {
        Ok(Value::from(hex(&Md5::digest(call.text(0, reader)?.as_bytes()))))
    }),
    Converter::new("SHA1", VALUE, Some(Kind::String), |call, reader| {
        Ok(Value::from(hex(&Sha1::digest(call.text(0, reader)?.as_bytes()))))
    }),
    Converter::new("SHA256", VALUE, Some(Kind::String), |call, reader| {
        Ok(Value::from(hex(&Sha256::digest(call.text(0, reader)?.as_bytes()))))
    }),
    Converter::new("SHA512", VALUE, Some(Kind::String), |call, reader| {
        Ok(Value::from(hex(&Sha512::digest(call.text(0, reader)?.as_bytes()))))
    }),
    Converter::new("FNV", VALUE, Some(Kind::Int), |call, reader| {
        Ok(Value::Int(fnv1a(call.text(0, reader)?.as_bytes()).cast_signed()))
    }),
    Converter::new("Murmur3Hash", VALUE, Some(Kind::String), |call, reader| {
        Ok(Value::from(hex(&murmur3(call.text(0, reader)?.as_bytes()).to_le_bytes())))
    }),
    Converter::new("XXH3", VALUE, Some(Kind::String), |call, reader| {
        Ok(Value::from(format!("{:016x}", XxHash3_64::oneshot(call.text(0, reader)?.as_bytes()))))
    }),
    Converter::new("XXH128", VALUE, Some(Kind::String), |call, reader| {
        Ok(Value::from(format!("{:032x}", XxHash3_128::oneshot(call.text(0, reader)?.as_bytes()))))
    }),
];

/// FNV-1a of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// MurmurHash3 of 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix =
        |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0u32;
    for block in blocks {
        hash ^= mix(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let last = tail.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
    hash ^= mix(last);
    // The algorithm takes the length modulo 2^32.
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
