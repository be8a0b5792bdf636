//! Imports: arbitrary wrapped bytes, and arbitrary key material that is properly wrapped. What is taken is a key
//! that works, and gives the same public key again.

use std::sync::OnceLock;

use getrandom::SysRng;
use hpke::aead::{AeadTag, AesGcm256};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal_inout_detached_with_rng};
use rand_core::UnwrapErr;
use ronkms_custody::{Algorithm, Custody, CustodyError, Mechanism, PublicKey, SignOptions, VerifyOptions};

use crate::input::Input;

const IDENTITY: &[u8] = b"tenant/key/1";
const ENCAPSULATED: usize = 1120;

struct Fixture {
    custody: Custody,
    hpke: (Vec<u8>, Vec<u8>),
    rsa: (Vec<u8>, Vec<u8>),
}

static FIXTURE: OnceLock<Fixture> = OnceLock::new();

fn fixture() -> Fixture {
    let (custody, _) = Custody::create("dev", None).expect("a dev seal");
    let parameters = |mechanism| {
        custody
            .import_params(mechanism, IDENTITY)
            .expect("a wrapping key")
    };
    let hpke = parameters(Mechanism::HpkeXWing);
    let rsa = parameters(Mechanism::RsaOaepAesKwp);
    Fixture { custody, hpke, rsa }
}

pub(crate) fn run(data: &[u8]) {
    let Fixture { custody, hpke, rsa } = FIXTURE.get_or_init(fixture);
    let mut input = Input::new(data);
    let &algorithm = input.choose(&Algorithm::ALL);
    let import = |mechanism, params: &[u8], wrapped: &[u8]| {
        custody.import_key(mechanism, params, IDENTITY, wrapped, algorithm, IDENTITY)
    };
    match input.byte() % 4 {
        0 => assert!(matches!(
            import(Mechanism::HpkeXWing, &hpke.0, input.rest()),
            Err(CustodyError::Unwrap(_))
        )),
        1 => assert!(matches!(
            import(Mechanism::RsaOaepAesKwp, &rsa.0, input.rest()),
            Err(CustodyError::Unwrap(_))
        )),
        _ => {
            let wrapped = wrap(&hpke.1, input.rest());
            match import(Mechanism::HpkeXWing, &hpke.0, &wrapped) {
                Err(CustodyError::KeyMaterial(_)) => {}
                Err(error) => panic!("{error:?}"),
                Ok((record, public)) => {
                    let again = import(Mechanism::HpkeXWing, &hpke.0, &wrapped).expect("taken before");
                    assert_eq!(again.1, public, "{algorithm:?}");
                    works(custody, algorithm, &record, &public);
                }
            }
        }
    }
}

fn works(custody: &Custody, algorithm: Algorithm, record: &[u8], public: &[u8]) {
    let key = custody.unseal(record, IDENTITY).expect("just sealed");
    assert_eq!((key.algorithm(), key.public()), (algorithm, public));
    if algorithm.signs() {
        let signature = key.sign(b"message", SignOptions::default()).expect("signed");
        let public = PublicKey::parse(algorithm, public).expect("its own public key");
        let verdict = public.verify(b"message", &signature, VerifyOptions::default());
        assert!(verdict.expect("it verifies").all(), "{algorithm:?}");
    } else {
        let wrapped = key.wrap(b"header", b"", b"plaintext").expect("wrapped");
        assert_eq!(
            *key.unwrap(b"header", b"", &wrapped).expect("unwrapped"),
            b"plaintext"
        );
    }
}

/// What a caller of the import does (docs/formats/import.md).
fn wrap(recipient: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let recipient = <XWing as Kem>::PublicKey::from_bytes(recipient).expect("a public key");
    let mut sealed = vec![0; ENCAPSULATED + plaintext.len()];
    sealed[ENCAPSULATED..].copy_from_slice(plaintext);
    let (encapsulated, tag): (_, AeadTag<AesGcm256>) =
        single_shot_seal_inout_detached_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &recipient,
            b"ron-kms import v1",
            InOutBuf::from(&mut sealed[ENCAPSULATED..]),
            &[],
            &mut UnwrapErr(SysRng),
        )
        .expect("HPKE encrypts");
    sealed[..ENCAPSULATED].copy_from_slice(&encapsulated.to_bytes());
    sealed.extend_from_slice(&tag.to_bytes());
    sealed
}
