//! Composite ML-DSA signatures (draft-ietf-lamps-pq-composite-sigs, vectors of commit 60fcb1e): ML-DSA
//! and a classical algorithm, both over the message representative
//!
//! ```text
//! M' = "CompositeAlgorithmSignatures2025" || label || len(ctx) || ctx || SHA-512(M)
//! ```
//!
//! with the label as ML-DSA context (sections "Prefix, Label, and CTX" and "Sign"). Signature, public
//! key and private content are ML-DSA's followed by the classical one's (section "Serialization"). A
//! further composite is a further [`Composite`] row.

use aws_lc_rs::digest::{SHA512, digest};
use pkcs8::ObjectIdentifier;

use crate::ecdsa::{self, Curve, P256, P384};
use crate::locked::{KEYS, Secret};
use crate::ml_dsa::{self, Input, ML_DSA_44, ML_DSA_65, ML_DSA_87, ParameterSet};
use crate::{Algorithm, CustodyError, Result, ed25519, random};

const PREFIX: &[u8] = b"CompositeAlgorithmSignatures2025";

/// One algorithm of the draft that hashes with SHA-512 (its list of algorithm parameters).
pub(crate) struct Composite {
    name: &'static str,
    label: &'static [u8],
    oid: ObjectIdentifier,
    ml_dsa: &'static ParameterSet,
    classical: Classical,
}

/// The classical component.
#[derive(Clone, Copy)]
enum Classical {
    Ed25519,
    /// With the curve's own hash over M'.
    Ecdsa(&'static Curve),
}

static MLDSA44_ED25519_SHA512: Composite = Composite {
    name: "MLDSA44-Ed25519-SHA512",
    label: b"COMPSIG-MLDSA44-Ed25519-SHA512",
    oid: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.6.39"),
    ml_dsa: &ML_DSA_44,
    classical: Classical::Ed25519,
};

static MLDSA65_ECDSA_P256_SHA512: Composite = Composite {
    name: "MLDSA65-ECDSA-P256-SHA512",
    label: b"COMPSIG-MLDSA65-ECDSA-P256-SHA512",
    oid: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.6.45"),
    ml_dsa: &ML_DSA_65,
    classical: Classical::Ecdsa(&P256),
};

static MLDSA65_ED25519_SHA512: Composite = Composite {
    name: "MLDSA65-Ed25519-SHA512",
    label: b"COMPSIG-MLDSA65-Ed25519-SHA512",
    oid: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.6.48"),
    ml_dsa: &ML_DSA_65,
    classical: Classical::Ed25519,
};

static MLDSA87_ECDSA_P384_SHA512: Composite = Composite {
    name: "MLDSA87-ECDSA-P384-SHA512",
    label: b"COMPSIG-MLDSA87-ECDSA-P384-SHA512",
    oid: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.6.49"),
    ml_dsa: &ML_DSA_87,
    classical: Classical::Ecdsa(&P384),
};

/// The row of an algorithm, if it is a composite.
pub(crate) fn row(algorithm: Algorithm) -> Option<&'static Composite> {
    match algorithm {
        Algorithm::MlDsa44Ed25519Sha512 => Some(&MLDSA44_ED25519_SHA512),
        Algorithm::MlDsa65EcdsaP256Sha512 => Some(&MLDSA65_ECDSA_P256_SHA512),
        Algorithm::MlDsa65Ed25519Sha512 => Some(&MLDSA65_ED25519_SHA512),
        Algorithm::MlDsa87EcdsaP384Sha512 => Some(&MLDSA87_ECDSA_P384_SHA512),
        _ => None,
    }
}

impl Composite {
    /// The algorithm identifier of its keys.
    pub(crate) fn oid(&self) -> ObjectIdentifier {
        self.oid
    }

    /// Bytes of private content: the ML-DSA seed, then an Ed25519 seed or an `ECPrivateKey` (RFC 5915)
    /// with named curve and without public key.
    pub(crate) fn private(&self) -> usize {
        ml_dsa::SEED
            + match self.classical {
                Classical::Ed25519 => ed25519::SEED,
                Classical::Ecdsa(curve) => curve.ec_private_key(),
            }
    }

    /// Fresh private content.
    pub(crate) fn generate(&self) -> Result<Secret> {
        let mut content = KEYS.secret(self.private())?;
        let (seed, classical) = content.bytes_mut()?.split_at_mut(ml_dsa::SEED);
        random::fill(seed);
        match self.classical {
            Classical::Ed25519 => random::fill(classical),
            Classical::Ecdsa(curve) => ecdsa::SigningKey::generate(curve)?.write_ec_private_key(classical)?,
        }
        Ok(content)
    }

    fn representative(&self, message: &[u8], context: &[u8]) -> Vec<u8> {
        let length = u8::try_from(context.len()).expect("the context was checked to have at most 255 bytes");
        let hash = digest(&SHA512, message);
        [PREFIX, self.label, &[length], context, hash.as_ref()].concat()
    }
}

enum ClassicalSigningKey {
    Ed25519(ed25519::SigningKey),
    Ecdsa(ecdsa::SigningKey),
}

/// Both private components.
pub(crate) struct SigningKey {
    composite: &'static Composite,
    ml_dsa: ml_dsa::SigningKey,
    classical: ClassicalSigningKey,
}

