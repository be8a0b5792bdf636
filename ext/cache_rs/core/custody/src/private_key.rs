//! Handles on unsealed keys.

use zeroize::{Zeroize, Zeroizing};

use crate::algorithm::check_input;
use crate::ecdsa::{self, P256, P384};
use crate::locked::{KEYS, Secret};
use crate::mac_key::MacKey;
use crate::ml_dsa::{self, ML_DSA_44, ML_DSA_65, ML_DSA_87, ParameterSet};
use crate::{
    Algorithm, CustodyError, InputKind, Result, aead, composite, ed25519, kdf, key_material, key_wrap,
    random, rsa_pss, xwing,
};

const SALT: usize = 32;
/// What AES-256-GCM wrapping adds: salt, nonce and tag.
const GCM_OVERHEAD: usize = SALT + aead::NONCE + aead::TAG;
/// Longest plaintext of `wrap`, in bytes.
const MAX_PLAINTEXT: usize = 65_536;

enum Material {
    Ed25519(ed25519::SigningKey),
    Ecdsa(ecdsa::SigningKey),
    RsaPss(rsa_pss::SigningKey),
    MlDsa(ml_dsa::SigningKey),
    Composite(composite::SigningKey),
    /// AES-256-GCM and AES-KWP keys, the X-Wing seed: 32 bytes.
    Symmetric(Secret),
}

/// What `sign` may be told beside the message.
#[derive(Debug, Clone, Copy)]
pub struct SignOptions<'a> {
    /// At most 255 bytes; ML-DSA and the composites only.
    pub context: &'a [u8],
    /// What the input is.
    pub kind: InputKind,
    /// ECDSA: r||s instead of DER.
    pub p1363: bool,
    /// ML-DSA: without randomness (FIPS 204, deterministic variant).
    pub deterministic: bool,
}

impl Default for SignOptions<'_> {
    fn default() -> Self {
        Self {
            context: &[],
            kind: InputKind::Message,
            p1363: false,
            deterministic: false,
        }
    }
}

/// One unsealed key. Dropping it zeroizes the key; `Debug` shows the algorithm alone.
///
/// A handle is of use only in the process that unsealed it (EC and RSA keys excepted, which a fork
/// copies with the heap).
pub struct PrivateKey {
    algorithm: Algorithm,
    public: Vec<u8>,
    material: Material,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PrivateKey({})", self.algorithm.name())
    }
}

