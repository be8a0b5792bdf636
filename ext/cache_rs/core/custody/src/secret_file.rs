//! Reading a passphrase or key file straight into locked memory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs::File, io::Read};

use crate::locked::{KEYS, Secret};
use crate::{CustodyError, Result};

/// Reads a file of at most `limit` bytes that nobody but its owner may read.
///
/// A file under `$CREDENTIALS_DIRECTORY` may be readable by its group: systemd grants a service access to
/// its credentials through an ACL, which shows as group bits.
///
/// # Errors
/// `Seal`: missing, not a regular file, open to others, or longer than `limit`.
pub(crate) fn read(path: &str, limit: usize) -> Result<Secret> {
    let mut file = File::open(path)
        .map_err(|error| CustodyError::seal(format!("cannot read the secret file {path}: {error}")))?;
    let metadata = file
        .metadata()
        .map_err(|error| CustodyError::seal(format!("cannot read the secret file {path}: {error}")))?;
    if !metadata.is_file() {
        return Err(CustodyError::seal(format!(
            "the secret file {path} is not a regular file"
        )));
    }
    let allowed = if is_credential(Path::new(path)) {
        0o740
    } else {
        0o700
    };
    if metadata.mode() & 0o777 & !allowed != 0 {
        return Err(CustodyError::seal(format!(
            "the secret file {path} is open to others (mode {:04o}): chmod 600 {path}",
            metadata.mode() & 0o7777
        )));
    }
    let mut secret = KEYS.secret(limit + 1)?;
    let buffer = secret.bytes_mut()?;
    let mut length = 0;
    loop {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(CustodyError::seal(format!(
                    "cannot read the secret file {path}: {error}"
                )));
            }
        }
    }
    if length > limit {
        return Err(CustodyError::seal(format!(
            "the secret file {path} is longer than {limit} bytes"
        )));
    }
    secret.truncate(length)?;
    Ok(secret)
}

fn is_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|directory| path.starts_with(directory))
}
