//! Every algorithm from generation over sealing to use, through the public interface.

use ronkms_custody::{
    Algorithm, BatchItem, Custody, CustodyError, InputKind, Priority, PrivateKey, PublicKey, SignOptions,
    VerifyOptions, sign_batch, verify_batch,
};

const SIGNING: [Algorithm; 11] = [
    Algorithm::Ed25519,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Ps256,
    Algorithm::MlDsa44,
    Algorithm::MlDsa65,
    Algorithm::MlDsa87,
    Algorithm::MlDsa44Ed25519Sha512,
    Algorithm::MlDsa65Ed25519Sha512,
    Algorithm::MlDsa65EcdsaP256Sha512,
    Algorithm::MlDsa87EcdsaP384Sha512,
];
const WRAPPING: [Algorithm; 3] = [Algorithm::Aes256Gcm, Algorithm::AesKwp, Algorithm::XWing];

fn custody() -> Custody {
    Custody::create("dev", None).unwrap().0
}

fn new_key(custody: &Custody, algorithm: Algorithm) -> (PrivateKey, Option<PublicKey>) {
    let (record, public) = custody.generate(algorithm, b"tenant/key/1").unwrap();
    let key = custody.unseal(&record, b"tenant/key/1").unwrap();
    assert_eq!(key.algorithm(), algorithm);
    assert_eq!(key.public(), public);
    (key, PublicKey::parse(algorithm, &public).ok())
}

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    let custody = custody();
    for algorithm in SIGNING {
        let (key, public) = new_key(&custody, algorithm);
        let public = public.unwrap();
        let verify = |message: &[u8], signature: &[u8]| {
            public
                .verify(message, signature, VerifyOptions::default())
                .unwrap()
        };
        for message in [&b""[..], b"message", &[0xAB; 100_000]] {
            let signature = key.sign(message, SignOptions::default()).unwrap();
            assert!(verify(message, &signature).all(), "{}", algorithm.name());
            assert!(!verify(b"other", &signature).all(), "{}", algorithm.name());
            for index in [0, signature.len() / 2, signature.len() - 1] {
                let mut broken = signature.clone();
                broken[index] ^= 0x10;
                assert!(
                    !verify(message, &broken).all(),
                    "{} byte {index}",
                    algorithm.name()
                );
            }
            for cut in [&signature[..signature.len() - 1], &[]] {
                assert!(!verify(message, cut).all(), "{}", algorithm.name());
            }
        }
        let (_, other) = new_key(&custody, algorithm);
        let signature = key.sign(b"message", SignOptions::default()).unwrap();
        let foreign = other
            .unwrap()
            .verify(b"message", &signature, VerifyOptions::default())
            .unwrap();
        assert!(
            foreign.components().iter().all(|valid| !valid),
            "{}",
            algorithm.name()
        );
    }
}

#[test]
fn digests_and_mu_stand_for_their_messages() {
    let custody = custody();
    let sha256 = [0x11; 32];
    let sha384 = [0x22; 48];
    let mu = [0x33; 64];
    for (algorithm, kind, input) in [
        (Algorithm::Es256, InputKind::Sha256, &sha256[..]),
        (Algorithm::Ps256, InputKind::Sha256, &sha256),
        (Algorithm::Es384, InputKind::Sha384, &sha384),
        (Algorithm::MlDsa44, InputKind::Mu, &mu),
        (Algorithm::MlDsa65, InputKind::Mu, &mu),
        (Algorithm::MlDsa87, InputKind::Mu, &mu),
    ] {
        let (key, public) = new_key(&custody, algorithm);
        let signature = key
            .sign(
                input,
                SignOptions {
                    kind,
                    ..SignOptions::default()
                },
            )
            .unwrap();
        let options = VerifyOptions {
            kind,
            ..VerifyOptions::default()
        };
        let public = public.unwrap();
        assert!(
            public.verify(input, &signature, options).unwrap().all(),
            "{}",
            algorithm.name()
        );
        assert!(
            !public
                .verify(input, &signature, VerifyOptions::default())
                .unwrap()
                .all()
        );
        let short = key.sign(
            &input[1..],
            SignOptions {
                kind,
                ..SignOptions::default()
            },
        );
        assert!(matches!(short, Err(CustodyError::Input(_))));
    }
}

