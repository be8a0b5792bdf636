//! Composite ML-DSA signatures (draft-ietf-lamps-pq-composite-sigs): ML-DSA and a classical
//! algorithm, both over the message representative
//!
//! ```text
//! M' = "CompositeAlgorithmSignatures2025" || label || len(ctx) || ctx || SHA-512(M)
//! ```
//!
//! with the label as ML-DSA context. Signature, public key and private seed are ML-DSA's followed by
//! the classical one's. A further composite is a further [`Composite`] row.

use aws_lc_rs::digest::{SHA512, digest};

use crate::ml_dsa::{self, Input, ParameterSet};
use crate::{CustodyError, Result, ed25519};

const PREFIX: &[u8] = b"CompositeAlgorithmSignatures2025";

/// One algorithm of the draft.
pub(crate) struct Composite {
    name: &'static str,
    label: &'static [u8],
    ml_dsa: &'static ParameterSet,
    classical: Classical,
}

/// The classical component.
#[derive(Clone, Copy)]
enum Classical {
    Ed25519,
}

pub(crate) static MLDSA65_ED25519_SHA512: Composite = Composite {
    name: "MLDSA65-Ed25519-SHA512",
    label: b"COMPSIG-MLDSA65-Ed25519-SHA512",
    ml_dsa: &ml_dsa::ML_DSA_65,
    classical: Classical::Ed25519,
};

/// Bytes of private content: ML-DSA seed, then the classical seed.
pub(crate) const SEEDS: usize = ml_dsa::SEED + ed25519::SEED;

impl Composite {
    fn representative(&self, message: &[u8], context: &[u8]) -> Vec<u8> {
        let length = u8::try_from(context.len()).expect("the context was checked to have at most 255 bytes");
        let hash = digest(&SHA512, message);
        [PREFIX, self.label, &[length], context, hash.as_ref()].concat()
    }
}

enum ClassicalSigningKey {
    Ed25519(ed25519::SigningKey),
}

/// Both private components.
pub(crate) struct SigningKey {
    composite: &'static Composite,
    ml_dsa: ml_dsa::SigningKey,
    classical: ClassicalSigningKey,
}

impl SigningKey {
    /// `seeds` is the ML-DSA seed and the classical seed. Returns the key and its public key.
    pub(crate) fn from_seeds(composite: &'static Composite, seeds: &[u8; SEEDS]) -> Result<(Self, Vec<u8>)> {
        let (ml_dsa_seed, classical_seed) = seeds.split_first_chunk().expect("the seeds are longer");
        let (ml_dsa, mut public) = ml_dsa::SigningKey::from_seed(composite.ml_dsa, ml_dsa_seed)?;
        let classical = match composite.classical {
            Classical::Ed25519 => {
                let seed = classical_seed.try_into().expect("the rest has 32 bytes");
                let key = ed25519::SigningKey::from_seed(seed)?;
                public.extend_from_slice(&key.public()?);
                ClassicalSigningKey::Ed25519(key)
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
        }
        Ok(signature)
    }
}

enum ClassicalVerifyingKey {
    Ed25519(ed25519::VerifyingKey),
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
        };
        Ok(Self {
            composite,
            ml_dsa,
            classical,
        })
    }

    /// Verdicts of the ML-DSA and the classical component.
    pub(crate) fn verify(&self, message: &[u8], context: &[u8], signature: &[u8]) -> [bool; 2] {
        let Some((ml_dsa, classical)) = signature.split_at_checked(self.composite.ml_dsa.signature) else {
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
        };
        [ml_dsa, classical]
    }
}
