//! What is fuzzed of the native core: one function of bytes per target.
//!
//! A target panics where the code under test breaks a promise, and tells nothing else. `make test` feeds it the
//! committed corpus (`tests/corpus.rs`), `make prove` what libFuzzer makes of that under the address sanitizer
//! (`libfuzzer/`). docs/FUZZING.md lists the targets and says how to look into a finding.

mod arena_sequence;
mod audit_log;
mod input;
mod key_import;
mod sealed_record;
mod verification;

/// Takes the bytes that decide one case.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its directory in `corpus/`.
pub const TARGETS: [(&str, Target); 5] = [
    ("arena_sequence", arena_sequence::run),
    ("audit_log", audit_log::run),
    ("key_import", key_import::run),
    ("sealed_record", sealed_record::run),
    ("verification", verification::run),
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS
        .iter()
        .find_map(|(known, target)| (*known == name).then_some(*target))
}
