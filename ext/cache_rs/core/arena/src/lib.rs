//! Shared-memory arena: verify cache, admission, counters, audit append. No PyO3 here.