#[test]
fn p1363_has_two_fixed_halves() {
    let custody = custody();
    for (algorithm, length) in [(Algorithm::Es256, 64), (Algorithm::Es384, 96)] {
        let (key, public) = new_key(&custody, algorithm);
        let public = public.unwrap();
        for round in 0..64_u8 {
            let options = SignOptions {
                p1363: true,
                ..SignOptions::default()
            };
            let signature = key.sign(&[round], options).unwrap();
            assert_eq!(signature.len(), length);
            let options = VerifyOptions {
                p1363: true,
                ..VerifyOptions::default()
            };
            assert!(public.verify(&[round], &signature, options).unwrap().all());
            assert!(
                !public
                    .verify(&[round], &signature, VerifyOptions::default())
                    .unwrap()
                    .all()
            );
        }
    }
}

#[test]
fn options_that_an_algorithm_does_not_take_are_refused() {
    let custody = custody();
    let refuses = |algorithm, options: SignOptions<'_>, input: &[u8]| {
        let (key, _) = new_key(&custody, algorithm);
        matches!(key.sign(input, options), Err(CustodyError::Input(_)))
    };
    let context = SignOptions {
        context: b"c",
        ..SignOptions::default()
    };
    for algorithm in [
        Algorithm::Ed25519,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Ps256,
    ] {
        assert!(refuses(algorithm, context, b"m"), "{}", algorithm.name());
    }
    let long = SignOptions {
        context: &[0; 256],
        ..SignOptions::default()
    };
    assert!(refuses(Algorithm::MlDsa65, long, b"m"));
    assert!(refuses(Algorithm::MlDsa65Ed25519Sha512, long, b"m"));
    assert!(refuses(Algorithm::MlDsa87EcdsaP384Sha512, long, b"m"));
    let mu = SignOptions {
        kind: InputKind::Mu,
        ..SignOptions::default()
    };
    assert!(refuses(Algorithm::MlDsa65Ed25519Sha512, mu, &[0; 64]));
    assert!(refuses(Algorithm::Ed25519, mu, &[0; 64]));
    assert!(refuses(
        Algorithm::MlDsa65,
        SignOptions { context: b"c", ..mu },
        &[0; 64]
    ));
    let p1363 = SignOptions {
        p1363: true,
        ..SignOptions::default()
    };
    assert!(refuses(Algorithm::Ed25519, p1363, b"m"));
    let deterministic = SignOptions {
        deterministic: true,
        ..SignOptions::default()
    };
    assert!(refuses(Algorithm::Es256, deterministic, b"m"));
    assert!(refuses(Algorithm::MlDsa65EcdsaP256Sha512, deterministic, b"m"));
    for algorithm in WRAPPING {
        assert!(
            refuses(algorithm, SignOptions::default(), b"m"),
            "{}",
            algorithm.name()
        );
    }
}

#[test]
fn sign_into_writes_what_sign_returns() {
    let custody = custody();
    for (algorithm, length) in [
        (Algorithm::Ed25519, 64),
        (Algorithm::MlDsa44, 2420),
        (Algorithm::MlDsa65, 3309),
    ] {
        let (key, public) = new_key(&custody, algorithm);
        let mut buffer = vec![0; length + 5];
        assert_eq!(key.sign_into(b"m", b"", &mut buffer).unwrap(), length);
        let verdict = public
            .unwrap()
            .verify(b"m", &buffer[..length], VerifyOptions::default())
            .unwrap();
        assert!(verdict.all());
        assert_eq!(buffer[length..], [0; 5]);
        let short = key.sign_into(b"m", b"", &mut buffer[..length - 1]);
        assert!(matches!(short, Err(CustodyError::Input(_))));
    }
}

