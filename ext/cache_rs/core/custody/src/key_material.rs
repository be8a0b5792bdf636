//! Private key encodings that can be imported, and the content that a sealed record keeps of them.

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{self, Decode, Reader, SliceReader};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};

use crate::composite::{self, Composite};
use crate::ecdsa::{self, P256, P384};
use crate::locked::{KEYS, Secret};
use crate::ml_dsa::{self, ML_DSA_44, ML_DSA_65, ML_DSA_87, ParameterSet};
use crate::{Algorithm, CustodyError, Result, ed25519, random, rsa_pss};

const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ID_ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ID_ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ID_ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// Bytes of content where the algorithm fixes them; EC and RSA keep PKCS#8 DER.
pub(crate) fn content_len(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Ps256 => None,
        _ => Some(composite::row(algorithm).map_or(32, Composite::private)),
    }
}

/// Fresh content, generated in locked memory.
pub(crate) fn generate(algorithm: Algorithm) -> Result<Secret> {
    match algorithm {
        Algorithm::Es256 => ecdsa::SigningKey::generate(&P256)?.to_pkcs8(),
        Algorithm::Es384 => ecdsa::SigningKey::generate(&P384)?.to_pkcs8(),
        Algorithm::Ps256 => rsa_pss::SigningKey::generate()?.to_pkcs8(),
        _ => {
            if let Some(composite) = composite::row(algorithm) {
                return composite.generate();
            }
            let mut content = KEYS.secret(content_len(algorithm).expect("a fixed length"))?;
            random::fill(content.bytes_mut()?);
            Ok(content)
        }
    }
}

/// The content of key material in one of the encodings of `Custody::import_key`.
///
/// # Errors
/// `KeyMaterial`.
pub(crate) fn import(algorithm: Algorithm, material: &[u8]) -> Result<Secret> {
    match algorithm {
        Algorithm::Ed25519 => ed25519_seed(material),
        Algorithm::Es256 => ecdsa::SigningKey::from_pkcs8(&P256, material)?.to_pkcs8(),
        Algorithm::Es384 => ecdsa::SigningKey::from_pkcs8(&P384, material)?.to_pkcs8(),
        Algorithm::Ps256 => rsa_pss::SigningKey::from_pkcs8(material)?.to_pkcs8(),
        Algorithm::MlDsa44 => ml_dsa_seed(&ML_DSA_44, ID_ML_DSA_44, material),
        Algorithm::MlDsa65 => ml_dsa_seed(&ML_DSA_65, ID_ML_DSA_65, material),
        Algorithm::MlDsa87 => ml_dsa_seed(&ML_DSA_87, ID_ML_DSA_87, material),
        Algorithm::MlDsa44Ed25519Sha512
        | Algorithm::MlDsa65Ed25519Sha512
        | Algorithm::MlDsa65EcdsaP256Sha512
        | Algorithm::MlDsa87EcdsaP384Sha512 => {
            composite_private(composite::row(algorithm).expect("a composite"), material)
        }
        Algorithm::Aes256Gcm | Algorithm::AesKwp | Algorithm::XWing => exact(material, 32),
    }
}

fn exact(bytes: &[u8], length: usize) -> Result<Secret> {
    if bytes.len() != length {
        return Err(CustodyError::key_material(format!(
            "the key material must have {length} bytes"
        )));
    }
    KEYS.copy_of(bytes)
}

/// The draft's private key, bare or in PKCS#8; a public key beside it must be its own.
fn composite_private(composite: &'static Composite, material: &[u8]) -> Result<Secret> {
    let (private, public) = if material.len() == composite.private() {
        (material, None)
    } else {
        let info = private_key_info(material, composite.oid())?;
        (info.private_key.as_bytes(), info.public_key)
    };
    let content = exact(private, composite.private())?;
    let (_, derived) = composite::SigningKey::from_private(composite, content.bytes()?)?;
    if public.is_some_and(|public| public.as_bytes() != Some(&derived[..])) {
        return Err(CustodyError::key_material(
            "the public key does not belong to the private key",
        ));
    }
    Ok(content)
}

fn private_key_info(material: &[u8], oid: ObjectIdentifier) -> Result<PrivateKeyInfoRef<'_>> {
    let info = PrivateKeyInfoRef::from_der(material)
        .map_err(|_| CustodyError::key_material("the key material is not PKCS#8 DER"))?;
    if info.algorithm.oid != oid || info.algorithm.parameters.is_some() {
        return Err(CustodyError::key_material(
            "the PKCS#8 key is of another algorithm",
        ));
    }
    Ok(info)
}

/// RFC 8410: the seed in an OCTET STRING; a public key, where present, must be the seed's.
fn ed25519_seed(material: &[u8]) -> Result<Secret> {
    let info = private_key_info(material, ID_ED25519)?;
    let seed = <&OctetStringRef>::from_der(info.private_key.as_bytes())
        .map_err(|_| CustodyError::key_material("the PKCS#8 key holds no Ed25519 seed"))?;
    let content = exact(seed.as_bytes(), ed25519::SEED)?;
    if let Some(public) = info.public_key {
        let derived = ed25519::SigningKey::from_seed(content.array()?)?.public()?;
        if public.as_bytes() != Some(&derived[..]) {
            return Err(CustodyError::key_material(
                "the public key does not belong to the private key",
            ));
        }
    }
    Ok(content)
}

/// The forms of RFC 9881: `[0] seed`, `expandedKey`, and `SEQUENCE { seed, expandedKey }`.
enum MlDsaPrivateKey<'a> {
    Seed(&'a [u8]),
    Expanded,
    Both(&'a [u8], &'a [u8]),
}

impl<'a> MlDsaPrivateKey<'a> {
    fn from_der(bytes: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(bytes)?;
        let key = match bytes.first() {
            // [0] IMPLICIT OCTET STRING (SIZE (32)): the only encoding that DER allows.
            Some(0x80) => {
                return match bytes {
                    [0x80, 32, seed @ ..] if seed.len() == ml_dsa::SEED => Ok(Self::Seed(seed)),
                    _ => Err(der::ErrorKind::Failed.into()),
                };
            }
            Some(0x04) => {
                <&OctetStringRef>::decode(&mut reader)?;
                Self::Expanded
            }
            _ => reader.sequence(|inner| {
                let seed = <&OctetStringRef>::decode(inner)?;
                let expanded = <&OctetStringRef>::decode(inner)?;
                der::Result::Ok(Self::Both(seed.as_bytes(), expanded.as_bytes()))
            })?,
        };
        reader.finish()?;
        Ok(key)
    }
}

fn ml_dsa_seed(parameters: &'static ParameterSet, oid: ObjectIdentifier, material: &[u8]) -> Result<Secret> {
    let info = private_key_info(material, oid)?;
    let key = MlDsaPrivateKey::from_der(info.private_key.as_bytes())
        .map_err(|_| CustodyError::key_material("the PKCS#8 key is in none of the forms of RFC 9881"))?;
    match key {
        MlDsaPrivateKey::Seed(seed) => exact(seed, ml_dsa::SEED),
        MlDsaPrivateKey::Expanded => Err(CustodyError::key_material(
            "the ML-DSA key comes without its seed: export it in the seed or both form of RFC 9881",
        )),
        MlDsaPrivateKey::Both(seed, expanded) => {
            let content = exact(seed, ml_dsa::SEED)?;
            let (key, _) = ml_dsa::SigningKey::from_seed(parameters, content.array()?)?;
            if !key.has_expanded_form(expanded)? {
                return Err(CustodyError::key_material(
                    "the expanded key does not belong to the seed",
                ));
            }
            Ok(content)
        }
    }
}
