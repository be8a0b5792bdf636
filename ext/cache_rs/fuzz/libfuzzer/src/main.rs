//! libFuzzer over the target that `RONKMS_FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ronkms_fuzz::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("RONKMS_FUZZ_TARGET").unwrap_or_default();
        let target = ronkms_fuzz::target(&name).unwrap_or_else(|| {
            let known: Vec<_> = ronkms_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            panic!("RONKMS_FUZZ_TARGET must be one of {}", known.join(", "))
        });
        TARGET.get_or_init(|| target);
    },
    |data: &[u8]| (TARGET.get().expect("set before the first input"))(data)
);