#[test]
fn what_is_wrapped_unwraps_under_its_header_and_aad_alone() {
    let custody = custody();
    for algorithm in WRAPPING {
        let (key, _) = new_key(&custody, algorithm);
        let aad: &[u8] = if algorithm == Algorithm::AesKwp {
            b""
        } else {
            b"aad"
        };
        for plaintext in [&b"x"[..], &[7; 16], &[8; 65_536]] {
            let wrapped = key.wrap(b"header", aad, plaintext).unwrap();
            assert_eq!(&key.unwrap(b"header", aad, &wrapped).unwrap()[..], plaintext);
            let step = (wrapped.len() / 200).max(1);
            for index in (0..wrapped.len()).step_by(step) {
                let mut broken = wrapped.clone();
                broken[index] ^= 1;
                let opened = key.unwrap(b"header", aad, &broken);
                assert!(
                    matches!(opened, Err(CustodyError::Unwrap(_))),
                    "{} byte {index}",
                    algorithm.name()
                );
            }
            for cut in [0, 7, 8, 16, 60, wrapped.len() - 1] {
                let opened = key.unwrap(b"header", aad, &wrapped[..cut.min(wrapped.len() - 1)]);
                assert!(
                    matches!(opened, Err(CustodyError::Unwrap(_))),
                    "{} cut {cut}",
                    algorithm.name()
                );
            }
            if algorithm != Algorithm::AesKwp {
                assert!(matches!(
                    key.unwrap(b"heade", aad, &wrapped),
                    Err(CustodyError::Unwrap(_))
                ));
                assert!(matches!(
                    key.unwrap(b"header", b"aac", &wrapped),
                    Err(CustodyError::Unwrap(_))
                ));
                assert!(matches!(
                    key.unwrap(b"headera", b"ad", &wrapped),
                    Err(CustodyError::Unwrap(_))
                ));
                assert_ne!(wrapped, key.wrap(b"header", aad, plaintext).unwrap());
            }
        }
        assert!(matches!(key.wrap(b"h", aad, b""), Err(CustodyError::Input(_))));
        assert!(matches!(
            key.wrap(b"h", aad, &[0; 65_537]),
            Err(CustodyError::Input(_))
        ));
    }
    let (kwp, _) = new_key(&custody, Algorithm::AesKwp);
    assert!(matches!(
        kwp.wrap(b"h", b"aad", b"x"),
        Err(CustodyError::Input(_))
    ));
    let (signing, _) = new_key(&custody, Algorithm::Ed25519);
    assert!(matches!(
        signing.wrap(b"h", b"", b"x"),
        Err(CustodyError::Input(_))
    ));
}

#[test]
fn a_record_belongs_to_its_identity_and_its_root() {
    let custody = custody();
    let (record, _) = custody.generate(Algorithm::Ed25519, b"a/1").unwrap();
    assert!(matches!(
        custody.unseal(&record, b"a/2"),
        Err(CustodyError::DamagedRecord(_))
    ));
    let (other, _) = Custody::create("dev", None).unwrap();
    assert!(matches!(
        other.unseal(&record, b"a/1"),
        Err(CustodyError::DamagedRecord(_))
    ));
    assert!(matches!(
        custody.open_secret(&record, b"a/1"),
        Err(CustodyError::DamagedRecord(_))
    ));
    let secret = custody.seal_secret(b"secret", b"s").unwrap();
    assert!(matches!(
        custody.unseal(&secret, b"s"),
        Err(CustodyError::DamagedRecord(_))
    ));
    assert_eq!(&custody.open_secret(&secret, b"s").unwrap()[..], b"secret");
}

