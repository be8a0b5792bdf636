//! Key custody: sealed records, locked memory, signing, wrapping. No PyO3 here.
