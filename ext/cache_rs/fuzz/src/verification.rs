//! Verification of changed keys, messages and signatures: one by one, in a batch and out of the cache the verdict is
//! the same; it is positive for what was signed and for nothing else; and a second implementation agrees, of
//! ML-DSA that of PQClean, of Ed25519 the equation of RFC 8032 5.1.7 itself.

use std::sync::OnceLock;

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use pqcrypto_mldsa::ffi;
use ronkms_arena::cache::Lookup;
use ronkms_arena::{Arena, Config};
use ronkms_custody::{
    Algorithm, BatchItem, Custody, Priority, PublicKey, SignOptions, Verdict, VerifyOptions, verify_batch,
};
use sha2::{Digest, Sha512};

use crate::input::Input;

const MESSAGE: &[u8] = b"message";

struct Signed {
    algorithm: Algorithm,
    public: Vec<u8>,
    signature: Vec<u8>,
}

struct Fixture {
    signed: Vec<Signed>,
    arena: Arena,
}

static FIXTURE: OnceLock<Fixture> = OnceLock::new();

fn fixture() -> Fixture {
    let (custody, _) = Custody::create("dev", None).expect("a dev seal");
    let signing = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.signs());
    let signed = signing
        .map(|algorithm| {
            let (record, public) = custody.generate(algorithm, b"").expect("a key");
            let key = custody.unseal(&record, b"").expect("just sealed");
            let signature = key.sign(MESSAGE, SignOptions::default()).expect("signed");
            Signed {
                algorithm,
                public,
                signature,
            }
        })
        .collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let arena = Arena::create(Config {
        cache_entries: 64,
        cache_ttl_ms: 1 << 40,
        inflight: [1, 1],
        tenant_share_min: 0.1,
        slots: 1,
        tenants: 16,
        ops: names(&["sign"]),
        algs: names(&["none"]),
        outcomes: names(&["ok"]),
        counters: names(&["first"]),
        gauges: names(&["level"]),
        generations: names(&["keyring"]),
    })
    .expect("a small arena");
    Fixture { signed, arena }
}

pub(crate) fn run(data: &[u8]) {
    let Fixture { signed, arena } = FIXTURE.get_or_init(fixture);
    let mut input = Input::new(data);
    let others = 1 + usize::from(input.byte() % 9);
    let original = input.choose(signed);
    let algorithm = original.algorithm;
    let (mut public, mut signature) = (original.public.clone(), original.signature.clone());
    let mut is_genuine = true;
    if algorithm == Algorithm::Ed25519 && input.byte() & 1 == 1 {
        (public, signature) = with_torsion(input.byte());
        // Of small order is none of these keys.
        is_genuine = PublicKey::parse(algorithm, &public).is_ok();
        assert!(is_genuine, "a key of mixed order");
    }
    let (valid_public, valid_signature) = (public.clone(), signature.clone());
    public = input.changed(&public);
    signature = input.changed(&signature);
    let message = input.changed(MESSAGE);
    let context_length = usize::from(input.byte());
    let context = input.take(context_length);
    is_genuine &=
        public == valid_public && signature == valid_signature && message == MESSAGE && context.is_empty();

    let Ok(key) = PublicKey::parse(algorithm, &public) else {
        assert!(!is_genuine, "{algorithm:?}: its own public key is refused");
        return;
    };
    let options = VerifyOptions {
        context,
        ..VerifyOptions::default()
    };
    let single = key.verify(&message, &signature, options);
    let item = BatchItem {
        key: &key,
        message: &message,
        signature: &signature,
        context,
    };
    let batch = verify_batch(&vec![item; others], Priority::Normal);
    let verdict = match (single, batch) {
        (Ok(verdict), Ok(batch)) => {
            assert!(
                batch.iter().all(|other| *other == verdict),
                "{algorithm:?}: {verdict:?} {batch:?}"
            );
            verdict
        }
        (Err(error), Err(other)) => {
            assert_eq!(error, other);
            assert!(!is_genuine, "{algorithm:?}: {error}");
            return;
        }
        (single, batch) => panic!("{algorithm:?}: {single:?} alone, {batch:?} in a batch"),
    };
    assert_eq!(verdict.all(), is_genuine, "{algorithm:?}");
    cached(arena, &verdict, &[&public, &message, &signature, context]);
    match algorithm {
        Algorithm::Ed25519 => assert_eq!(verdict.all(), equation_holds(&public, &message, &signature)),
        Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => assert_eq!(
            verdict.all(),
            pqclean_accepts(algorithm, &public, &message, context, &signature)
        ),
        Algorithm::Es256 | Algorithm::Es384 => {
            let fixed = VerifyOptions {
                p1363: true,
                ..options
            };
            let fixed = key.verify(&message, &signature, fixed).expect("both formats");
            assert!(!fixed.all(), "DER taken for r||s");
        }
        _ => {}
    }
}