impl PrivateKey {
    /// From the content of a sealed record.
    pub(crate) fn from_content(algorithm: Algorithm, content: Secret) -> Result<Self> {
        let damaged = || CustodyError::damaged("the sealed record holds no valid key of its algorithm");
        // Other errors are not the record's: that locked memory is full must stay what it is.
        let no_key = |error| match error {
            CustodyError::KeyMaterial(_) => damaged(),
            other => other,
        };
        if key_material::content_len(algorithm)
            .is_some_and(|length| content.bytes().map_or(0, <[u8]>::len) != length)
        {
            return Err(damaged());
        }
        let (material, public) = match algorithm {
            Algorithm::Ed25519 => {
                let key = ed25519::SigningKey::from_seed(content.array()?)?;
                let public = key.public()?.to_vec();
                (Material::Ed25519(key), public)
            }
            Algorithm::Es256 | Algorithm::Es384 => {
                let curve = if algorithm == Algorithm::Es256 {
                    &P256
                } else {
                    &P384
                };
                let key = ecdsa::SigningKey::from_pkcs8(curve, content.bytes()?).map_err(no_key)?;
                let public = key.public()?;
                (Material::Ecdsa(key), public)
            }
            Algorithm::Ps256 => {
                let key = rsa_pss::SigningKey::from_pkcs8(content.bytes()?).map_err(no_key)?;
                let public = key.public()?;
                (Material::RsaPss(key), public)
            }
            Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
                let (key, public) = ml_dsa::SigningKey::from_seed(parameters(algorithm), content.array()?)?;
                (Material::MlDsa(key), public)
            }
            Algorithm::MlDsa44Ed25519Sha512
            | Algorithm::MlDsa65Ed25519Sha512
            | Algorithm::MlDsa65EcdsaP256Sha512
            | Algorithm::MlDsa87EcdsaP384Sha512 => {
                let row = composite::row(algorithm).expect("a composite");
                let (key, public) =
                    composite::SigningKey::from_private(row, content.bytes()?).map_err(no_key)?;
                (Material::Composite(key), public)
            }
            Algorithm::Aes256Gcm | Algorithm::AesKwp => (Material::Symmetric(content), Vec::new()),
            Algorithm::XWing => {
                let public = xwing::public(content.array()?);
                (Material::Symmetric(content), public)
            }
        };
        Ok(Self {
            algorithm,
            public,
            material,
        })
    }

    /// The public key of a record's content, which stays the caller's.
    pub(crate) fn public_of(algorithm: Algorithm, content: &Secret) -> Result<Vec<u8>> {
        Ok(Self::from_content(algorithm, KEYS.copy_of(content.bytes()?)?)?.public)
    }

    /// The key's algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key in the encoding of `Custody::generate`.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Signs.
    ///
    /// # Errors
    /// `Input`: the algorithm does not sign, or does not take this kind, length, context or option.
    /// `Seal`: the handle was made before a fork.
    pub fn sign(&self, input: &[u8], options: SignOptions<'_>) -> Result<Vec<u8>> {
        self.check_options(input, options)?;
        match &self.material {
            Material::Ed25519(key) => {
                let mut signature = [0; ed25519::SIGNATURE];
                key.sign(input, &mut signature)?;
                Ok(signature.to_vec())
            }
            Material::Ecdsa(key) => key.sign(ecdsa_input(input, options.kind), options.p1363),
            Material::RsaPss(key) => key.sign(ecdsa_input(input, options.kind)),
            Material::MlDsa(key) => {
                let mut signature = vec![0; parameters(self.algorithm).signature];
                key.sign(
                    ml_dsa_input(input, options.kind, options.context),
                    options.deterministic,
                    &mut signature,
                )?;
                Ok(signature)
            }
            Material::Composite(key) => key.sign(input, options.context, options.deterministic),
            Material::Symmetric(_) => Err(self.does_not("sign")),
        }
    }

    /// Signs a message with Ed25519 or ML-DSA (hedged) straight into `signature`, without allocating.
    /// Returns how many bytes were written.
    ///
    /// # Errors
    /// As `sign`; `Input` also if `signature` is too short or the algorithm is another one.
    pub fn sign_into(&self, message: &[u8], context: &[u8], signature: &mut [u8]) -> Result<usize> {
        check_input(self.algorithm, message, InputKind::Message, context)?;
        let too_short = || CustodyError::input("the signature buffer is too short");
        match &self.material {
            Material::Ed25519(key) => {
                let signature = signature.first_chunk_mut().ok_or_else(too_short)?;
                key.sign(message, signature)?;
                Ok(signature.len())
            }
            Material::MlDsa(key) => {
                let length = parameters(self.algorithm).signature;
                let signature = signature.get_mut(..length).ok_or_else(too_short)?;
                key.sign(ml_dsa::Input::Message { message, context }, false, signature)?;
                Ok(length)
            }
            _ => Err(self.does_not("sign into a buffer")),
        }
    }

    /// Wraps 1 to 65,536 bytes.
    ///
    /// AES-256-GCM: salt (32) || nonce (12) || ciphertext || tag (16) under a message key
    /// HKDF-SHA-256(salt, key, info = header), AAD `len64(header) || header || aad`. AES-KWP: RFC 5649,
    /// no aad, the header is not bound. X-Wing: HPKE, enc (1120) || ciphertext || tag, info = header.
    ///
    /// # Errors
    /// `Input`: length, aad with AES-KWP, or an algorithm that does not wrap.
    pub fn wrap(&self, header: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let Material::Symmetric(key) = &self.material else {
            return Err(self.does_not("wrap"));
        };
        if !(1..=MAX_PLAINTEXT).contains(&plaintext.len()) {
            return Err(CustodyError::input("the plaintext must have 1 to 65536 bytes"));
        }
        match self.algorithm {
            Algorithm::AesKwp => {
                refuse_aad(aad)?;
                Ok(key_wrap::wrap(key.array()?, plaintext))
            }
            Algorithm::XWing => xwing::seal(key.array()?, header, aad, plaintext),
            _ => {
                let salt = random::array::<SALT>();
                let nonce = random::array::<{ aead::NONCE }>();
                let message_key = message_key(key.bytes()?, &salt, header);
                let mut wrapped = Vec::with_capacity(GCM_OVERHEAD + plaintext.len());
                wrapped.extend_from_slice(&salt);
                wrapped.extend_from_slice(&nonce);
                wrapped.extend_from_slice(plaintext);
                let tag = aead::seal_in_place(
                    &*message_key,
                    nonce,
                    &bound_header(header, aad),
                    &mut wrapped[SALT + aead::NONCE..],
                );
                wrapped.extend_from_slice(&tag);
                Ok(wrapped)
            }
        }
    }

    /// Inverse of `wrap`.
    ///
    /// # Errors
    /// `Unwrap`: does not authenticate. `Input`: aad with AES-KWP, or an algorithm that does not wrap.
    pub fn unwrap(&self, header: &[u8], aad: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let Material::Symmetric(key) = &self.material else {
            return Err(self.does_not("unwrap"));
        };
        if wrapped.len() > MAX_PLAINTEXT + xwing::OVERHEAD {
            return Err(CustodyError::unwrap_failed());
        }
        match self.algorithm {
            Algorithm::AesKwp => {
                refuse_aad(aad)?;
                let room = wrapped
                    .len()
                    .checked_sub(8)
                    .ok_or_else(CustodyError::unwrap_failed)?;
                let mut plaintext = Zeroizing::new(vec![0; room]);
                let length = key_wrap::unwrap(key.array()?, wrapped, &mut plaintext)
                    .ok_or_else(CustodyError::unwrap_failed)?;
                plaintext.truncate(length);
                Ok(plaintext)
            }
            Algorithm::XWing => {
                let room = wrapped
                    .len()
                    .checked_sub(xwing::OVERHEAD)
                    .ok_or_else(CustodyError::unwrap_failed)?;
                let mut plaintext = Zeroizing::new(vec![0; room]);
                xwing::open(key.array()?, header, aad, wrapped, &mut plaintext)?;
                Ok(plaintext)
            }
            _ => {
                if wrapped.len() <= GCM_OVERHEAD {
                    return Err(CustodyError::unwrap_failed());
                }
                let (salt, rest) = wrapped.split_at(SALT);
                let (nonce, sealed) = rest.split_first_chunk().expect("the length was checked");
                let message_key = message_key(key.bytes()?, salt, header);
                let mut plaintext = Zeroizing::new(sealed.to_vec());
                let length =
                    aead::open_in_place(&*message_key, *nonce, &bound_header(header, aad), &mut plaintext)
                        .ok_or_else(CustodyError::unwrap_failed)?;
                plaintext[length..].zeroize();
                plaintext.truncate(length);
                Ok(plaintext)
            }
        }
    }

    /// Opens a digest key that was sealed to this X-Wing key (`MacKey::seal_to`), into locked memory.
    ///
    /// # Errors
    /// `Unwrap`: does not authenticate. `Input`: not an X-Wing key.
    pub fn open_mac_key(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<MacKey> {
        match (&self.material, self.algorithm) {
            (Material::Symmetric(seed), Algorithm::XWing) => MacKey::open(seed.array()?, info, aad, sealed),
            _ => Err(self.does_not("open an escrow")),
        }
    }

    /// The expanded ML-DSA key of this key, if it has one.
    #[cfg(test)]
    pub(crate) fn expanded_ml_dsa(&self) -> Option<&[u8]> {
        match &self.material {
            Material::MlDsa(key) => Some(key.expanded()),
            Material::Composite(key) => Some(key.ml_dsa().expanded()),
            _ => None,
        }
    }

    fn check_options(&self, input: &[u8], options: SignOptions<'_>) -> Result<()> {
        if !self.algorithm.signs() {
            return Err(self.does_not("sign"));
        }
        check_input(self.algorithm, input, options.kind, options.context)?;
        if options.p1363 && !matches!(self.material, Material::Ecdsa(_)) {
            return Err(CustodyError::input(
                "p1363 is a signature format of ES256 and ES384 only",
            ));
        }
        let randomized = match &self.material {
            Material::Ecdsa(_) | Material::RsaPss(_) => true,
            Material::Composite(key) => !key.can_be_deterministic(),
            _ => false,
        };
        if options.deterministic && randomized {
            return Err(CustodyError::input(format!(
                "{} has no deterministic variant",
                self.algorithm.name()
            )));
        }
        Ok(())
    }

    fn does_not(&self, verb: &str) -> CustodyError {
        CustodyError::input(format!("a key of {} does not {verb}", self.algorithm.name()))
    }
}

