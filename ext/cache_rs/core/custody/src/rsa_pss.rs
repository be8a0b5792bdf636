//! RSASSA-PSS with SHA-256, MGF1-SHA-256 and a 32-byte salt (RFC 8017), by AWS-LC.

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, ParsedPublicKey, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use pkcs8::ObjectIdentifier;
use pkcs8::der::Decode;
use pkcs8::spki::SubjectPublicKeyInfoRef;

use crate::ecdsa::Input;
use crate::locked::{KEYS, Secret};
use crate::{CustodyError, Result, integer_pair};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

fn imported(digest: &[u8]) -> Digest {
    Digest::import_less_safe(digest, &SHA256).expect("the length was checked with the input kind")
}

/// A private key on the AWS-LC heap.
pub(crate) struct SigningKey(RsaKeyPair);

impl SigningKey {
    /// A new key with a 3072-bit modulus.
    pub(crate) fn generate() -> Result<Self> {
        RsaKeyPair::generate(KeySize::Rsa3072)
            .map(Self)
            .map_err(|_| CustodyError::key_material("key generation failed"))
    }

    /// # Errors
    /// `KeyMaterial`: not PKCS#8 DER of a consistent RSA key of 2048 to 4096 bits.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let pair = RsaKeyPair::from_pkcs8(der)
            .map_err(|_| CustodyError::key_material("not a PKCS#8 RSA private key of 2048 to 4096 bits"))?;
        check_public(pair.public_key().as_ref())?;
        Ok(Self(pair))
    }

    /// PKCS#8 DER in locked memory.
    pub(crate) fn to_pkcs8(&self) -> Result<Secret> {
        let der: Pkcs8V1Der<'_> = self
            .0
            .as_der()
            .map_err(|_| CustodyError::key_material("the key cannot be encoded"))?;
        KEYS.copy_of(der.as_ref())
    }

    /// SubjectPublicKeyInfo DER.
    pub(crate) fn public(&self) -> Result<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = self
            .0
            .public_key()
            .as_der()
            .map_err(|_| CustodyError::key_material("the public key cannot be encoded"))?;
        Ok(der.as_ref().to_vec())
    }

    pub(crate) fn sign(&self, input: Input<'_>) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        match input {
            Input::Message(message) => {
                self.0
                    .sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            }
            Input::Digest(digest) => self
                .0
                .sign_digest(&RSA_PSS_SHA256, &imported(digest), &mut signature),
        }
        .map_err(|_| CustodyError::input("RSASSA-PSS could not sign this input"))?;
        Ok(signature)
    }
}

/// Checks an RSAPublicKey (RFC 8017, A.1.1): 2048 to 4096 bits, odd modulus, and an odd exponent above
/// 2^16 (FIPS 186-5).
fn check_public(rsa_public_key: &[u8]) -> Result<()> {
    let (modulus, exponent) = integer_pair::decode(rsa_public_key)
        .map_err(|_| CustodyError::key_material("not an RSA public key"))?;
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !MODULUS_BITS.contains(&bits) {
        return Err(CustodyError::key_material(
            "the RSA modulus must have 2048 to 4096 bits",
        ));
    }
    let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte & 1 == 1);
    if !is_odd(modulus) {
        return Err(CustodyError::key_material("the RSA modulus is even"));
    }
    if !is_odd(exponent) || exponent.len() < 3 {
        return Err(CustodyError::key_material(
            "the RSA public exponent must be odd and above 65536",
        ));
    }
    Ok(())
}

/// A validated public key.
pub(crate) struct VerifyingKey(ParsedPublicKey);

impl VerifyingKey {
    /// Parses SubjectPublicKeyInfo DER with rsaEncryption.
    ///
    /// # Errors
    /// `KeyMaterial`: other encoding, modulus or exponent out of range.
    pub(crate) fn parse(public: &[u8]) -> Result<Self> {
        let refused = || CustodyError::key_material("not an RSA public key: SubjectPublicKeyInfo DER");
        let info = SubjectPublicKeyInfoRef::from_der(public).map_err(|_| refused())?;
        let key = info.subject_public_key.as_bytes().ok_or_else(refused)?;
        if info.algorithm.oid != RSA_ENCRYPTION
            || !info
                .algorithm
                .parameters
                .is_some_and(|parameters| parameters.is_null())
        {
            return Err(refused());
        }
        check_public(key)?;
        ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
            .map(Self)
            .map_err(|_| refused())
    }

    /// True if the signature verifies; one of another length than the modulus does not.
    pub(crate) fn verify(&self, input: Input<'_>, signature: &[u8]) -> bool {
        match input {
            Input::Message(message) => self.0.verify_sig(message, signature),
            Input::Digest(digest) => self.0.verify_digest_sig(&imported(digest), signature),
        }
        .is_ok()
    }
}
