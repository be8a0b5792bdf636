//! ML-DSA (FIPS 204), pure mode.
//!
//! Hedged signing of messages, the hot path, uses the AVX2 signer where the processor can; everything
//! else (key generation, verification, *mu*, deterministic signing, other processors) is AWS-LC. The
//! choice and its measurements are in docs/adr/0002-native-crypto-libraries.md.

mod avx2;
mod aws_lc;

use avx2::HedgedSignFn;
use aws_lc::{KeyPairFn, SignFn, VerifyFn, VerifyMuFn, level44, level65, level87};
use zeroize::Zeroizing;

use crate::algorithm::MAX_CONTEXT;
use crate::locked::{KEYS, Secret};
use crate::stack::with_clean_stack;
use crate::{CustodyError, Result, random};

pub(crate) const SEED: usize = 32;
pub(crate) const MU: usize = 64;

/// More than the deepest of the functions below uses; a test measures them.
const STACK: usize = 128 * 1024;

/// A parameter set with its sizes in bytes.
pub(crate) struct ParameterSet {
    name: &'static str,
    pub(crate) public: usize,
    private: usize,
    pub(crate) signature: usize,
    keypair: KeyPairFn,
    sign: SignFn,
    sign_mu: SignFn,
    verify: VerifyFn,
    verify_mu: VerifyMuFn,
    hedged: Option<HedgedSignFn>,
}

pub(crate) static ML_DSA_44: ParameterSet = ParameterSet {
    name: "ML-DSA-44",
    public: 1312,
    private: 2560,
    signature: 2420,
    keypair: level44::keypair,
    sign: level44::sign,
    sign_mu: level44::sign_mu,
    verify: level44::verify,
    verify_mu: level44::verify_mu,
    hedged: avx2::SIGNERS[0],
};

pub(crate) static ML_DSA_65: ParameterSet = ParameterSet {
    name: "ML-DSA-65",
    public: 1952,
    private: 4032,
    signature: 3309,
    keypair: level65::keypair,
    sign: level65::sign,
    sign_mu: level65::sign_mu,
    verify: level65::verify,
    verify_mu: level65::verify_mu,
    hedged: avx2::SIGNERS[1],
};

pub(crate) static ML_DSA_87: ParameterSet = ParameterSet {
    name: "ML-DSA-87",
    public: 2592,
    private: 4896,
    signature: 4627,
    keypair: level87::keypair,
    sign: level87::sign,
    sign_mu: level87::sign_mu,
    verify: level87::verify,
    verify_mu: level87::verify_mu,
    hedged: avx2::SIGNERS[2],
};

/// What is signed.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// A message with a context of at most 255 bytes.
    Message { message: &'a [u8], context: &'a [u8] },
    /// The message representative, 64 bytes.
    Mu(&'a [u8; MU]),
}

/// An expanded private key in locked memory.
pub(crate) struct SigningKey {
    parameters: &'static ParameterSet,
    private: Secret,
}

impl SigningKey {
    /// Expands a 32-byte seed. Returns the key and its public key.
    pub(crate) fn from_seed(parameters: &'static ParameterSet, seed: &[u8; SEED]) -> Result<(Self, Vec<u8>)> {
        let mut private = KEYS.secret(parameters.private)?;
        let mut public = vec![0; parameters.public];
        let bytes = private.bytes_mut()?;
        // SAFETY: the buffers have the sizes of the parameter set, and the seed has 32 bytes.
        let status = with_clean_stack::<STACK, _>(|| unsafe {
            (parameters.keypair)(public.as_mut_ptr(), bytes.as_mut_ptr(), seed.as_ptr())
        });
        assert_eq!(status, 1, "ML-DSA expands every seed");
        Ok((Self { parameters, private }, public))
    }

    /// True if `expanded` is this key in the encoding of FIPS 204 (algorithm 24). Constant time in the
    /// key's content.
    pub(crate) fn has_expanded_form(&self, expanded: &[u8]) -> Result<bool> {
        Ok(aws_lc_rs::constant_time::verify_slices_are_equal(self.private.bytes()?, expanded).is_ok())
    }

    /// The expanded private key.
    #[cfg(test)]
    pub(crate) fn expanded(&self) -> &[u8] {
        self.private.bytes().unwrap()
    }

    /// Signs into `signature`, which has the length of the parameter set. Hedged unless
    /// `deterministic`.
    pub(crate) fn sign(&self, input: Input<'_>, deterministic: bool, signature: &mut [u8]) -> Result<()> {
        assert_eq!(signature.len(), self.parameters.signature);
        let private = self.private.bytes()?;
        let mut length = 0;
        let signed = match (input, self.parameters.hedged) {
            (Input::Message { message, context }, Some(hedged)) if !deterministic && avx2::is_available() => {
                assert!(context.len() <= MAX_CONTEXT);
                // SAFETY: the signature buffer and the private key have the sizes of the parameter set;
                // message and context are valid for their lengths; the processor has the instructions.
                with_clean_stack::<STACK, _>(|| unsafe {
                    hedged(
                        signature.as_mut_ptr(),
                        &mut length,
                        message.as_ptr(),
                        message.len(),
                        context.as_ptr(),
                        context.len(),
                        private.as_ptr(),
                    )
                }) == 0
            }
            _ => self.sign_portably(private, input, deterministic, signature, &mut length),
        };
        if signed && length == self.parameters.signature {
            return Ok(());
        }
        Err(CustodyError::input(format!(
            "{} could not sign this input",
            self.parameters.name
        )))
    }