#[test]
fn a_resealed_root_opens_old_records_and_a_wiped_one_nothing() {
    let (custody, seal) = Custody::create("dev", None).unwrap();
    let (record, public) = custody.generate(Algorithm::MlDsa44, b"k").unwrap();
    let tag = custody.mac("label", b"data").unwrap();
    for seal in [seal, custody.reseal("dev", None).unwrap()] {
        let reopened = Custody::open(&seal, "dev", None).unwrap();
        assert_eq!(reopened.unseal(&record, b"k").unwrap().public(), public);
        assert_eq!(reopened.mac("label", b"data").unwrap(), tag);
        assert_ne!(reopened.mac("label2", b"data").unwrap(), tag);
        reopened.wipe();
        assert!(matches!(
            reopened.unseal(&record, b"k"),
            Err(CustodyError::Seal(_))
        ));
        assert!(matches!(
            reopened.mac("label", b"data"),
            Err(CustodyError::Seal(_))
        ));
    }
}

#[test]
fn batches_give_the_verdicts_of_single_verification() {
    let custody = custody();
    let algorithms = [
        Algorithm::Ed25519,
        Algorithm::Ed25519,
        Algorithm::MlDsa44,
        Algorithm::Es256,
    ];
    let keys: Vec<_> = algorithms
        .iter()
        .map(|&algorithm| new_key(&custody, algorithm))
        .collect();
    let messages: Vec<[u8; 2]> = (0..300_u16).map(u16::to_be_bytes).collect();
    let mut signatures: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| keys[index % 4].0.sign(message, SignOptions::default()).unwrap())
        .collect();
    for index in [0, 1, 63, 130, 131, 255, 299] {
        let middle = signatures[index].len() / 2;
        signatures[index][middle] ^= 1;
    }
    signatures[8].truncate(63);
    let items: Vec<_> = messages
        .iter()
        .zip(&signatures)
        .enumerate()
        .map(|(index, (message, signature))| BatchItem {
            key: keys[index % 4].1.as_ref().unwrap(),
            message,
            signature,
            context: &[],
        })
        .collect();
    for count in [0, 1, 3, 64, 65, 300] {
        let verdicts = verify_batch(&items[..count], Priority::Normal).unwrap();
        assert_eq!(verdicts.len(), count);
        for (index, (item, verdict)) in items.iter().zip(&verdicts).enumerate() {
            let single = item
                .key
                .verify(item.message, item.signature, VerifyOptions::default())
                .unwrap();
            assert_eq!(*verdict, single, "item {index} of {count}");
        }
    }
    let refused = [BatchItem {
        context: b"c",
        ..items[0]
    }];
    assert!(matches!(
        verify_batch(&refused, Priority::Normal),
        Err(CustodyError::Input(_))
    ));
}

#[test]
fn sign_batch_keeps_the_order() {
    let custody = custody();
    for algorithm in [Algorithm::Ed25519, Algorithm::MlDsa65] {
        let (key, public) = new_key(&custody, algorithm);
        let messages: Vec<[u8; 2]> = (0..100_u16).map(u16::to_be_bytes).collect();
        let slices: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
        let signatures = sign_batch(&key, &slices, b"", Priority::Normal).unwrap();
        assert_eq!(signatures.len(), messages.len());
        let public = public.unwrap();
        for (message, signature) in messages.iter().zip(&signatures) {
            assert!(
                public
                    .verify(message, signature, VerifyOptions::default())
                    .unwrap()
                    .all()
            );
        }
    }
    let (key, _) = new_key(&custody, Algorithm::AesKwp);
    assert!(matches!(
        sign_batch(&key, &[b"m"], b"", Priority::Normal),
        Err(CustodyError::Input(_))
    ));
}

#[test]
fn debug_shows_the_algorithm_alone() {
    let custody = custody();
    let (key, public) = new_key(&custody, Algorithm::Ed25519);
    assert_eq!(format!("{key:?}"), "PrivateKey(Ed25519)");
    assert_eq!(format!("{:?}", public.unwrap()), "PublicKey(Ed25519)");
    assert_eq!(format!("{custody:?}"), "Custody");
}
