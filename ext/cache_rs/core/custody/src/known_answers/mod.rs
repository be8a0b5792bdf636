//! Known answers of others: Project Wycheproof, NIST ACVP, the composite and the X-Wing draft.
//!
//! The files are read from `../shared/vectors` beside the checkout. Where they are absent, each test
//! says that it skipped.

mod ml_dsa;
mod signatures;
mod wrapping;

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde_json::Value;

/// The parsed file, or nothing where the vectors are absent.
fn load(file: &str) -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../../../shared/vectors")
        .join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {file} is not there");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER_PERMISSIVE
        .decode(value.as_str().unwrap().as_bytes())
        .unwrap()
}

fn hex_or_empty(value: &Value) -> Vec<u8> {
    if value.is_null() { Vec::new() } else { hex(value) }
}

fn base64(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// Calls `check` with each group and test, and asserts how many there were.
fn each_test(vectors: &Value, count: usize, mut check: impl FnMut(&Value, &Value)) {
    let mut seen = 0;
    for group in vectors["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            check(group, test);
            seen += 1;
        }
    }
    assert_eq!(seen, count);
}

fn is_valid(test: &Value) -> bool {
    match test["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        other => panic!("no verdict for {other}"),
    }
}
