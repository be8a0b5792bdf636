//! Seals, version 1 (docs/formats/sealed-record.md): the root key under a passphrase, a key file, or in
//! the clear for throw-away data.

use argon2::{Argon2, Block, Params, Version};
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::{Zeroize, Zeroizing};

use crate::locked::{KEYS, ROOTS, Secret};
use crate::stack::with_clean_stack;
use crate::{CustodyError, Result, aead, kdf, random, secret_file};

const MAGIC: &[u8; 8] = b"RONKSEAL";
const VERSION: u8 = 0x01;
const HEADER: usize = 54;
const SALT: std::ops::Range<usize> = 22..54;
const LENGTH: usize = HEADER + ROOT + aead::TAG;
const KEYFILE_INFO: &[u8] = b"ron-kms seal keyfile v1";

/// Bytes of a root key.
pub(crate) const ROOT: usize = 32;

const PASSPHRASE: std::ops::RangeInclusive<usize> = 12..=1024;
const KEYFILE: std::ops::RangeInclusive<usize> = 32..=4096;

const STACK: usize = 16 * 1024;

/// What protects a root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Passphrase,
    Keyfile,
    Dev,
}

impl Kind {
    pub(crate) fn from_name(name: &str) -> Result<Self> {
        match name {
            "passphrase" => Ok(Self::Passphrase),
            "keyfile" => Ok(Self::Keyfile),
            "dev" => Ok(Self::Dev),
            _ => Err(CustodyError::input(
                "unknown seal; one of passphrase, keyfile, dev",
            )),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::Keyfile => "keyfile",
            Self::Dev => "dev",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Passphrase => 0x01,
            Self::Keyfile => 0x02,
            Self::Dev => 0x03,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Passphrase, Self::Keyfile, Self::Dev]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// Argon2id costs as a seal records them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Costs {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Costs {
    const NEW: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };
    const NONE: Self = Self {
        memory_kib: 0,
        passes: 0,
        lanes: 0,
    };

    /// Bounds that a damaged seal cannot use to exhaust the machine.
    const fn are_acceptable(self) -> bool {
        self.memory_kib >= 8 * self.lanes
            && self.memory_kib <= 1024 * 1024
            && self.passes >= 1
            && self.passes <= 16
            && self.lanes >= 1
            && self.lanes <= 4
    }
}

/// Makes a seal around `root`.
///
/// # Errors
/// `Seal`: secret file missing, open to others, too short or too long; `Input`: no file named.
pub(crate) fn make(root: &Secret, kind: Kind, secret_path: Option<&str>) -> Result<Vec<u8>> {
    let costs = if kind == Kind::Passphrase {
        Costs::NEW
    } else {
        Costs::NONE
    };
    let mut seal = Vec::with_capacity(LENGTH);
    seal.extend_from_slice(MAGIC);
    seal.extend_from_slice(&[VERSION, kind.code()]);
    for cost in [costs.memory_kib, costs.passes, costs.lanes] {
        seal.extend_from_slice(&cost.to_be_bytes());
    }
    seal.extend_from_slice(&random::array::<32>());
    let header = seal.clone();
    let kek = key_encryption_key(kind, costs, &header[SALT], secret_path)?;
    seal.extend_from_slice(root.bytes()?);
    let tag = match kek {
        None => checksum(&header, &seal[HEADER..]),
        Some(kek) => aead::seal_in_place(kek.bytes()?, [0; aead::NONCE], &header, &mut seal[HEADER..]),
    };
    seal.extend_from_slice(&tag);
    Ok(seal)
}

