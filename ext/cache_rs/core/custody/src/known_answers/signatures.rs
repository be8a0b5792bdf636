//! Classical signatures and the composites, through the public interface.

use super::{base64, each_test, hex, is_valid, load};
use serde_json::Value;

use crate::composite::{self, SigningKey};
use crate::ml_dsa::{ML_DSA_44, ML_DSA_65, ML_DSA_87, ParameterSet};
use crate::{Algorithm, InputKind, PublicKey, VerifyOptions, key_material};

fn wycheproof(file: &str, count: usize, algorithm: Algorithm, p1363: bool) {
    let Some(vectors) = load(file) else { return };
    each_test(&vectors, count, |group, test| {
        let (message, signature) = (hex(&test["msg"]), hex(&test["sig"]));
        let public = if algorithm == Algorithm::Ed25519 {
            hex(&group["publicKey"]["pk"])
        } else {
            hex(&group["publicKeyDer"])
        };
        let options = VerifyOptions {
            p1363,
            ..VerifyOptions::default()
        };
        let accepted = PublicKey::parse(algorithm, &public)
            .is_ok_and(|key| key.verify(&message, &signature, options).unwrap().all());
        assert_eq!(
            accepted,
            is_valid(test),
            "{file} tcId {}: {}",
            test["tcId"],
            test["comment"]
        );
    });
}

#[test]
fn ed25519() {
    wycheproof("wycheproof/ed25519_test.json", 151, Algorithm::Ed25519, false);
}

#[test]
fn es256() {
    wycheproof(
        "wycheproof/ecdsa_secp256r1_sha256_test.json",
        484,
        Algorithm::Es256,
        false,
    );
    wycheproof(
        "wycheproof/ecdsa_secp256r1_sha256_p1363_test.json",
        262,
        Algorithm::Es256,
        true,
    );
}

#[test]
fn es384() {
    wycheproof(
        "wycheproof/ecdsa_secp384r1_sha384_test.json",
        504,
        Algorithm::Es384,
        false,
    );
    wycheproof(
        "wycheproof/ecdsa_secp384r1_sha384_p1363_test.json",
        280,
        Algorithm::Es384,
        true,
    );
}

#[test]
fn ps256() {
    wycheproof(
        "wycheproof/rsa_pss_2048_sha256_mgf1_32_test.json",
        108,
        Algorithm::Ps256,
        false,
    );
    wycheproof(
        "wycheproof/rsa_pss_3072_sha256_mgf1_32_test.json",
        108,
        Algorithm::Ps256,
        false,
    );
}

#[test]
fn a_digest_verifies_as_its_message_does() {
    let Some(vectors) = load("wycheproof/ecdsa_secp256r1_sha256_test.json") else {
        return;
    };
    each_test(&vectors, 484, |group, test| {
        let key = PublicKey::parse(Algorithm::Es256, &hex(&group["publicKeyDer"])).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &hex(&test["msg"]));
        let options = VerifyOptions {
            kind: InputKind::Sha256,
            ..VerifyOptions::default()
        };
        let verdict = key.verify(digest.as_ref(), &hex(&test["sig"]), options).unwrap();
        assert_eq!(verdict.all(), is_valid(test), "tcId {}", test["tcId"]);
    });
}

/// The vectors of `algorithm` in `vectors`, and what must not verify.
fn check_composite(vectors: &Value, algorithm: Algorithm) {
    let (message, context) = (base64(&vectors["m"]), base64(&vectors["ctx"]));
    let name = format!("id-{}", algorithm.name());
    let test = vectors["tests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|test| test["tcId"] == name)
        .unwrap();
    let composite = composite::row(algorithm).unwrap();
    let private = base64(&test["sk"]);
    let (key, public) = SigningKey::from_private(composite, &private).unwrap();
    assert_eq!(public, base64(&test["pk"]));
    for material in [&private, &base64(&test["sk_pkcs8"])] {
        let imported = key_material::import(algorithm, material).unwrap();
        assert_eq!(imported.bytes().unwrap(), private);
    }
    let ml_dsa = parameters_of(algorithm).signature;
    let verifying = PublicKey::parse(algorithm, &public).unwrap();
    let components = |signature: &[u8], context: &[u8]| {
        let options = VerifyOptions {
            context,
            ..VerifyOptions::default()
        };
        verifying
            .verify(&message, signature, options)
            .unwrap()
            .components()
            .to_vec()
    };
    for (field, context) in [("s", &b""[..]), ("sWithContext", &context)] {
        let signature = base64(&test[field]);
        assert_eq!(components(&signature, context), [true, true], "{name}");
        assert_eq!(components(&signature, b"other"), [false, false], "{name}");
        let mut broken = signature.clone();
        broken[100] ^= 1;
        assert_eq!(components(&broken, context), [false, true], "{name}");
        let mut broken = signature.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(components(&broken, context), [true, false], "{name}");
        let longer = [&signature[..], &[0]].concat();
        for cut in [
            &longer[..],
            &signature[..signature.len() - 1],
            &signature[..ml_dsa],
            &signature[..ml_dsa - 1],
            &signature[ml_dsa..],
            &[],
        ] {
            assert_eq!(
                components(cut, context),
                [false, false],
                "{name}: {} bytes",
                cut.len()
            );
        }

        let own = key.sign(&message, context, false).unwrap();
        assert_eq!(components(&own, context), [true, true], "{name}");
    }
}

fn parameters_of(algorithm: Algorithm) -> &'static ParameterSet {
    match algorithm {
        Algorithm::MlDsa44Ed25519Sha512 => &ML_DSA_44,
        Algorithm::MlDsa87EcdsaP384Sha512 => &ML_DSA_87,
        _ => &ML_DSA_65,
    }
}

#[test]
fn composites() {
    let Some(vectors) = load("composite/testvectors.json") else {
        return;
    };
    for algorithm in [
        Algorithm::MlDsa44Ed25519Sha512,
        Algorithm::MlDsa65Ed25519Sha512,
        Algorithm::MlDsa65EcdsaP256Sha512,
    ] {
        check_composite(&vectors, algorithm);
    }
}

#[test]
fn the_composite_with_p384() {
    let vectors = include_str!("../../../../../../tests/e2e/known_answers/mldsa87_ecdsa_p384.json");
    check_composite(
        &serde_json::from_str(vectors).unwrap(),
        Algorithm::MlDsa87EcdsaP384Sha512,
    );
}

#[test]
fn a_composite_private_key_has_one_encoding() {
    for algorithm in [
        Algorithm::MlDsa65EcdsaP256Sha512,
        Algorithm::MlDsa87EcdsaP384Sha512,
    ] {
        let content = key_material::generate(algorithm).unwrap();
        let private = content.bytes().unwrap();
        assert!(key_material::import(algorithm, private).is_ok());
        let frame = (32..39).chain(private.len() - 9..private.len());
        for index in frame {
            let mut other = private.to_vec();
            other[index] ^= 1;
            assert!(key_material::import(algorithm, &other).is_err(), "byte {index}");
        }
        let tail = if algorithm == Algorithm::MlDsa65EcdsaP256Sha512 {
            12
        } else {
            9
        };
        for scalar in [0x00, 0xFF] {
            let mut outside = private.to_vec();
            let end = outside.len() - tail;
            outside[39..end].fill(scalar);
            assert!(
                key_material::import(algorithm, &outside).is_err(),
                "scalar {scalar:#x}"
            );
        }
    }
}
