//! Validated public keys and verification.

use crate::algorithm::check_input;
use crate::ecdsa::{self, P256, P384};
use crate::private_key::{ecdsa_input, ml_dsa_input, parameters};
use crate::{Algorithm, CustodyError, InputKind, Result, composite, ed25519, ml_dsa, rsa_pss, xwing};

enum Material {
    Ed25519(ed25519::VerifyingKey),
    Ecdsa(ecdsa::VerifyingKey),
    RsaPss(rsa_pss::VerifyingKey),
    MlDsa(ml_dsa::VerifyingKey),
    Composite(composite::VerifyingKey),
    /// X-Wing: nothing to verify with.
    Encapsulation,
}

/// One verdict per component of the algorithm: one, or (ML-DSA, classical) for a composite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    components: [bool; 2],
    count: usize,
}

impl Verdict {
    fn one(valid: bool) -> Self {
        Self {
            components: [valid, false],
            count: 1,
        }
    }

    /// The positive verdict of an algorithm with one component.
    pub(crate) fn valid() -> Self {
        Self::one(true)
    }

    fn two(components: [bool; 2]) -> Self {
        Self { components, count: 2 }
    }

    /// The verdicts, in the order of the components.
    pub fn components(&self) -> &[bool] {
        &self.components[..self.count]
    }

    /// True if every component verified.
    pub fn all(&self) -> bool {
        self.components().iter().all(|&valid| valid)
    }
}

/// What `verify` may be told beside message and signature.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions<'a> {
    /// At most 255 bytes; ML-DSA and the composites only.
    pub context: &'a [u8],
    /// What the input is.
    pub kind: InputKind,
    /// ECDSA: the signature is r||s instead of DER.
    pub p1363: bool,
}

impl Default for VerifyOptions<'_> {
    fn default() -> Self {
        Self {
            context: &[],
            kind: InputKind::Message,
            p1363: false,
        }
    }
}

/// A parsed, validated public key.
pub struct PublicKey {
    algorithm: Algorithm,
    material: Material,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PublicKey({})", self.algorithm.name())
    }
}

impl PublicKey {
    /// Parses a public key in the encoding of `Custody::generate`.
    ///
    /// # Errors
    /// `KeyMaterial`: wrong length or encoding, not on the curve, small order or non-canonical
    /// (Ed25519), RSA modulus or exponent out of range, an algorithm without public keys.
    pub fn parse(algorithm: Algorithm, public: &[u8]) -> Result<Self> {
        let material = match algorithm {
            Algorithm::Ed25519 => Material::Ed25519(ed25519::VerifyingKey::parse(public)?),
            Algorithm::Es256 => Material::Ecdsa(ecdsa::VerifyingKey::parse(&P256, public)?),
            Algorithm::Es384 => Material::Ecdsa(ecdsa::VerifyingKey::parse(&P384, public)?),
            Algorithm::Ps256 => Material::RsaPss(rsa_pss::VerifyingKey::parse(public)?),
            Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
                Material::MlDsa(ml_dsa::VerifyingKey::parse(parameters(algorithm), public)?)
            }
            Algorithm::MlDsa44Ed25519Sha512
            | Algorithm::MlDsa65Ed25519Sha512
            | Algorithm::MlDsa65EcdsaP256Sha512
            | Algorithm::MlDsa87EcdsaP384Sha512 => {
                let row = composite::row(algorithm).expect("a composite");
                Material::Composite(composite::VerifyingKey::parse(row, public)?)
            }
            Algorithm::XWing => {
                xwing::check_public(public)?;
                Material::Encapsulation
            }
            Algorithm::Aes256Gcm | Algorithm::AesKwp => {
                return Err(CustodyError::key_material(format!(
                    "{} has no public keys",
                    algorithm.name()
                )));
            }
        };
        Ok(Self { algorithm, material })
    }

    /// The key's algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies. A malformed signature is a negative verdict, not an error.
    ///
    /// # Errors
    /// `Input`: the algorithm does not verify, or does not take this kind, length or context.
    pub fn verify(&self, input: &[u8], signature: &[u8], options: VerifyOptions<'_>) -> Result<Verdict> {
        check_input(self.algorithm, input, options.kind, options.context)?;
        if options.p1363 && !matches!(self.material, Material::Ecdsa(_)) {
            return Err(CustodyError::input(
                "p1363 is a signature format of ES256 and ES384 only",
            ));
        }
        Ok(match &self.material {
            Material::Ed25519(key) => Verdict::one(key.verify(input, signature)),
            Material::Ecdsa(key) => {
                Verdict::one(key.verify(ecdsa_input(input, options.kind), signature, options.p1363))
            }
            Material::RsaPss(key) => Verdict::one(key.verify(ecdsa_input(input, options.kind), signature)),
            Material::MlDsa(key) => {
                Verdict::one(key.verify(ml_dsa_input(input, options.kind, options.context), signature))
            }
            Material::Composite(key) => Verdict::two(key.verify(input, options.context, signature)),
            Material::Encapsulation => {
                return Err(CustodyError::input("a key of X-Wing does not verify"));
            }
        })
    }

    /// The key as Ed25519, if it is one.
    pub(crate) fn as_ed25519(&self) -> Option<&ed25519::VerifyingKey> {
        match &self.material {
            Material::Ed25519(key) => Some(key),
            _ => None,
        }
    }
}
