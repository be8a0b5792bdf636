//! The files of the log: `audit-00000001.jsonl` and so on, and what is cut off them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An open segment.
pub struct Segment {
    /// Its number, from 1.
    pub number: u64,
    /// Its inode when it was opened.
    pub inode: u64,
    file: File,
    path: PathBuf,
}

/// Path of a segment.
pub fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("audit-{number:08}.jsonl"))
}

/// Makes the directory (0700) if it is missing.
pub fn ensure_directory(directory: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).recursive(true).create(directory) {
        Ok(()) => Ok(()),
        Err(cause) => Err(Error::audit_os(
            format!("cannot make {}", directory.display()),
            &cause,
        )),
    }
}

/// Numbers of the segments in a directory, ascending. They begin at 1; what is numbered otherwise is no segment.
pub fn list(directory: &Path) -> Result<Vec<u64>> {
    let failed = |cause: io::Error| Error::audit_os(format!("cannot list {}", directory.display()), &cause);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl"))
            .filter(|digits| digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok())
            .filter(|number| (1..u64::MAX).contains(number));
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes names in a directory durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Segment {
    /// Opens an existing segment for reading and writing.
    pub fn open(directory: &Path, number: u64) -> io::Result<Self> {
        let path = path_of(directory, number);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Self::over(number, file, path)
    }

    /// Makes a new segment (0600), durably named. Takes over an empty one that a crash left behind.
    pub fn create(directory: &Path, number: u64) -> io::Result<Self> {
        let path = path_of(directory, number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        if file.metadata()?.len() != 0 {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        sync_directory(directory)?;
        Self::over(number, file, path)
    }

    fn over(number: u64, file: File, path: PathBuf) -> io::Result<Self> {
        let inode = file.metadata()?.ino();
        Ok(Self {
            number,
            inode,
            file,
            path,
        })
    }

    /// Writes all bytes at an offset.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Reads from an offset to the end.
    pub fn read_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length()?.saturating_sub(offset) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// A reader over the whole segment.
    pub fn reader(&self) -> io::Result<impl Read> {
        File::open(&self.path)
    }

    /// Present length in bytes.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Cuts the segment to a length.
    pub fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// Puts data and length on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether the name still leads to this file. `Err` if that cannot be told.
    pub fn is_in_place(&self) -> io::Result<bool> {
        if self.file.metadata()?.nlink() == 0 {
            return Ok(false);
        }
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok(named.ino() == self.inode),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// Whether the file system would take `bytes` more. Changes no length.
    pub fn has_room(&self, bytes: u64) -> bool {
        let length = self.length().unwrap_or(0);
        // SAFETY: plain system call on an owned descriptor.
        let code = unsafe {
            libc::fallocate(
                self.file.as_raw_fd(),
                libc::FALLOC_FL_KEEP_SIZE,
                length as libc::off_t,
                bytes as libc::off_t,
            )
        };
        // A file system without the call cannot tell; the append itself will.
        code == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EOPNOTSUPP)
    }

    /// Moves everything from `offset` on into a file beside the segment and cuts the segment there,
    /// durably. Returns how many bytes.
    pub fn quarantine(&self, directory: &Path, offset: u64) -> io::Result<u64> {
        let torn = self.read_from(offset)?;
        let mut attempt = 0_u32;
        loop {
            let suffix = if attempt == 0 {
                String::new()
            } else {
                format!(".{attempt}")
            };
            let aside = directory.join(format!("audit-{:08}.{offset}{suffix}.torn", self.number));
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&aside)
            {
                Ok(file) => {
                    file.write_all_at(&torn, 0)?;
                    file.sync_all()?;
                    break;
                }
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(cause) => return Err(cause),
            }
        }
        sync_directory(directory)?;
        self.truncate(offset)?;
        self.file.sync_all()?;
        Ok(torn.len() as u64)
    }

    /// The path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