/// Opens a seal and returns the root key.
///
/// # Errors
/// `Seal`: damaged, of another kind, or the secret is not the one it was made with.
pub(crate) fn open(seal: &[u8], kind: Kind, secret_path: Option<&str>) -> Result<Secret> {
    let damaged = || CustodyError::seal("the seal is damaged or not a seal: restore it from a backup");
    let seal: &[u8; LENGTH] = seal.try_into().map_err(|_| damaged())?;
    let (header, protected) = seal.split_at(HEADER);
    if &header[..8] != MAGIC {
        return Err(damaged());
    }
    if header[8] != VERSION {
        return Err(CustodyError::seal(
            "the seal has an unknown version: use the release that made it, or newer",
        ));
    }
    let made_with = Kind::from_code(header[9]).ok_or_else(damaged)?;
    if made_with != kind {
        return Err(CustodyError::seal(format!(
            "the data directory is sealed with '{}' but '{}' is configured",
            made_with.name(),
            kind.name()
        )));
    }
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let costs = Costs {
        memory_kib: number(10),
        passes: number(14),
        lanes: number(18),
    };
    if if kind == Kind::Passphrase {
        !costs.are_acceptable()
    } else {
        costs != Costs::NONE
    } {
        return Err(damaged());
    }
    let mut root = ROOTS.secret(ROOT + aead::TAG)?;
    root.bytes_mut()?.copy_from_slice(protected);
    match key_encryption_key(kind, costs, &header[SALT], secret_path)? {
        None => {
            let (key, sum) = protected.split_at(ROOT);
            if checksum(header, key) != sum {
                return Err(damaged());
            }
        }
        Some(kek) => {
            aead::open_in_place(kek.bytes()?, [0; aead::NONCE], header, root.bytes_mut()?).ok_or_else(
                || {
                    CustodyError::seal(format!(
                        "the seal does not open: wrong {}, or the seal is damaged",
                        kind.name()
                    ))
                },
            )?;
        }
    }
    root.truncate(ROOT)?;
    Ok(root)
}

fn checksum(header: &[u8], root: &[u8]) -> [u8; aead::TAG] {
    let input = Zeroizing::new([header, root].concat());
    *digest(&SHA256, &input)
        .as_ref()
        .first_chunk()
        .expect("SHA-256 has 32 bytes")
}

/// The key that protects the root key, in locked memory; none for the dev seal.
fn key_encryption_key(
    kind: Kind,
    costs: Costs,
    salt: &[u8],
    secret_path: Option<&str>,
) -> Result<Option<Secret>> {
    if kind == Kind::Dev {
        return Ok(None);
    }
    let path = secret_path.ok_or_else(|| {
        CustodyError::input(format!(
            "the {} seal needs the path of its secret file",
            kind.name()
        ))
    })?;
    let range = if kind == Kind::Passphrase {
        PASSPHRASE
    } else {
        KEYFILE
    };
    let mut secret = secret_file::read(path, *range.end())?;
    if kind == Kind::Passphrase {
        let line = secret
            .bytes()?
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        secret.truncate(length)?;
    }
    if secret.bytes()?.len() < *range.start() {
        return Err(CustodyError::seal(format!(
            "the {} in {path} is too short: at least {} bytes",
            kind.name(),
            range.start()
        )));
    }
    let mut kek = KEYS.secret(aead::KEY)?;
    match kind {
        Kind::Keyfile => kdf::hkdf(salt, secret.bytes()?, &[KEYFILE_INFO], kek.bytes_mut()?),
        _ => argon2id(secret.bytes()?, salt, costs, kek.bytes_mut()?)?,
    }
    Ok(Some(kek))
}