fn cached(arena: &Arena, verdict: &Verdict, parts: &[&[u8]]) {
    let mut builder = arena.tag_builder(parts.len());
    parts.iter().for_each(|part| builder.part(part));
    let tag = builder.finish();
    let bits = verdict
        .components()
        .iter()
        .fold(1, |bits, &valid| bits << 1 | u8::from(valid));
    if let Lookup::Hit(found) = arena.cache_probe(&tag) {
        assert_eq!(found, bits, "another verdict of the same input");
    }
    arena.cache_put(&tag, bits, !verdict.all());
    assert_eq!(arena.cache_probe(&tag), Lookup::Hit(bits));
}

/// A key A = aB + T and a signature of the message with R = rB + T', whose T and T' have small order.
fn with_torsion(which: u8) -> (Vec<u8>, Vec<u8>) {
    let a = Scalar::from(0x1234_5678_9abc_def1_u64);
    let r = Scalar::from(0x0fed_cba9_8765_4321_u64);
    let encode = |point: EdwardsPoint| point.compress().to_bytes();
    let public = encode(ED25519_BASEPOINT_POINT * a + EIGHT_TORSION[usize::from(which & 7)]);
    let nonce = encode(ED25519_BASEPOINT_POINT * r + EIGHT_TORSION[usize::from(which >> 3 & 7)]);
    let s = r + challenge(&nonce, &public, MESSAGE) * a;
    (public.to_vec(), [nonce, s.to_bytes()].concat())
}

fn challenge(nonce: &[u8], public: &[u8], message: &[u8]) -> Scalar {
    let hash = Sha512::new()
        .chain_update(nonce)
        .chain_update(public)
        .chain_update(message)
        .finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

/// `[8][S]B = [8]R + [8][k]A` over canonical encodings.
fn equation_holds(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let decoded = |bytes: &[u8]| {
        let compressed = CompressedEdwardsY::from_slice(bytes).ok()?;
        let point = compressed.decompress()?;
        (point.compress() == compressed).then_some(point)
    };
    let Some((nonce, s)) = signature.split_at_checked(32) else {
        return false;
    };
    let s = <[u8; 32]>::try_from(s)
        .ok()
        .and_then(|bytes| Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes)));
    let (Some(a), Some(r), Some(s)) = (decoded(public), decoded(nonce), s) else {
        return false;
    };
    let difference = ED25519_BASEPOINT_POINT * s - r - a * challenge(nonce, public, message);
    difference.mul_by_cofactor().is_identity()
}

fn pqclean_accepts(
    algorithm: Algorithm,
    public: &[u8],
    message: &[u8],
    context: &[u8],
    signature: &[u8],
) -> bool {
    let verify = match algorithm {
        Algorithm::MlDsa44 => ffi::PQCLEAN_MLDSA44_CLEAN_crypto_sign_verify_ctx,
        Algorithm::MlDsa65 => ffi::PQCLEAN_MLDSA65_CLEAN_crypto_sign_verify_ctx,
        _ => ffi::PQCLEAN_MLDSA87_CLEAN_crypto_sign_verify_ctx,
    };
    // SAFETY: the public key was parsed, so it has the length of the algorithm; the other pointers go with their
    // lengths, of which that of the signature is checked by the callee.
    let status = unsafe {
        verify(
            signature.as_ptr(),
            signature.len(),
            message.as_ptr(),
            message.len(),
            context.as_ptr(),
            context.len(),
            public.as_ptr(),
        )
    };
    status == 0
}