    fn sign_portably(
        &self,
        private: &[u8],
        input: Input<'_>,
        deterministic: bool,
        signature: &mut [u8],
        length: &mut usize,
    ) -> bool {
        let mut randomness = Zeroizing::new([0; 32]);
        if !deterministic {
            random::fill(&mut *randomness);
        }
        let mut prefix = [0; 2 + MAX_CONTEXT];
        let (sign, bytes, prefix): (_, &[u8], &[u8]) = match input {
            Input::Message { message, context } => {
                prefix[1] = u8::try_from(context.len()).expect("a context has at most 255 bytes");
                prefix[2..2 + context.len()].copy_from_slice(context);
                (self.parameters.sign, message, &prefix[..2 + context.len()])
            }
            Input::Mu(mu) => (self.parameters.sign_mu, mu, &[]),
        };
        // SAFETY: the signature buffer and the private key have the sizes of the parameter set; message
        // and prefix are valid for their lengths; rnd has 32 bytes.
        with_clean_stack::<STACK, _>(|| unsafe {
            sign(
                private.as_ptr(),
                signature.as_mut_ptr(),
                length,
                bytes.as_ptr(),
                bytes.len(),
                prefix.as_ptr(),
                prefix.len(),
                randomness.as_ptr(),
            )
        }) == 1
    }
}

/// A public key.
pub(crate) struct VerifyingKey {
    parameters: &'static ParameterSet,
    public: Vec<u8>,
}

impl VerifyingKey {
    /// # Errors
    /// `KeyMaterial`: wrong length. FIPS 204 gives every string of that length a meaning.
    pub(crate) fn parse(parameters: &'static ParameterSet, public: &[u8]) -> Result<Self> {
        if public.len() != parameters.public {
            return Err(CustodyError::key_material(format!(
                "an {} public key has {} bytes",
                parameters.name, parameters.public
            )));
        }
        Ok(Self {
            parameters,
            public: public.to_vec(),
        })
    }

    /// True if the signature verifies. A malformed signature does not.
    pub(crate) fn verify(&self, input: Input<'_>, signature: &[u8]) -> bool {
        // SAFETY: the public key has the size of the parameter set; the other buffers are valid for the
        // lengths given, which AWS-LC checks.
        let status = unsafe {
            match input {
                Input::Message { message, context } => (self.parameters.verify)(
                    self.public.as_ptr(),
                    signature.as_ptr(),
                    signature.len(),
                    message.as_ptr(),
                    message.len(),
                    context.as_ptr(),
                    context.len(),
                ),
                Input::Mu(mu) => (self.parameters.verify_mu)(
                    self.public.as_ptr(),
                    signature.as_ptr(),
                    signature.len(),
                    mu.as_ptr(),
                    mu.len(),
                ),
            }
        };
        status == 1
    }
}

#[cfg(test)]
mod tests {
    use super::{ML_DSA_44, ML_DSA_65, ML_DSA_87, STACK, avx2};
    use crate::stack::tests::depth_of;

    #[test]
    fn what_is_cleared_covers_every_function_that_sees_a_private_key() {
        for parameters in [&ML_DSA_44, &ML_DSA_65, &ML_DSA_87] {
            let mut public = vec![0; parameters.public];
            let mut private = vec![0; parameters.private];
            let mut signature = vec![0; parameters.signature];
            let mut length = 0;
            // SAFETY: every buffer has the size of the parameter set, or the length given beside it.
            let depths = unsafe {
                let keypair = depth_of(|| {
                    (parameters.keypair)(public.as_mut_ptr(), private.as_mut_ptr(), [7; 32].as_ptr());
                });
                let portable = depth_of(|| {
                    (parameters.sign)(
                        private.as_ptr(),
                        signature.as_mut_ptr(),
                        &mut length,
                        b"message".as_ptr(),
                        7,
                        [0, 0].as_ptr(),
                        2,
                        [9; 32].as_ptr(),
                    );
                });
                let hedged = parameters
                    .hedged
                    .filter(|_| avx2::is_available())
                    .map_or(0, |sign| {
                        depth_of(|| {
                            sign(
                                signature.as_mut_ptr(),
                                &mut length,
                                b"message".as_ptr(),
                                7,
                                b"".as_ptr(),
                                0,
                                private.as_ptr(),
                            );
                        })
                    });
                [keypair, portable, hedged]
            };
            println!("{}: {depths:?} bytes of stack", parameters.name);
            for depth in depths {
                assert!(depth < STACK, "{}: {depth}", parameters.name);
            }
        }
    }
}
