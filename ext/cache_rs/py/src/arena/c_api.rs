//! The C interface for compiled callers: a table of functions in the capsule
//! `ronkms_native._native._C_API`, declared in `ronkms_native/ronkms_native.h`.
//!
//! Every function may be called with or without the GIL. Pointers to an arena or a log come from
//! `_pointer()` of the Python object and are valid while that object lives; the caller keeps it alive.

use std::ffi::c_void;
use std::ptr::NonNull;

use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use ronkms_arena::{Admission, Arena, AuditLog, Error, TAG_BYTES, Tag};
use ronkms_custody::{MacKey, sha256_digest};

use super::shared::{lookup_code, refusal_code};

/// Name of the capsule in the module.
pub const ATTRIBUTE: &str = "_C_API";
/// An argument is out of range, or a permit is not held.
const INVALID: i64 = -3;
/// The audit log cannot be written.
const AUDIT_WRITE: i64 = -1;
/// An append that may not wait would have to.
const WOULD_WAIT: i64 = -2;

/// Bytes of the caller.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const u8,
    length: usize,
}

/// The table. Grows at the end only; `size` tells which functions are there.
#[repr(C)]
pub struct Table {
    version: u32,
    size: u32,
    cache_tag: unsafe extern "C" fn(*const Arena, *const Bytes, usize, *mut u8),
    cache_lookup: unsafe extern "C" fn(*const Arena, *const Bytes, usize, *mut u8) -> i32,
    cache_get: unsafe extern "C" fn(*const Arena, *const u8) -> i32,
    cache_put: unsafe extern "C" fn(*const Arena, *const u8, u8, i32),
    admit: unsafe extern "C" fn(*const Arena, u32, Bytes, u64) -> i64,
    top_up: unsafe extern "C" fn(*const Arena, i64, u64) -> i64,
    release: unsafe extern "C" fn(*const Arena, i64) -> i32,
    observe: unsafe extern "C" fn(*const Arena, u32, u32, u32, Bytes, u64) -> i32,
    count: unsafe extern "C" fn(*const Arena, u32, u64) -> i32,
    generation: unsafe extern "C" fn(*const Arena, u32) -> u64,
    audit_append: unsafe extern "C" fn(*const AuditLog, Bytes, i32) -> i64,
    cache_probe: unsafe extern "C" fn(*const Arena, *const u8) -> i32,
    sha256: unsafe extern "C" fn(Bytes, *mut u8),
    mac: unsafe extern "C" fn(*const MacKey, Bytes, *mut u8) -> i32,
}

static TABLE: Table = Table {
    version: 2,
    size: size_of::<Table>() as u32,
    cache_tag,
    cache_lookup,
    cache_get,
    cache_put,
    admit,
    top_up,
    release,
    observe,
    count,
    generation,
    audit_append,
    cache_probe,
    sha256,
    mac,
};

/// The capsule with the table.
pub fn capsule(py: Python<'_>) -> PyResult<Bound<'_, PyCapsule>> {
    let table = NonNull::from(&TABLE).cast::<c_void>();
    // SAFETY: the table is static, and the declared interface only reads it.
    unsafe { PyCapsule::new_with_pointer(py, table, c"ronkms_native._native._C_API") }
}

/// # Safety
///
/// `data` points to `length` readable bytes for the lifetime of the result, or `length` is 0.
unsafe fn slice<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.length == 0 {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.length) }
}

/// # Safety
///
/// `parts` points to `count` valid `Bytes`, or `count` is 0.
unsafe fn tag_of(arena: &Arena, parts: *const Bytes, count: usize) -> Tag {
    let mut builder = arena.tag_builder(count);
    for index in 0..count {
        // SAFETY: by this function's contract, `index` is inside.
        builder.part(unsafe { slice(*parts.add(index)) });
    }
    builder.finish()
}

/// # Safety
///
/// `tag` points to 32 readable bytes.
unsafe fn read_tag(tag: *const u8) -> Tag {
    // SAFETY: by this function's contract; a byte array has no alignment.
    Tag::from_bytes(unsafe { &*tag.cast::<[u8; TAG_BYTES]>() })
}

/// # Safety
///
/// `out` points to 32 writable bytes.
unsafe fn write_tag(tag: Tag, out: *mut u8) {
    // SAFETY: by this function's contract; a byte array has no alignment.
    unsafe { *out.cast::<[u8; TAG_BYTES]>() = tag.to_bytes() };
}

unsafe extern "C" fn cache_tag(arena: *const Arena, parts: *const Bytes, count: usize, tag: *mut u8) {
    // SAFETY: the header demands a live arena, `count` valid parts and room for a tag.
    unsafe { write_tag(tag_of(&*arena, parts, count), tag) };
}

