//! ECDSA on P-256 with SHA-256 and on P-384 with SHA-384 (FIPS 186-5), by AWS-LC.

use aws_lc_rs::digest::{Digest, SHA256, SHA384};
use aws_lc_rs::encoding::{
    AsBigEndian, AsDer, EcPrivateKeyBin, EcPublicKeyUncompressedBin, PublicKeyX509Der,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair, ParsedPublicKey,
};
use pkcs8::ObjectIdentifier;
use pkcs8::der::Decode;
use pkcs8::spki::SubjectPublicKeyInfoRef;

use crate::locked::{KEYS, Secret};
use crate::{CustodyError, Result, integer_pair};

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A curve with the digest that goes with it.
pub(crate) struct Curve {
    name: &'static str,
    oid: ObjectIdentifier,
    scalar: usize,
    /// Of `ECPrivateKey` (RFC 5915) with named curve and without public key: DER before and after the scalar.
    private_frame: [&'static [u8]; 2],
    digest: &'static aws_lc_rs::digest::Algorithm,
    signing: &'static EcdsaSigningAlgorithm,
    verification_der: &'static EcdsaVerificationAlgorithm,
    verification_p1363: &'static EcdsaVerificationAlgorithm,
}

pub(crate) static P256: Curve = Curve {
    name: "ES256",
    oid: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
    scalar: 32,
    private_frame: [
        b"\x30\x31\x02\x01\x01\x04\x20",
        b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    ],
    digest: &SHA256,
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    verification_der: &ECDSA_P256_SHA256_ASN1,
    verification_p1363: &ECDSA_P256_SHA256_FIXED,
};

pub(crate) static P384: Curve = Curve {
    name: "ES384",
    oid: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
    scalar: 48,
    private_frame: [
        b"\x30\x3e\x02\x01\x01\x04\x30",
        b"\xa0\x07\x06\x05\x2b\x81\x04\x00\x22",
    ],
    digest: &SHA384,
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    verification_der: &ECDSA_P384_SHA384_ASN1,
    verification_p1363: &ECDSA_P384_SHA384_FIXED,
};

impl Curve {
    /// Bytes of an `ECPrivateKey` with named curve and without public key.
    pub(crate) fn ec_private_key(&self) -> usize {
        self.private_frame[0].len() + self.scalar + self.private_frame[1].len()
    }
}

/// What is signed: the message, or its digest with the curve's hash.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    Message(&'a [u8]),
    Digest(&'a [u8]),
}

fn imported(curve: &Curve, digest: &[u8]) -> Digest {
    Digest::import_less_safe(digest, curve.digest).expect("the length was checked with the input kind")
}

/// A private key on the AWS-LC heap.
pub(crate) struct SigningKey {
    curve: &'static Curve,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    pub(crate) fn generate(curve: &'static Curve) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(curve.signing)
            .map_err(|_| CustodyError::key_material("key generation failed"))?;
        Ok(Self { curve, pair })
    }

    /// # Errors
    /// `KeyMaterial`: not PKCS#8 DER of a consistent private key on that curve.
    pub(crate) fn from_pkcs8(curve: &'static Curve, der: &[u8]) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(curve.signing, der).map_err(|_| {
            CustodyError::key_material(format!("not a PKCS#8 private key for {}", curve.name))
        })?;
        Ok(Self { curve, pair })
    }

    /// # Errors
    /// `KeyMaterial`: not the DER of `ECPrivateKey` with that named curve and without public key.
    pub(crate) fn from_ec_private_key(curve: &'static Curve, der: &[u8]) -> Result<Self> {
        let refused = || {
            CustodyError::key_material(format!(
                "not an ECPrivateKey for {} with named curve and without public key",
                curve.name
            ))
        };
        let [head, tail] = curve.private_frame;
        if der.len() != curve.ec_private_key() || !der.starts_with(head) || !der.ends_with(tail) {
            return Err(refused());
        }
        let pair = EcdsaKeyPair::from_private_key_der(curve.signing, der).map_err(|_| refused())?;
        Ok(Self { curve, pair })
    }

    /// Writes the `ECPrivateKey` that `from_ec_private_key` takes; `out` has its length.
    pub(crate) fn write_ec_private_key(&self, out: &mut [u8]) -> Result<()> {
        let scalar: EcPrivateKeyBin<'_> = self
            .pair
            .private_key()
            .as_be_bytes()
            .map_err(|_| CustodyError::key_material("the key cannot be encoded"))?;
        let [head, tail] = self.curve.private_frame;
        let (start, rest) = out.split_at_mut(head.len());
        let (middle, end) = rest.split_at_mut(self.curve.scalar);
        start.copy_from_slice(head);
        middle.copy_from_slice(scalar.as_ref());
        end.copy_from_slice(tail);
        Ok(())
    }

    /// PKCS#8 DER in locked memory.
    pub(crate) fn to_pkcs8(&self) -> Result<Secret> {
        let document = self
            .pair
            .to_pkcs8v1()
            .map_err(|_| CustodyError::key_material("the key cannot be encoded"))?;
        KEYS.copy_of(document.as_ref())
    }

    /// SubjectPublicKeyInfo DER.
    pub(crate) fn public(&self) -> Result<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = self
            .pair
            .public_key()
            .as_der()
            .map_err(|_| CustodyError::key_material("the public key cannot be encoded"))?;
        Ok(der.as_ref().to_vec())
    }

    /// The uncompressed point.
    pub(crate) fn public_point(&self) -> Result<Vec<u8>> {
        let point: EcPublicKeyUncompressedBin<'_> = self
            .pair
            .public_key()
            .as_be_bytes()
            .map_err(|_| CustodyError::key_material("the public key cannot be encoded"))?;
        Ok(point.as_ref().to_vec())
    }

    /// A DER signature, or r||s.
    pub(crate) fn sign(&self, input: Input<'_>, p1363: bool) -> Result<Vec<u8>> {
        let signature = match input {
            Input::Message(message) => self.pair.sign(&aws_lc_rs::rand::SystemRandom::new(), message),
            Input::Digest(digest) => self.pair.sign_digest(&imported(self.curve, digest)),
        }
        .map_err(|_| CustodyError::input("ECDSA could not sign this input"))?;
        if p1363 {
            return der_to_p1363(signature.as_ref(), self.curve.scalar)
                .ok_or_else(|| CustodyError::input("ECDSA could not sign this input"));
        }
        Ok(signature.as_ref().to_vec())
    }
}

