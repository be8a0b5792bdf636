//! AES-GCM, AES-KWP, HKDF (Wycheproof) and X-Wing key generation (draft).

use super::{each_test, hex, is_valid, load};
use crate::{aead, kdf, key_wrap, xwing};

#[test]
fn aes_256_gcm() {
    let Some(vectors) = load("wycheproof/aes_gcm_test.json") else {
        return;
    };
    let mut used = 0;
    each_test(&vectors, 316, |group, test| {
        if group["keySize"] != 256 || group["ivSize"] != 96 || group["tagSize"] != 128 {
            return;
        }
        used += 1;
        let (key, aad, plaintext) = (hex(&test["key"]), hex(&test["aad"]), hex(&test["msg"]));
        let nonce = hex(&test["iv"])[..].try_into().unwrap();
        let (ciphertext, tag) = (hex(&test["ct"]), hex(&test["tag"]));
        let mut opened = [&ciphertext[..], &tag].concat();
        let length = aead::open_in_place(&key, nonce, &aad, &mut opened);
        assert_eq!(length.is_some(), is_valid(test), "tcId {}", test["tcId"]);
        if let Some(length) = length {
            assert_eq!(opened[..length], plaintext, "tcId {}", test["tcId"]);
            let mut sealed = plaintext;
            assert_eq!(aead::seal_in_place(&key, nonce, &aad, &mut sealed)[..], tag);
            assert_eq!(sealed, ciphertext);
        }
    });
    assert!(used >= 60, "only {used} cases have our parameters");
}

#[test]
fn aes_kwp() {
    let Some(vectors) = load("wycheproof/aes_kwp_test.json") else {
        return;
    };
    let mut used = 0;
    each_test(&vectors, 254, |group, test| {
        if group["keySize"] != 256 {
            return;
        }
        used += 1;
        let key: [u8; 32] = hex(&test["key"])[..].try_into().unwrap();
        let (plaintext, wrapped) = (hex(&test["msg"]), hex(&test["ct"]));
        let mut unwrapped = vec![0; wrapped.len().saturating_sub(8)];
        let length = key_wrap::unwrap(&key, &wrapped, &mut unwrapped);
        // "acceptable" marks short plaintexts, which RFC 5649 allows.
        let expected = test["result"] != "invalid";
        assert_eq!(
            length.is_some(),
            expected,
            "tcId {}: {}",
            test["tcId"],
            test["comment"]
        );
        if let Some(length) = length {
            assert_eq!(unwrapped[..length], plaintext, "tcId {}", test["tcId"]);
            assert_eq!(key_wrap::wrap(&key, &plaintext), wrapped);
        }
    });
    assert!(used >= 60, "only {used} cases have our key size");
}

#[test]
fn hkdf_sha256() {
    let Some(vectors) = load("wycheproof/hkdf_sha256_test.json") else {
        return;
    };
    each_test(&vectors, 86, |_, test| {
        if !is_valid(test) {
            return;
        }
        let mut okm = vec![0; usize::try_from(test["size"].as_u64().unwrap()).unwrap()];
        kdf::hkdf(
            &hex(&test["salt"]),
            &hex(&test["ikm"]),
            &[&hex(&test["info"])],
            &mut okm,
        );
        assert_eq!(okm, hex(&test["okm"]), "tcId {}", test["tcId"]);
    });
}

#[test]
fn xwing_public_keys() {
    let Some(vectors) = load("xwing/test-vectors.json") else {
        return;
    };
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let seed: [u8; 32] = hex(&vector["sk"])[..].try_into().unwrap();
        assert_eq!(xwing::public(&seed), hex(&vector["pk"]));
    }
}
