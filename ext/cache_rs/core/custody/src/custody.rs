//! The root key of one data directory, and what is done with it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use zeroize::Zeroizing;

use crate::import::{self, Mechanism};
use crate::locked::{self, ROOTS, Secret};
use crate::mac_key::MacKey;
use crate::private_key::PrivateKey;
use crate::record::{self, Content, MAX_CONTENT};
use crate::seal::{self, Kind, ROOT};
use crate::{Algorithm, CustodyError, Result, kdf, key_material, random};

const MAC_INFO: &[u8] = b"ron-kms mac v1";
const MAC_KEY: usize = 32;
/// Labels whose keys are kept; others are derived at every use.
const MAC_KEYS_KEPT: usize = 32;

struct Root {
    key: Secret,
    macs: Vec<(String, Secret)>,
}

/// The root key, in locked memory that a fork keeps. `Debug` shows nothing of it.
pub struct Custody(RwLock<Option<Root>>);

impl std::fmt::Debug for Custody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Custody")
    }
}

impl Custody {
    fn holding(key: Secret) -> Self {
        Self(RwLock::new(Some(Root {
            key,
            macs: Vec::new(),
        })))
    }

    fn guard(&self) -> RwLockReadGuard<'_, Option<Root>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `operation` on the root key.
    fn with_root<T>(&self, operation: impl FnOnce(&Root) -> Result<T>) -> Result<T> {
        operation(self.guard().as_ref().ok_or_else(wiped)?)
    }

    /// Makes a fresh root key. Returns the custody and the seal file's content.
    ///
    /// `kind` is `passphrase`, `keyfile` or `dev`; `secret_path` names the passphrase or key file.
    ///
    /// # Errors
    /// `Input`: unknown kind, no path. `Seal`: unreadable, open to others, too short; no memory to lock.
    pub fn create(kind: &str, secret_path: Option<&str>) -> Result<(Self, Vec<u8>)> {
        let kind = Kind::from_name(kind)?;
        let mut key = ROOTS.secret(ROOT)?;
        random::fill(key.bytes_mut()?);
        let seal = seal::make(&key, kind, secret_path)?;
        Ok((Self::holding(key), seal))
    }

    /// Opens a seal made by `create` or `reseal`.
    ///
    /// # Errors
    /// `Seal`: wrong secret, other kind, damaged; and as `create`.
    pub fn open(seal: &[u8], kind: &str, secret_path: Option<&str>) -> Result<Self> {
        Ok(Self::holding(seal::open(
            seal,
            Kind::from_name(kind)?,
            secret_path,
        )?))
    }

    /// The same root key under a new seal.
    ///
    /// # Errors
    /// As `create`.
    pub fn reseal(&self, kind: &str, secret_path: Option<&str>) -> Result<Vec<u8>> {
        let kind = Kind::from_name(kind)?;
        self.with_root(|root| seal::make(&root.key, kind, secret_path))
    }

    /// To be called in each child after a fork: memory locks are not inherited.
    ///
    /// # Errors
    /// `Seal`: the limit on locked memory is too low.
    pub fn relock(&self) -> Result<()> {
        locked::relock()
    }

