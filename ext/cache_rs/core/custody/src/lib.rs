//! Key custody: sealed records, locked memory, signing, wrapping. No PyO3 here.
//!
//! Invariants:
//! - Plain private key bytes of Ed25519, ML-DSA, AES and X-Wing, and the root key, rest in
//!   [`locked`] memory only: locked, left out of core dumps, zeroized when dropped.
//! - EC and RSA private keys, those in composites too, rest on the AWS-LC heap, which is zeroized
//!   when freed but neither locked nor left out of core dumps by itself (the process is made
//!   undumpable instead).
//! - No error message, `Debug` or `Display` carries a secret.
//! - Randomness comes from the operating system at every use; no generator state outlives a fork.

#![warn(missing_docs)]

mod aead;
mod algorithm;
mod batch;
mod composite;
mod custody;
mod ecdsa;
mod ed25519;
mod error;
mod import;
mod integer_pair;
mod kdf;
mod key_material;
mod key_wrap;
#[cfg(test)]
mod known_answers;
pub mod locked;
mod mac_key;
mod message_digest;
mod ml_dsa;
#[cfg(test)]
mod plain_bytes;
mod private_key;
mod process;
mod public_key;
mod random;
mod record;
mod rsa_pss;
mod seal;
mod secret_file;
mod stack;
mod xwing;

pub use algorithm::{Algorithm, InputKind};
pub use batch::{BatchItem, Priority, sign_batch, verify_batch};
pub use custody::Custody;
pub use error::CustodyError;
pub use import::Mechanism;
pub use mac_key::MacKey;
pub use message_digest::sha256_digest;
pub use private_key::{PrivateKey, SignOptions};
pub use process::harden_process;
pub use public_key::{PublicKey, Verdict, VerifyOptions};

/// Result of every fallible operation of this crate.
pub type Result<T> = core::result::Result<T, CustodyError>;