fn argon2id(password: &[u8], salt: &[u8], costs: Costs, out: &mut [u8]) -> Result<()> {
    let refused = |error: argon2::Error| CustodyError::seal(format!("Argon2id refused its input: {error}"));
    let params =
        Params::new(costs.memory_kib, costs.passes, costs.lanes, Some(out.len())).map_err(refused)?;
    let mut memory = vec![Block::default(); params.block_count()];
    let hashed = with_clean_stack::<STACK, _>(|| {
        Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            password,
            salt,
            out,
            &mut memory,
        )
    });
    memory.zeroize();
    hashed.map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::{Costs, Kind, LENGTH, argon2id, make, open};
    use crate::CustodyError;
    use crate::locked::ROOTS;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    struct SecretFile(PathBuf);

    impl SecretFile {
        fn new(name: &str, content: &[u8], mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("ronkms-seal-{}-{name}", std::process::id()));
            let mut file = std::fs::File::create(&path).unwrap();
            file.write_all(content).unwrap();
            file.set_permissions(std::fs::Permissions::from_mode(mode))
                .unwrap();
            Self(path)
        }

        fn path(&self) -> Option<&str> {
            self.0.to_str()
        }
    }

    impl Drop for SecretFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn root() -> crate::locked::Secret {
        ROOTS.copy_of(&[0x42; 32]).unwrap()
    }

    fn seal_error(result: crate::Result<impl Sized>) -> String {
        match result {
            Err(CustodyError::Seal(message)) => message.into_owned(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("opened"),
        }
    }

    #[test]
    fn each_kind_opens_with_its_secret_alone() {
        let phrase = SecretFile::new("phrase", b"correct horse battery\r\nsecond line", 0o600);
        let same = SecretFile::new("same", b"correct horse battery", 0o400);
        let wrong = SecretFile::new("wrong", b"correct horse batterz", 0o600);
        let key = SecretFile::new("key", &[9; 64], 0o600);
        let sealed = make(&root(), Kind::Passphrase, phrase.path()).unwrap();
        assert_eq!(sealed.len(), LENGTH);
        assert_eq!(
            open(&sealed, Kind::Passphrase, same.path())
                .unwrap()
                .bytes()
                .unwrap(),
            [0x42; 32]
        );
        assert!(seal_error(open(&sealed, Kind::Passphrase, wrong.path())).contains("wrong passphrase"));
        assert!(seal_error(open(&sealed, Kind::Keyfile, key.path())).contains("sealed with 'passphrase'"));
        let sealed = make(&root(), Kind::Keyfile, key.path()).unwrap();
        assert_eq!(
            open(&sealed, Kind::Keyfile, key.path()).unwrap().bytes().unwrap(),
            [0x42; 32]
        );
        let sealed = make(&root(), Kind::Dev, None).unwrap();
        assert_eq!(
            open(&sealed, Kind::Dev, None).unwrap().bytes().unwrap(),
            [0x42; 32]
        );
        assert!(matches!(
            make(&root(), Kind::Keyfile, None),
            Err(CustodyError::Input(_))
        ));
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let key = SecretFile::new("tamper", &[9; 32], 0o600);
        for (kind, path) in [(Kind::Keyfile, key.path()), (Kind::Dev, None)] {
            let sealed = make(&root(), kind, path).unwrap();
            for index in 0..LENGTH {
                let mut changed = sealed.clone();
                changed[index] ^= 0x01;
                seal_error(open(&changed, kind, path));
                seal_error(open(&sealed[..index], kind, path));
            }
        }
    }

    #[test]
    fn secret_files_must_be_private_and_long_enough() {
        let open_to_group = SecretFile::new("group", &[1; 32], 0o640);
        let message = seal_error(make(&root(), Kind::Keyfile, open_to_group.path()));
        assert!(message.contains("chmod 600") && message.contains(open_to_group.path().unwrap()));
        let short = SecretFile::new("short", b"elevenbytes\n", 0o600);
        assert!(seal_error(make(&root(), Kind::Passphrase, short.path())).contains("too short"));
        let long = SecretFile::new("long", &[1; 4097], 0o600);
        assert!(seal_error(make(&root(), Kind::Keyfile, long.path())).contains("longer"));
        assert!(seal_error(make(&root(), Kind::Keyfile, Some("/nonexistent"))).contains("cannot read"));
        assert!(seal_error(make(&root(), Kind::Keyfile, Some("/"))).contains("not a regular file"));
    }

    #[test]
    fn argon2id_gives_the_answer_of_another_implementation() {
        // Computed with the reference implementation through `cryptography` 50 (Argon2id, 32 MiB, 3
        // passes, 1 lane).
        let mut out = [0; 32];
        let costs = Costs {
            memory_kib: 32 * 1024,
            passes: 3,
            lanes: 1,
        };
        argon2id(b"correct horse battery", &[5; 32], costs, &mut out).unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&out),
            "dec2d6f9d7377a2626ac84ad6739213bee543ac16b291dcdfc7fcd7d977ee94a"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn arbitrary_bytes_never_open(mut seal in proptest::collection::vec(any::<u8>(), LENGTH)) {
            seal[..9].copy_from_slice(b"RONKSEAL\x01");
            seal[9] = 3;
            seal[10..22].fill(0);
            prop_assert!(open(&seal, Kind::Dev, None).is_err());
        }
    }
}
