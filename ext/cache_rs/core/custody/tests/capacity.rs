//! What happens when the locked region is full. Alone in its binary: it takes all room of the process.

use ronkms_custody::{Algorithm, Custody, CustodyError};

#[test]
fn the_region_fills_up_and_empties_again() {
    for algorithm in [Algorithm::MlDsa87, Algorithm::MlDsa65Ed25519Sha512] {
        fills_up_and_empties_again(algorithm);
    }
}

fn fills_up_and_empties_again(algorithm: Algorithm) {
    let (custody, _) = Custody::create("dev", None).unwrap();
    let (record, _) = custody.generate(algorithm, b"k").unwrap();
    let mut keys = Vec::new();
    let error = loop {
        match custody.unseal(&record, b"k") {
            Ok(key) => keys.push(key),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CustodyError::Full(_)), "{error:?}");
    assert!(keys.len() > 40);
    keys.truncate(keys.len() - 8);
    assert!(custody.unseal(&record, b"k").is_ok());
}
