//! ML-DSA: key generation (ACVP), deterministic signing and verification (Wycheproof).

use super::{each_test, hex, hex_or_empty, is_valid, load};
use crate::algorithm::MAX_CONTEXT;
use crate::ml_dsa::{Input, ML_DSA_44, ML_DSA_65, ML_DSA_87, ParameterSet, SigningKey};
use crate::{Algorithm, PublicKey, VerifyOptions, key_material};

fn key(parameters: &'static ParameterSet, seed: &[u8]) -> (SigningKey, Vec<u8>) {
    SigningKey::from_seed(parameters, seed.try_into().unwrap()).unwrap()
}

#[test]
fn key_generation() {
    let Some(vectors) = load("acvp/ML-DSA-keyGen-FIPS204.json") else {
        return;
    };
    each_test(&vectors, 75, |group, test| {
        let parameters = match group["parameterSet"].as_str().unwrap() {
            "ML-DSA-44" => &ML_DSA_44,
            "ML-DSA-65" => &ML_DSA_65,
            _ => &ML_DSA_87,
        };
        let (key, public) = key(parameters, &hex(&test["seed"]));
        assert_eq!(public, hex(&test["pk"]), "tcId {}", test["tcId"]);
        assert!(
            key.has_expanded_form(&hex(&test["sk"])).unwrap(),
            "tcId {}",
            test["tcId"]
        );
    });
}

#[test]
fn deterministic_signatures() {
    let Some(vectors) = load("wycheproof/mldsa_65_sign_seed_test.json") else {
        return;
    };
    let mut signed = 0;
    each_test(&vectors, 105, |group, test| {
        let seed = hex(&group["privateSeed"]);
        let context = hex_or_empty(&test["ctx"]);
        if seed.len() != 32 || context.len() > MAX_CONTEXT {
            assert!(!is_valid(test), "tcId {}", test["tcId"]);
            return;
        }
        if !is_valid(test) || !test["rnd"].is_null() {
            return;
        }
        let (key, _) = key(&ML_DSA_65, &seed);
        let expected = hex(&test["sig"]);
        let mut signature = vec![0; ML_DSA_65.signature];
        if !test["msg"].is_null() {
            let input = Input::Message {
                message: &hex(&test["msg"]),
                context: &context,
            };
            key.sign(input, true, &mut signature).unwrap();
            assert_eq!(signature, expected, "tcId {}", test["tcId"]);
            signed += 1;
        }
        if !test["mu"].is_null() {
            key.sign(
                Input::Mu(hex(&test["mu"])[..].try_into().unwrap()),
                true,
                &mut signature,
            )
            .unwrap();
            assert_eq!(signature, expected, "tcId {} mu", test["tcId"]);
            signed += 1;
        }
    });
    assert!(signed >= 100, "only {signed} signatures were compared");
}

#[test]
fn seeds_arrive_through_pkcs8() {
    let Some(vectors) = load("wycheproof/mldsa_65_sign_seed_test.json") else {
        return;
    };
    each_test(&vectors, 105, |group, _| {
        let seed = hex(&group["privateSeed"]);
        if seed.len() != 32 || group["privateKeyPkcs8"].is_null() {
            return;
        }
        let content = key_material::import(Algorithm::MlDsa65, &hex(&group["privateKeyPkcs8"])).unwrap();
        assert_eq!(content.bytes().unwrap(), seed);
    });
}

fn verification(file: &str, count: usize, algorithm: Algorithm) {
    let Some(vectors) = load(file) else { return };
    each_test(&vectors, count, |group, test| {
        let (message, context) = (hex(&test["msg"]), hex_or_empty(&test["ctx"]));
        let options = VerifyOptions {
            context: &context,
            ..VerifyOptions::default()
        };
        let accepted = PublicKey::parse(algorithm, &hex(&group["publicKey"]))
            .and_then(|key| key.verify(&message, &hex(&test["sig"]), options))
            .is_ok_and(|verdict| verdict.all());
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
fn verification_44() {
    verification("wycheproof/mldsa_44_verify_test.json", 180, Algorithm::MlDsa44);
}

#[test]
fn verification_65() {
    verification("wycheproof/mldsa_65_verify_test.json", 210, Algorithm::MlDsa65);
}

#[test]
fn hedged_signatures_differ_and_verify_for_every_parameter_set() {
    for (algorithm, parameters) in [
        (Algorithm::MlDsa44, &ML_DSA_44),
        (Algorithm::MlDsa65, &ML_DSA_65),
        (Algorithm::MlDsa87, &ML_DSA_87),
    ] {
        let (key, public) = key(parameters, &[0x5C; 32]);
        let verifying = PublicKey::parse(algorithm, &public).unwrap();
        for context in [&b""[..], b"context", &[9; MAX_CONTEXT]] {
            let options = VerifyOptions {
                context,
                ..VerifyOptions::default()
            };
            let input = Input::Message {
                message: b"message",
                context,
            };
            let mut signatures = [vec![0; parameters.signature], vec![0; parameters.signature]];
            for signature in &mut signatures {
                key.sign(input, false, signature).unwrap();
                assert!(verifying.verify(b"message", signature, options).unwrap().all());
                assert!(!verifying.verify(b"messagf", signature, options).unwrap().all());
            }
            assert_ne!(signatures[0], signatures[1]);
        }
    }
}
