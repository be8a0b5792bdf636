//! Empty: cargo fetches the sources of liboqs for this crate, CMake builds them.
