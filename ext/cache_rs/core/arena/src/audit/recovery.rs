//! Reading the end of the log: at start, and after a worker died while it appended.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::audit::line::{ChainPoint, LINE_MAX, link_of};
use crate::audit::segment::{Segment, list, path_of};
use crate::audit::state::Head;
use crate::error::{Error, Result};

/// How far whole records reach in a stream of lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// The chain after the last whole record.
    pub chain: ChainPoint,
    /// Bytes of whole records.
    pub length: u64,
    /// Whether what follows them is the remains of an interrupted write rather than a change.
    pub rest_is_torn: bool,
}

/// Follows the chain line by line from `start`.
///
/// What follows the last whole record counts as torn if it is one unfinished line, or a line cut by
/// pages that never reached the disk (NUL bytes to the end).
pub fn scan(reader: impl Read, start: ChainPoint) -> std::io::Result<Scan> {
    let mut reader = BufReader::with_capacity(1 << 18, reader);
    let mut scan = Scan {
        chain: start,
        length: 0,
        rest_is_torn: true,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LINE_MAX as u64 + 1)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(scan);
        }
        let next = line.strip_suffix(b"\n").and_then(|whole| scan.chain.after(whole));
        match next {
            Some(next) => {
                scan.chain = next;
                scan.length += read as u64;
            }
            None => {
                scan.rest_is_torn = is_torn(&line, &mut reader)?;
                return Ok(scan);
            }
        }
    }
}

fn is_torn(line: &[u8], rest: &mut impl BufRead) -> std::io::Result<bool> {
    let Some(nul) = line.iter().position(|&byte| byte == 0) else {
        // Only the last write can be unfinished: then the stream ends with it, without a newline.
        return Ok(line.last() != Some(&b'\n') && rest.fill_buf()?.is_empty());
    };
    if line[nul..].iter().any(|&byte| byte != 0) {
        return Ok(false);
    }
    for byte in rest.bytes() {
        if byte? != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Finds the end of the log in a directory: verifies the newest segment from its first line, and that it
/// continues the one before. Returns the head and its segment; a torn tail is left to the caller.
pub fn find_head(directory: &Path) -> Result<(Head, Segment, bool)> {
    let numbers = list(directory)?;
    let Some(&newest) = numbers.last() else {
        let segment = Segment::create(directory, 1).map_err(|cause| {
            Error::audit_os(format!("cannot make {}", path_of(directory, 1).display()), &cause)
        })?;
        let head = Head {
            chain: ChainPoint::default(),
            segment: 1,
            inode: segment.inode,
            offset: 0,
        };
        return Ok((head, segment, false));
    };
    let segment = open(directory, newest)?;
    let start = if newest == 1 {
        ChainPoint::default()
    } else {
        end_of(directory, newest - 1)?
    };
    let found = scan_segment(&segment, start)?;
    if !found.rest_is_torn {
        return Err(damaged(&segment, found.length, "does not continue the chain"));
    }
    let head = Head {
        chain: found.chain,
        segment: newest,
        inode: segment.inode,
        offset: found.length,
    };
    let torn = length(&segment)? > found.length;
    Ok((head, segment, torn))
}

/// The chain after a finished segment, verified from its own first line.
fn end_of(directory: &Path, number: u64) -> Result<ChainPoint> {
    let segment = open(directory, number)?;
    let mut first = Vec::new();
    let reader = segment.reader().map_err(|cause| unreadable(&segment, &cause))?;
    BufReader::new(reader.take(LINE_MAX as u64))
        .read_until(b'\n', &mut first)
        .map_err(|cause| unreadable(&segment, &cause))?;
    let start = if number == 1 {
        Some(ChainPoint::default())
    } else {
        link_of(&first)
    };
    let start = start.ok_or_else(|| damaged(&segment, 0, "is not an audit record"))?;
    let found = scan_segment(&segment, start)?;
    if found.length != length(&segment)? {
        return Err(damaged(&segment, found.length, "does not continue the chain"));
    }
    Ok(found.chain)
}

fn open(directory: &Path, number: u64) -> Result<Segment> {
    Segment::open(directory, number).map_err(|cause| {
        let path = path_of(directory, number);
        if cause.kind() == std::io::ErrorKind::NotFound {
            return Error::AuditDamaged(format!(
                "{} is missing; put it back (the newest two segments must stay in place)",
                path.display()
            ));
        }
        Error::audit_os(format!("cannot open {}", path.display()), &cause)
    })
}

fn scan_segment(segment: &Segment, start: ChainPoint) -> Result<Scan> {
    let reader = segment.reader().map_err(|cause| unreadable(segment, &cause))?;
    scan(reader, start).map_err(|cause| unreadable(segment, &cause))
}

fn length(segment: &Segment) -> Result<u64> {
    segment.length().map_err(|cause| unreadable(segment, &cause))
}

fn unreadable(segment: &Segment, cause: &std::io::Error) -> Error {
    Error::audit_os(format!("cannot read {}", segment.path().display()), cause)
}

fn damaged(segment: &Segment, offset: u64, what: &str) -> Error {
    Error::AuditDamaged(format!(
        "{}: the record at byte {offset} {what}; the log was changed after it was written. Keep the \
         directory as evidence, and start with an empty one",
        segment.path().display()
    ))
}