fn refuse_aad(aad: &[u8]) -> Result<()> {
    if aad.is_empty() {
        return Ok(());
    }
    Err(CustodyError::input(
        "AES-KWP takes no aad: leave it out, or use AES-256-GCM",
    ))
}

fn message_key(key: &[u8], salt: &[u8], header: &[u8]) -> Zeroizing<[u8; aead::KEY]> {
    let mut message_key = Zeroizing::new([0; aead::KEY]);
    kdf::hkdf(salt, key, &[header], &mut *message_key);
    message_key
}

fn bound_header(header: &[u8], aad: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_be_bytes(), header, aad].concat()
}

pub(crate) fn parameters(algorithm: Algorithm) -> &'static ParameterSet {
    match algorithm {
        Algorithm::MlDsa44 => &ML_DSA_44,
        Algorithm::MlDsa65 => &ML_DSA_65,
        Algorithm::MlDsa87 => &ML_DSA_87,
        _ => unreachable!("not an ML-DSA algorithm"),
    }
}

/// Input of ECDSA and RSASSA-PSS; the kind was checked.
pub(crate) fn ecdsa_input(input: &[u8], kind: InputKind) -> ecdsa::Input<'_> {
    match kind {
        InputKind::Sha256 | InputKind::Sha384 => ecdsa::Input::Digest(input),
        InputKind::Message | InputKind::Mu => ecdsa::Input::Message(input),
    }
}

/// Input of ML-DSA; the kind and its length were checked.
pub(crate) fn ml_dsa_input<'a>(input: &'a [u8], kind: InputKind, context: &'a [u8]) -> ml_dsa::Input<'a> {
    match kind {
        InputKind::Mu => ml_dsa::Input::Mu(input.try_into().expect("mu has 64 bytes")),
        _ => ml_dsa::Input::Message {
            message: input,
            context,
        },
    }
}