unsafe extern "C" fn cache_lookup(
    arena: *const Arena,
    parts: *const Bytes,
    count: usize,
    tag: *mut u8,
) -> i32 {
    // SAFETY: as in `cache_tag`.
    unsafe {
        let made = tag_of(&*arena, parts, count);
        write_tag(made, tag);
        lookup_code((*arena).cache_get(&made))
    }
}

unsafe extern "C" fn cache_get(arena: *const Arena, tag: *const u8) -> i32 {
    // SAFETY: the header demands a live arena and a tag of 32 bytes.
    unsafe { lookup_code((*arena).cache_get(&read_tag(tag))) }
}

unsafe extern "C" fn cache_put(arena: *const Arena, tag: *const u8, verdict: u8, negative: i32) {
    // SAFETY: as in `cache_get`.
    unsafe { (*arena).cache_put(&read_tag(tag), verdict, negative != 0) };
}

unsafe extern "C" fn admit(arena: *const Arena, op_class: u32, tenant: Bytes, cost: u64) -> i64 {
    // SAFETY: the header demands a live arena and valid bytes.
    match unsafe { (*arena).admit(op_class as usize, slice(tenant), cost) } {
        Ok(Admission::Granted(permit)) => permit as i64,
        Ok(Admission::Refused(refusal)) => refusal_code(refusal),
        Err(_) => INVALID,
    }
}

unsafe extern "C" fn top_up(arena: *const Arena, permit: i64, cost: u64) -> i64 {
    // SAFETY: the header demands a live arena.
    match unsafe { (*arena).top_up(permit as u64, cost) } {
        Ok(Admission::Granted(_)) => 0,
        Ok(Admission::Refused(refusal)) => refusal_code(refusal),
        Err(_) => INVALID,
    }
}

unsafe extern "C" fn release(arena: *const Arena, permit: i64) -> i32 {
    // SAFETY: the header demands a live arena.
    code(unsafe { (*arena).release(permit as u64) })
}

unsafe extern "C" fn observe(
    arena: *const Arena,
    op: u32,
    alg: u32,
    outcome: u32,
    tenant: Bytes,
    nanoseconds: u64,
) -> i32 {
    // SAFETY: the header demands a live arena and valid bytes.
    code(unsafe {
        (*arena).observe(
            op as usize,
            alg as usize,
            outcome as usize,
            slice(tenant),
            nanoseconds,
        )
    })
}

unsafe extern "C" fn count(arena: *const Arena, counter: u32, n: u64) -> i32 {
    // SAFETY: the header demands a live arena.
    code(unsafe { (*arena).count(counter as usize, n) })
}

unsafe extern "C" fn generation(arena: *const Arena, index: u32) -> u64 {
    // SAFETY: the header demands a live arena.
    unsafe { (*arena).generation(index as usize) }.unwrap_or(u64::MAX)
}

unsafe extern "C" fn audit_append(log: *const AuditLog, body: Bytes, may_wait: i32) -> i64 {
    // SAFETY: the header demands a live log and valid bytes.
    let (log, body) = unsafe { (&*log, slice(body)) };
    let appended = match may_wait {
        0 => log.try_append(body),
        _ => log.append(body).map(Some),
    };
    match appended {
        Ok(Some(seq)) => seq as i64,
        Ok(None) => WOULD_WAIT,
        Err(Error::Input(_)) => INVALID,
        Err(_) => AUDIT_WRITE,
    }
}

unsafe extern "C" fn cache_probe(arena: *const Arena, tag: *const u8) -> i32 {
    // SAFETY: as in `cache_get`.
    unsafe { lookup_code((*arena).cache_probe(&read_tag(tag))) }
}

unsafe extern "C" fn sha256(data: Bytes, digest: *mut u8) {
    // SAFETY: the header demands valid bytes and room for a digest; a byte array has no alignment.
    unsafe { *digest.cast::<[u8; 32]>() = sha256_digest(slice(data)) };
}

unsafe extern "C" fn mac(key: *const MacKey, data: Bytes, tag: *mut u8) -> i32 {
    // SAFETY: the header demands a live key and valid bytes.
    let (key, data) = unsafe { (&*key, slice(data)) };
    match key.mac(data) {
        Ok(made) => {
            // SAFETY: the header demands room for a tag; a byte array has no alignment.
            unsafe { *tag.cast::<[u8; 32]>() = made };
            0
        }
        Err(_) => INVALID as i32,
    }
}

fn code(result: ronkms_arena::Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(_) => INVALID as i32,
    }
}