impl SigningKey {
    /// Returns the key of private content (see [`Composite::private`]) and its public key.
    ///
    /// # Errors
    /// `KeyMaterial`: wrong length, or no private key of the curve in the draft's one encoding.
    pub(crate) fn from_private(composite: &'static Composite, private: &[u8]) -> Result<(Self, Vec<u8>)> {
        let refused = || {
            CustodyError::key_material(format!(
                "a {} private key has {} bytes",
                composite.name,
                composite.private()
            ))
        };
        let (seed, rest) = private.split_first_chunk().ok_or_else(refused)?;
        let (ml_dsa, mut public) = ml_dsa::SigningKey::from_seed(composite.ml_dsa, seed)?;
        let classical = match composite.classical {
            Classical::Ed25519 => {
                let key = ed25519::SigningKey::from_seed(rest.try_into().map_err(|_| refused())?)?;
                public.extend_from_slice(&key.public()?);
                ClassicalSigningKey::Ed25519(key)
            }
            Classical::Ecdsa(curve) => {
                let key = ecdsa::SigningKey::from_ec_private_key(curve, rest)?;
                public.extend_from_slice(&key.public_point()?);
                ClassicalSigningKey::Ecdsa(key)
            }
        };
        Ok((
            Self {
                composite,
                ml_dsa,
                classical,
            },
            public,
        ))
    }

    /// The ML-DSA component.
    #[cfg(test)]
    pub(crate) fn ml_dsa(&self) -> &ml_dsa::SigningKey {
        &self.ml_dsa
    }

    /// True if both components can sign without randomness.
    pub(crate) fn can_be_deterministic(&self) -> bool {
        matches!(self.classical, ClassicalSigningKey::Ed25519(_))
    }

    /// ML-DSA is hedged unless `deterministic`.
    pub(crate) fn sign(&self, message: &[u8], context: &[u8], deterministic: bool) -> Result<Vec<u8>> {
        let representative = self.composite.representative(message, context);
        let mut signature = vec![0; self.composite.ml_dsa.signature];
        let input = Input::Message {
            message: &representative,
            context: self.composite.label,
        };
        self.ml_dsa.sign(input, deterministic, &mut signature)?;
        match &self.classical {
            ClassicalSigningKey::Ed25519(key) => {
                let mut classical = [0; ed25519::SIGNATURE];
                key.sign(&representative, &mut classical)?;
                signature.extend_from_slice(&classical);
            }
            ClassicalSigningKey::Ecdsa(key) => {
                signature.extend(key.sign(ecdsa::Input::Message(&representative), false)?);
            }
        }
        Ok(signature)
    }
}

enum ClassicalVerifyingKey {
    Ed25519(ed25519::VerifyingKey),
    Ecdsa(ecdsa::VerifyingKey),
}

/// Both public components.
pub(crate) struct VerifyingKey {
    composite: &'static Composite,
    ml_dsa: ml_dsa::VerifyingKey,
    classical: ClassicalVerifyingKey,
}

impl VerifyingKey {
    /// # Errors
    /// `KeyMaterial`: wrong length, or a component is refused.
    pub(crate) fn parse(composite: &'static Composite, public: &[u8]) -> Result<Self> {
        let (ml_dsa, classical) = public.split_at_checked(composite.ml_dsa.public).ok_or_else(|| {
            CustodyError::key_material(format!("the {} public key is too short", composite.name))
        })?;
        let ml_dsa = ml_dsa::VerifyingKey::parse(composite.ml_dsa, ml_dsa)?;
        let classical = match composite.classical {
            Classical::Ed25519 => ClassicalVerifyingKey::Ed25519(ed25519::VerifyingKey::parse(classical)?),
            Classical::Ecdsa(curve) => {
                ClassicalVerifyingKey::Ecdsa(ecdsa::VerifyingKey::from_point(curve, classical)?)
            }
        };
        Ok(Self {
            composite,
            ml_dsa,
            classical,
        })
    }

    /// Verdicts of the ML-DSA and the classical component. What is not the two of them in a row, as a
    /// signature cut down to one, has no good component: no verify mode may take it.
    pub(crate) fn verify(&self, message: &[u8], context: &[u8], signature: &[u8]) -> [bool; 2] {
        let Some((ml_dsa, classical)) = signature
            .split_at_checked(self.composite.ml_dsa.signature)
            .filter(|(_, classical)| self.is_well_formed(classical))
        else {
            return [false, false];
        };
        let representative = self.composite.representative(message, context);
        let input = Input::Message {
            message: &representative,
            context: self.composite.label,
        };
        let ml_dsa = self.ml_dsa.verify(input, ml_dsa);
        let classical = match &self.classical {
            ClassicalVerifyingKey::Ed25519(key) => key.verify(&representative, classical),
            ClassicalVerifyingKey::Ecdsa(key) => {
                key.verify(ecdsa::Input::Message(&representative), classical, false)
            }
        };
        [ml_dsa, classical]
    }

    fn is_well_formed(&self, classical: &[u8]) -> bool {
        match &self.classical {
            ClassicalVerifyingKey::Ed25519(_) => classical.len() == ed25519::SIGNATURE,
            ClassicalVerifyingKey::Ecdsa(key) => key.is_well_formed(classical),
        }
    }
}
