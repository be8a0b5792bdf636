//! Groups of records that say the same, so that who counts uses parses one of each.

use std::collections::HashMap;

use memchr::memchr;
use memchr::memmem::Finder;

const TIME: &[u8] = b"\"time\":\"";
/// Bytes of an RFC 3339 time, up to its seconds.
const SECOND: usize = 19;
const CORR_ID: &[u8] = b",\"corr_id\":\"";
const DIGEST: &[u8] = b",\"digest\":\"";

/// Records that differ in their chain fields, fraction of the second, `corr_id` and `digest` alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Alike<'a> {
    /// The first of them, without its newline.
    pub line: &'a [u8],
    /// How many they are.
    pub times: u64,
}

/// Groups whole lines by the second: groups stand in the order of their first records, and none of one second
/// behind one of a later line's. A record that lacks one of the fields is a group of its own.
pub fn alike(lines: &[u8]) -> Vec<Alike<'_>> {
    let fields = Fields::new();
    let mut groups: Vec<Alike<'_>> = Vec::new();
    let mut known: HashMap<[&[u8]; 3], usize> = HashMap::new();
    let mut present: &[u8] = b"";
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let Some((second, same)) = fields.split(line) else {
            known.clear();
            groups.push(Alike { line, times: 1 });
            continue;
        };
        if second != present {
            known.clear();
            present = second;
        }
        let group = *known.entry(same).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(found) => found.times += 1,
            None => groups.push(Alike { line, times: 1 }),
        }
    }
    groups
}

struct Fields {
    time: Finder<'static>,
    corr_id: Finder<'static>,
    digest: Finder<'static>,
}

impl Fields {
    fn new() -> Self {
        Self {
            time: Finder::new(TIME),
            corr_id: Finder::new(CORR_ID),
            digest: Finder::new(DIGEST),
        }
    }

    /// The second of a record, and its text without what stands before the time, and the values of `time`,
    /// `corr_id` and `digest`. In a text of the record the quotes of a field's name would be escaped.
    fn split<'a>(&self, line: &'a [u8]) -> Option<(&'a [u8], [&'a [u8]; 3])> {
        let time = behind(&self.time, TIME, line)?;
        let second = time.get(..SECOND)?;
        let head = from_quote(time)?;
        let corr_id = behind(&self.corr_id, CORR_ID, head)?;
        let middle = from_quote(corr_id)?;
        let digest = behind(&self.digest, DIGEST, middle)?;
        let tail = from_quote(digest)?;
        Some((
            second,
            [
                &head[..head.len() - corr_id.len()],
                &middle[..middle.len() - digest.len()],
                tail,
            ],
        ))
    }
}

fn behind<'a>(finder: &Finder<'_>, name: &[u8], text: &'a [u8]) -> Option<&'a [u8]> {
    finder.find(text).map(|at| &text[at + name.len()..])
}

fn from_quote(text: &[u8]) -> Option<&[u8]> {
    memchr(b'"', text).map(|at| &text[at..])
}
