//! Sealed records and seals, changed: what is not byte for byte what was sealed does not open, by any door.

use std::sync::OnceLock;

use ronkms_custody::{Algorithm, Custody, CustodyError, Mechanism};

use crate::input::Input;

const IDENTITY: &[u8] = b"tenant/key/1";
const SECRET: &[u8] = b"a secret of the caller";
const SEED: Mechanism = Mechanism::HpkeXWing;

#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Key,
    Secret,
    MacKey,
    ImportKey,
}

struct Fixture {
    custody: Custody,
    seal: Vec<u8>,
    records: Vec<(Holds, Vec<u8>)>,
}

static FIXTURE: OnceLock<Fixture> = OnceLock::new();

fn fixture() -> Fixture {
    let (custody, seal) = Custody::create("dev", None).expect("a dev seal");
    let mut records: Vec<_> = Algorithm::ALL
        .iter()
        .map(|&algorithm| custody.generate(algorithm, IDENTITY).expect("a key").0)
        .map(|record| (Holds::Key, record))
        .collect();
    records.push((
        Holds::Secret,
        custody.seal_secret(SECRET, IDENTITY).expect("sealed"),
    ));
    records.push((Holds::MacKey, custody.generate_mac_key(IDENTITY).expect("a key")));
    let (import_key, _) = custody.import_params(SEED, IDENTITY).expect("a key");
    records.push((Holds::ImportKey, import_key));
    Fixture {
        custody,
        seal,
        records,
    }
}

pub(crate) fn run(data: &[u8]) {
    let Fixture {
        custody,
        seal,
        records,
    } = FIXTURE.get_or_init(fixture);
    let mut input = Input::new(data);
    let (holds, record) = input.choose(records);
    let identity = input.changed(IDENTITY);
    let changed = input.changed(record);
    let same = identity == IDENTITY && changed == *record;
    check(custody, *holds, &changed, &identity, same);

    let changed_seal = input.changed(seal);
    match Custody::open(&changed_seal, "dev", None) {
        Ok(reopened) => {
            assert_eq!(changed_seal, *seal, "a changed seal opened");
            check(&reopened, *holds, &changed, &identity, same);
        }
        Err(CustodyError::Seal(_)) => assert_ne!(changed_seal, *seal, "the seal does not open"),
        Err(error) => panic!("{error:?}"),
    }
}

fn check(custody: &Custody, holds: Holds, record: &[u8], identity: &[u8], same: bool) {
    let must = |door: Holds, result: Result<(), CustodyError>| match result {
        Ok(()) => assert!(same && door == holds, "it opened"),
        // Opened with the import key, the empty input is not wrapped to it.
        Err(CustodyError::Unwrap(_)) if door == Holds::ImportKey => {
            assert!(same && door == holds, "it opened")
        }
        Err(CustodyError::DamagedRecord(_)) => assert!(!same || door != holds, "it does not open"),
        Err(error) => panic!("{error:?}"),
    };
    must(Holds::Key, custody.unseal(record, identity).map(|_| ()));
    must(
        Holds::Secret,
        custody
            .open_secret(record, identity)
            .map(|secret| assert_eq!(*secret, SECRET)),
    );
    must(
        Holds::MacKey,
        custody.unseal_mac_key(record, identity).map(|_| ()),
    );
    let imported = custody.import_key(SEED, record, identity, &[], Algorithm::Ed25519, identity);
    must(Holds::ImportKey, imported.map(|_| ()));
}
