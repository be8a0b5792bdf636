//! Algorithm names and their fixed properties.

use crate::{CustodyError, Result, composite};

/// Longest context string of ML-DSA and the composites, in bytes (FIPS 204).
pub(crate) const MAX_CONTEXT: usize = 255;

/// Every key algorithm of the custody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5).
    Es256,
    /// ECDSA on P-384 with SHA-384 (FIPS 186-5).
    Es384,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and a 32-byte salt (RFC 8017).
    Ps256,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
    /// ML-DSA-87 (FIPS 204).
    MlDsa87,
    /// MLDSA44-Ed25519-SHA512 (draft-ietf-lamps-pq-composite-sigs).
    MlDsa44Ed25519Sha512,
    /// MLDSA65-Ed25519-SHA512 (as above).
    MlDsa65Ed25519Sha512,
    /// MLDSA65-ECDSA-P256-SHA512 (as above).
    MlDsa65EcdsaP256Sha512,
    /// MLDSA87-ECDSA-P384-SHA512 (as above).
    MlDsa87EcdsaP384Sha512,
    /// Envelope encryption with AES-256-GCM under a derived message key.
    Aes256Gcm,
    /// AES key wrap with padding (RFC 5649), 256-bit key.
    AesKwp,
    /// X-Wing (X25519 + ML-KEM-768) through HPKE (RFC 9180).
    XWing,
}

/// What the bytes given to sign or verify are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// The message itself.
    Message,
    /// Its SHA-256 digest, 32 bytes (ES256, PS256).
    Sha256,
    /// Its SHA-384 digest, 48 bytes (ES384).
    Sha384,
    /// The ML-DSA message representative *mu*, 64 bytes (FIPS 204, algorithm 7, line 6).
    Mu,
}

impl Algorithm {
    /// All algorithms, in the order of their documentation.
    pub const ALL: [Self; 14] = [
        Self::Ed25519,
        Self::Es256,
        Self::Es384,
        Self::Ps256,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
        Self::MlDsa44Ed25519Sha512,
        Self::MlDsa65Ed25519Sha512,
        Self::MlDsa65EcdsaP256Sha512,
        Self::MlDsa87EcdsaP384Sha512,
        Self::Aes256Gcm,
        Self::AesKwp,
        Self::XWing,
    ];

    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
            Self::MlDsa44Ed25519Sha512 => "MLDSA44-Ed25519-SHA512",
            Self::MlDsa65Ed25519Sha512 => "MLDSA65-Ed25519-SHA512",
            Self::MlDsa65EcdsaP256Sha512 => "MLDSA65-ECDSA-P256-SHA512",
            Self::MlDsa87EcdsaP384Sha512 => "MLDSA87-ECDSA-P384-SHA512",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::AesKwp => "AES-KWP",
            Self::XWing => "X-Wing",
        }
    }

    /// The algorithm of that name.
    ///
    /// # Errors
    /// `Input` if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|algorithm| algorithm.name()).collect();
                CustodyError::input(format!("unknown algorithm; one of {}", known.join(", ")))
            })
    }

    /// Content type in a sealed record (docs/formats/sealed-record.md).
    pub(crate) const fn content_type(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Es256 => 0x02,
            Self::Es384 => 0x03,
            Self::Ps256 => 0x04,
            Self::MlDsa44 => 0x05,
            Self::MlDsa65 => 0x06,
            Self::MlDsa87 => 0x07,
            Self::MlDsa65Ed25519Sha512 => 0x08,
            Self::MlDsa44Ed25519Sha512 => 0x09,
            Self::MlDsa65EcdsaP256Sha512 => 0x0A,
            Self::MlDsa87EcdsaP384Sha512 => 0x0B,
            Self::Aes256Gcm => 0x10,
            Self::AesKwp => 0x11,
            Self::XWing => 0x12,
        }
    }

    pub(crate) fn from_content_type(content_type: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.content_type() == content_type)
    }

    /// True where a key of this algorithm makes signatures.
    pub const fn signs(self) -> bool {
        !matches!(self, Self::Aes256Gcm | Self::AesKwp | Self::XWing)
    }
}

impl InputKind {
    /// The kind of that name: `message`, `sha256`, `sha384` or `mu`.
    ///
    /// # Errors
    /// `Input` if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "message" => Ok(Self::Message),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "mu" => Ok(Self::Mu),
            _ => Err(CustodyError::input(
                "unknown input kind; one of message, sha256, sha384, mu",
            )),
        }
    }
}

/// Checks input kind, its length and the context against what the algorithm takes.
///
/// # Errors
/// `Input`.
pub(crate) fn check_input(algorithm: Algorithm, input: &[u8], kind: InputKind, context: &[u8]) -> Result<()> {
    use Algorithm::{Es256, Es384, MlDsa44, MlDsa65, MlDsa87, Ps256};
    let length = match (kind, algorithm) {
        (InputKind::Message, _) => None,
        (InputKind::Sha256, Es256 | Ps256) => Some(32),
        (InputKind::Sha384, Es384) => Some(48),
        (InputKind::Mu, MlDsa44 | MlDsa65 | MlDsa87) => Some(64),
        _ => {
            return Err(CustodyError::input(format!(
                "{} does not take this kind of input; send the message",
                algorithm.name()
            )));
        }
    };
    if length.is_some_and(|length| input.len() != length) {
        return Err(CustodyError::input("the digest or mu has the wrong length"));
    }
    if !context.is_empty() {
        if !matches!(algorithm, MlDsa44 | MlDsa65 | MlDsa87) && composite::row(algorithm).is_none() {
            return Err(CustodyError::input(format!(
                "{} takes no context",
                algorithm.name()
            )));
        }
        if kind == InputKind::Mu {
            return Err(CustodyError::input(
                "mu already contains the context; leave the context empty",
            ));
        }
        if context.len() > MAX_CONTEXT {
            return Err(CustodyError::input("the context is longer than 255 bytes"));
        }
    }
    Ok(())
}