    /// Zeroizes the root key in this process; later calls fail with `Seal`.
    pub fn wipe(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// HMAC-SHA-256 under a key derived from the root key and `label`.
    ///
    /// # Errors
    /// `Seal` after `wipe`.
    pub fn mac(&self, label: &str, data: &[u8]) -> Result<[u8; 32]> {
        {
            let guard = self.guard();
            let root = guard.as_ref().ok_or_else(wiped)?;
            if let Some((_, key)) = root.macs.iter().find(|(known, _)| known == label) {
                return Ok(kdf::hmac(key.bytes()?, data));
            }
        }
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let root = guard.as_mut().ok_or_else(wiped)?;
        let mut key = ROOTS.secret(MAC_KEY)?;
        kdf::hkdf(
            &[],
            root.key.bytes()?,
            &[MAC_INFO, label.as_bytes()],
            key.bytes_mut()?,
        );
        let tag = kdf::hmac(key.bytes()?, data);
        if root.macs.len() < MAC_KEYS_KEPT && root.macs.iter().all(|(known, _)| known != label) {
            root.macs.push((label.to_owned(), key));
        }
        Ok(tag)
    }

    /// Seals 1 to 65,536 bytes bound to `identity`.
    ///
    /// # Errors
    /// `Input`: empty or too long. `Seal` after `wipe`.
    pub fn seal_secret(&self, secret: &[u8], identity: &[u8]) -> Result<Vec<u8>> {
        if !(1..=MAX_CONTENT).contains(&secret.len()) {
            return Err(CustodyError::input("a sealed secret has 1 to 65536 bytes"));
        }
        self.with_root(|root| Ok(record::seal(root.key.bytes()?, Content::Opaque, identity, secret)))
    }

    /// Inverse of `seal_secret`.
    ///
    /// # Errors
    /// `DamagedRecord`. `Seal` after `wipe`.
    pub fn open_secret(&self, sealed: &[u8], identity: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        match self.open_record(sealed, identity)? {
            (Content::Opaque, secret) => Ok(Zeroizing::new(secret.bytes()?.to_vec())),
            _ => Err(CustodyError::damaged(
                "the sealed record holds a key, not a secret",
            )),
        }
    }

    /// Makes a key of keyed digests. Returns the sealed record.
    ///
    /// # Errors
    /// `Full`. `Seal` after `wipe`.
    pub fn generate_mac_key(&self, identity: &[u8]) -> Result<Vec<u8>> {
        let key = MacKey::generate()?;
        self.with_root(|root| {
            Ok(record::seal(
                root.key.bytes()?,
                Content::MacKey,
                identity,
                key.bytes()?,
            ))
        })
    }

    /// Opens what `generate_mac_key` gave. The key stays usable over a fork.
    ///
    /// # Errors
    /// `DamagedRecord`, `Full`. `Seal` after `wipe`.
    pub fn unseal_mac_key(&self, sealed: &[u8], identity: &[u8]) -> Result<MacKey> {
        let damaged = || CustodyError::damaged("the sealed record holds no digest key");
        match self.open_record(sealed, identity)? {
            (Content::MacKey, content) => MacKey::from_content(content)?.ok_or_else(damaged),
            _ => Err(damaged()),
        }
    }

    /// Generates a key. Returns the sealed record and the public key: raw for Ed25519, ML-DSA, the
    /// composites (ML-DSA || Ed25519 or uncompressed point) and X-Wing, SubjectPublicKeyInfo DER for EC and RSA-3072, empty
    /// for AES.
    ///
    /// # Errors
    /// `Full`. `Seal` after `wipe`.
    pub fn generate(&self, algorithm: Algorithm, identity: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        self.seal_key(algorithm, &key_material::generate(algorithm)?, identity)
    }

    /// Opens a record into locked memory.
    ///
    /// # Errors
    /// `DamagedRecord`, `Full`. `Seal` after `wipe`.
    pub fn unseal(&self, sealed: &[u8], identity: &[u8]) -> Result<PrivateKey> {
        match self.open_record(sealed, identity)? {
            (Content::Key(algorithm), content) => PrivateKey::from_content(algorithm, content),
            _ => Err(CustodyError::damaged("the sealed record holds no key")),
        }
    }

    /// Makes a one-time wrapping key. Returns the sealed private part and the public part:
    /// SubjectPublicKeyInfo DER for RSA, 1,216 raw bytes for X-Wing.
    ///
    /// # Errors
    /// `Full`. `Seal` after `wipe`.
    pub fn import_params(&self, mechanism: Mechanism, identity: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let (private, public) = import::generate(mechanism)?;
        let sealed = self.with_root(|root| {
            Ok(record::seal(
                root.key.bytes()?,
                Content::ImportKey(mechanism),
                identity,
                private.bytes()?,
            ))
        })?;
        Ok((sealed, public))
    }

    /// Unwraps key material that was wrapped to `params` and seals it. Returns what `generate` does.
    ///
    /// Key material: PKCS#8 DER for Ed25519, EC, RSA of 2048 to 4096 bits and ML-DSA (RFC 9881, with a
    /// seed); ML-DSA seed || Ed25519 seed or `ECPrivateKey`, raw or in PKCS#8, for the composites; 32
    /// raw bytes for AES and X-Wing.
    ///
    /// # Errors
    /// `DamagedRecord`: `params` is not what `import_params` gave for this mechanism and identity.
    /// `Unwrap`: `wrapped` is not wrapped to it. `KeyMaterial`: not a key of the algorithm. `Full`.
    pub fn import_key(
        &self,
        mechanism: Mechanism,
        params: &[u8],
        params_identity: &[u8],
        wrapped: &[u8],
        algorithm: Algorithm,
        identity: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let private = match self.open_record(params, params_identity)? {
            (Content::ImportKey(sealed_for), private) if sealed_for == mechanism => private,
            _ => {
                return Err(CustodyError::damaged(
                    "the import parameters belong to another mechanism",
                ));
            }
        };
        let material = import::unwrap(mechanism, &private, wrapped)?;
        let content = key_material::import(algorithm, material.bytes()?)?;
        self.seal_key(algorithm, &content, identity)
    }

    fn open_record(&self, sealed: &[u8], identity: &[u8]) -> Result<(Content, Secret)> {
        self.with_root(|root| record::open(root.key.bytes()?, identity, sealed))
    }

    fn seal_key(
        &self,
        algorithm: Algorithm,
        content: &Secret,
        identity: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let public = PrivateKey::public_of(algorithm, content)?;
        let sealed = self.with_root(|root| {
            Ok(record::seal(
                root.key.bytes()?,
                Content::Key(algorithm),
                identity,
                content.bytes()?,
            ))
        })?;
        Ok((sealed, public))
    }
}

fn wiped() -> CustodyError {
    CustodyError::seal("the root key was wiped in this process: open the seal again")
}