/// r||s of a DER ECDSA-Sig-Value, each padded to `scalar` bytes.
fn der_to_p1363(signature: &[u8], scalar: usize) -> Option<Vec<u8>> {
    let (r, s) = integer_pair::decode(signature).ok()?;
    let mut fixed = vec![0; 2 * scalar];
    for (half, integer) in fixed.chunks_exact_mut(scalar).zip([r, s]) {
        half[scalar.checked_sub(integer.len())?..].copy_from_slice(integer);
    }
    Some(fixed)
}

/// A validated public key.
pub(crate) struct VerifyingKey {
    curve: &'static Curve,
    der: ParsedPublicKey,
    p1363: ParsedPublicKey,
}

impl VerifyingKey {
    /// Parses SubjectPublicKeyInfo DER with a named curve and an uncompressed point.
    ///
    /// # Errors
    /// `KeyMaterial`: other encoding, other curve, or not on the curve.
    pub(crate) fn parse(curve: &'static Curve, public: &[u8]) -> Result<Self> {
        let refused = || {
            CustodyError::key_material(format!(
                "not a public key for {}: SubjectPublicKeyInfo DER with its named curve and an uncompressed point",
                curve.name
            ))
        };
        let info = SubjectPublicKeyInfoRef::from_der(public).map_err(|_| refused())?;
        let named_curve = info.algorithm.parameters_oid().map_err(|_| refused())?;
        let point = info.subject_public_key.as_bytes().ok_or_else(refused)?;
        if info.algorithm.oid != ID_EC_PUBLIC_KEY || named_curve != curve.oid {
            return Err(refused());
        }
        Self::from_point(curve, point).map_err(|_| refused())
    }

    /// Takes an uncompressed point.
    ///
    /// # Errors
    /// `KeyMaterial`: other encoding, or not on the curve.
    pub(crate) fn from_point(curve: &'static Curve, point: &[u8]) -> Result<Self> {
        let refused = || {
            CustodyError::key_material(format!(
                "not a public key for {}: an uncompressed point on its curve",
                curve.name
            ))
        };
        if point.len() != 2 * curve.scalar + 1 || point[0] != 0x04 {
            return Err(refused());
        }
        let der = ParsedPublicKey::new(curve.verification_der, point).map_err(|_| refused())?;
        let p1363 = ParsedPublicKey::new(curve.verification_p1363, point).map_err(|_| refused())?;
        Ok(Self { curve, der, p1363 })
    }

    /// True for a strict DER ECDSA-Sig-Value with integers of at most the scalar's length.
    pub(crate) fn is_well_formed(&self, signature: &[u8]) -> bool {
        integer_pair::decode(signature)
            .is_ok_and(|(r, s)| r.len() <= self.curve.scalar && s.len() <= self.curve.scalar)
    }

    /// True if the signature verifies; a signature that is not strict DER (or r||s of the right length)
    /// does not.
    pub(crate) fn verify(&self, input: Input<'_>, signature: &[u8], p1363: bool) -> bool {
        let key = if p1363 { &self.p1363 } else { &self.der };
        match input {
            Input::Message(message) => key.verify_sig(message, signature),
            Input::Digest(digest) => key.verify_digest_sig(&imported(self.curve, digest), signature),
        }
        .is_ok()
    }
}
