//! Who we are, by SASL: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// A broker that asks for more rounds would keep a processor busy for seconds; one that asks for
/// fewer (RFC 7677, section 4) gets a proof from which the password is soon guessed.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1 << 20;

/// How a user proves who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself; only over TLS.
    Plain,
    /// A proof that the password is known.
    ScramSha256,
    /// The same.
    ScramSha512,
}

impl Mechanism {
    /// By its registered name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How he proves it.
    pub mechanism: Mechanism,
    /// His name.
    pub username: String,
    /// His password.
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.mechanism.name(), self.username)
    }
}

/// The one message of PLAIN.
pub(crate) fn plain(sasl: &Sasl) -> Vec<u8> {
    [b"\0", sasl.username.as_bytes(), b"\0", sasl.password.as_bytes()].concat()
}

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn mac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        // A key may have any length.
        match self {
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .map(|mac| mac.chain_update(bytes).finalize().into_bytes().to_vec())
                .unwrap_or_default(),
            Self::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .map(|mac| mac.chain_update(bytes).finalize().into_bytes().to_vec())
                .unwrap_or_default(),
        }
    }

    /// PBKDF2 of one block.
    fn stretch(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut last = self.mac(password, &[salt, &[0, 0, 0, 1]].concat());
        let mut sum = last.clone();
        for _ in 1..iterations {
            last = self.mac(password, &last);
            xor(&mut sum, &last);
        }
        sum
    }
}

fn xor(sum: &mut [u8], with: &[u8]) {
    sum.iter_mut().zip(with).for_each(|(sum, with)| *sum ^= with);
}

/// A conversation of SCRAM, from our side.
pub(crate) struct Scram {
    hash: Hash,
    password: String,
    nonce: String,
    first: String,
}

/// What we say last, and what the broker must say then.
pub(crate) struct Proof {
    pub(crate) message: Vec<u8>,
    signature: Vec<u8>,
}

impl Scram {
    /// `None` for mechanisms that are none of SCRAM's.
    pub(crate) fn new(sasl: &Sasl) -> Option<Self> {
        let mut random = [0; 24];
        rand::rng().fill_bytes(&mut random);
        Self::with_nonce(sasl, STANDARD.encode(random))
    }

    fn with_nonce(sasl: &Sasl, nonce: String) -> Option<Self> {
        let hash = match sasl.mechanism {
            Mechanism::Plain => return None,
            Mechanism::ScramSha256 => Hash::Sha256,
            Mechanism::ScramSha512 => Hash::Sha512,
        };
        let name = sasl.username.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={name},r={nonce}");
        Some(Self { hash, password: sasl.password.clone(), nonce, first })
    }

    /// What we say first.
    pub(crate) fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first).into_bytes()
    }

    /// What we say to the broker's first message. Computes for a while.
    pub(crate) fn prove(&self, challenge: &[u8]) -> Result<Proof, &'static str> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "its challenge is no text")?;
        let part = |name: &str| {
            challenge.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let nonce = part("r").filter(|nonce| {
            nonce.len() > self.nonce.len() && nonce.starts_with(self.nonce.as_str())
        });
        let nonce = nonce.ok_or("its challenge does not go on from ours")?;
        let salt = part("s").and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.ok_or("its challenge has no salt")?;
        let iterations = part("i").and_then(|number| number.parse().ok());
        let iterations = iterations
            .filter(|number| ITERATIONS.contains(number))
            .ok_or("it asks for an impossible number of rounds")?;
        let hash = self.hash;
        let salted = hash.stretch(self.password.as_bytes(), &salt, iterations);
        let client_key = hash.mac(&salted, b"Client Key");
        let stored_key = hash.digest(&client_key);
        let last = format!("c=biws,r={nonce}");
        let all = format!("{},{challenge},{last}", self.first);
        let mut proof = client_key;
        xor(&mut proof, &hash.mac(&stored_key, all.as_bytes()));
        let signature = hash.mac(&hash.mac(&salted, b"Server Key"), all.as_bytes());
        let message = format!("{last},p={}", STANDARD.encode(proof)).into_bytes();
        Ok(Proof { message, signature })
    }
}

impl Proof {
    /// Whether the broker, too, knows the password.
    pub(crate) fn holds(&self, last: &[u8]) -> bool {
        let signature = last.strip_prefix(b"v=").and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| signature.ct_eq(&self.signature).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conversation in RFC 7677, section 3.
    #[test]
    fn the_rfcs_example_holds() {
        let sasl = Sasl {
            mechanism: Mechanism::ScramSha256,
            username: "user".to_owned(),
            password: "pencil".to_owned(),
        };
        let scram = Scram::with_nonce(&sasl, "rOprNGfwEbeRWgbNEkqO".to_owned()).unwrap();
        assert_eq!(scram.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                          s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = scram.prove(challenge).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(proof.message, expected.as_bytes());
        assert!(proof.holds(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proof.holds(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
        for wrong in [
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000000000",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
            "",
        ] {
            assert!(scram.prove(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
