/* C interface of the native core: a table of functions in the capsule
 * "ronkms_native._native._C_API" (PyCapsule_Import).
 *
 * Arena, log and key pointers are what `_pointer()` of the Python objects returns; they are valid while
 * those objects live, and the caller keeps them alive. All functions may be called without the GIL.
 * Check `version` for equality and `size` for at least sizeof(struct ronkms_table).
 */
#ifndef RONKMS_NATIVE_H
#define RONKMS_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define RONKMS_TABLE_VERSION 2
#define RONKMS_TAG_BYTES 32

#define RONKMS_CACHE_MISS (-1)
#define RONKMS_CACHE_STALE (-2)   /* expired: counted, not served */
#define RONKMS_SATURATED (-1)
#define RONKMS_OVER_SHARE (-2)
#define RONKMS_INVALID (-3)       /* argument out of range, or permit not held */
#define RONKMS_AUDIT_WRITE (-1)   /* the log cannot be written: AuditLog.append raises the reason */
#define RONKMS_WOULD_WAIT (-2)

struct ronkms_arena;
struct ronkms_audit_log;
struct ronkms_mac_key;

struct ronkms_bytes {
    const uint8_t *data;
    size_t length;
};

struct ronkms_table {
    uint32_t version;
    uint32_t size;

    /* Tag of the parts (32 bytes to `tag`): keyed BLAKE3 over count || (length || bytes)*. */
    void (*cache_tag)(const struct ronkms_arena *, const struct ronkms_bytes *parts, size_t count, uint8_t *tag);
    /* Tag and look-up in one: the verdict (0..255) or RONKMS_CACHE_*. */
    int32_t (*cache_lookup)(const struct ronkms_arena *, const struct ronkms_bytes *parts, size_t count,
                            uint8_t *tag);
    int32_t (*cache_get)(const struct ronkms_arena *, const uint8_t *tag);
    void (*cache_put)(const struct ronkms_arena *, const uint8_t *tag, uint8_t verdict, int32_t negative);

    /* Permit (>= 0), RONKMS_SATURATED, RONKMS_OVER_SHARE or RONKMS_INVALID. op_class: 0 sign, 1 verify. */
    int64_t (*admit)(const struct ronkms_arena *, uint32_t op_class, struct ronkms_bytes tenant, uint64_t cost);
    /* 0 granted, else as admit; refused, the permit is unchanged. */
    int64_t (*top_up)(const struct ronkms_arena *, int64_t permit, uint64_t cost);
    int32_t (*release)(const struct ronkms_arena *, int64_t permit);

    /* 0, or RONKMS_INVALID for an index out of range. */
    int32_t (*observe)(const struct ronkms_arena *, uint32_t op, uint32_t alg, uint32_t outcome,
                       struct ronkms_bytes tenant, uint64_t nanoseconds);
    int32_t (*count)(const struct ronkms_arena *, uint32_t counter, uint64_t n);
    /* UINT64_MAX for an index out of range. */
    uint64_t (*generation)(const struct ronkms_arena *, uint32_t index);

    /* Sequence number, RONKMS_AUDIT_WRITE, RONKMS_INVALID (body), or with may_wait 0 RONKMS_WOULD_WAIT:
     * then release the GIL and call again with may_wait 1. */
    int64_t (*audit_append)(const struct ronkms_audit_log *, struct ronkms_bytes body, int32_t may_wait);

    /* As cache_get, but counts a hit only: for a caller that hands the rest to one that counts. */
    int32_t (*cache_probe)(const struct ronkms_arena *, const uint8_t *tag);
    /* SHA-256 (32 bytes to `digest`). */
    void (*sha256)(struct ronkms_bytes data, uint8_t *digest);
    /* MacKey.mac (32 bytes to `tag`): 0, or RONKMS_INVALID if its memory is not this process's. */
    int32_t (*mac)(const struct ronkms_mac_key *, struct ronkms_bytes data, uint8_t *tag);
};

#endif
