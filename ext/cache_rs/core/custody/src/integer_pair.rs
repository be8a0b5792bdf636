//! The DER type that ECDSA-Sig-Value and RSAPublicKey share: a SEQUENCE of two unsigned INTEGERs.

use pkcs8::der::asn1::UintRef;
use pkcs8::der::{self, Decode, Reader, SliceReader};

/// The two integers, big-endian and without leading zeros.
///
/// # Errors
/// If `bytes` is not strict DER of exactly that.
pub(crate) fn decode(bytes: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(bytes)?;
    let pair = reader.sequence(|inner| {
        let first = UintRef::decode(inner)?;
        let second = UintRef::decode(inner)?;
        der::Result::Ok((first.as_bytes(), second.as_bytes()))
    })?;
    reader.finish()?;
    Ok(pair)
}
