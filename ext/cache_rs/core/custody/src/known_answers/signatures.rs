//! Classical signatures and the composite, through the public interface.

use super::{base64, each_test, hex, is_valid, load};
use crate::composite::{MLDSA65_ED25519_SHA512, SigningKey};
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

#[test]
fn composite() {
    let Some(vectors) = load("composite/testvectors.json") else {
        return;
    };
    let (message, context) = (base64(&vectors["m"]), base64(&vectors["ctx"]));
    let test = vectors["tests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|test| test["tcId"] == "id-MLDSA65-Ed25519-SHA512")
        .unwrap();
    let seeds = base64(&test["sk"]);
    let (key, public) =
        SigningKey::from_seeds(&MLDSA65_ED25519_SHA512, seeds[..].try_into().unwrap()).unwrap();
    assert_eq!(public, base64(&test["pk"]));
    let imported = key_material::import(Algorithm::MlDsa65Ed25519Sha512, &base64(&test["sk_pkcs8"])).unwrap();
    assert_eq!(imported.bytes().unwrap(), seeds);

    let verifying = PublicKey::parse(Algorithm::MlDsa65Ed25519Sha512, &public).unwrap();
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
    for (name, context) in [("s", &b""[..]), ("sWithContext", &context)] {
        let signature = base64(&test[name]);
        assert_eq!(components(&signature, context), [true, true]);
        assert_eq!(components(&signature, b"other"), [false, false]);
        let mut broken = signature.clone();
        broken[100] ^= 1;
        assert_eq!(components(&broken, context), [false, true]);
        let mut broken = signature.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(components(&broken, context), [true, false]);
        assert_eq!(
            components(&signature[..signature.len() - 1], context),
            [true, false]
        );
        assert_eq!(components(&signature[..3000], context), [false, false]);

        let own = key.sign(&message, context, false).unwrap();
        assert_eq!(own.len(), signature.len());
        assert_eq!(components(&own, context), [true, true]);
    }
}
