//! Every target under libFuzzer. `STEEPLE_FUZZ_TARGET` names the one that this process runs.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use steeple_fuzz::campaign::TARGET_VARIABLE;
use steeple_fuzz::{Target, find};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
    find(&name).unwrap_or_else(|| panic!("{TARGET_VARIABLE} names no target: {name:?}; fuzz --list shows them"))
});

fuzz_target!(|data: &[u8]| {
    (TARGET.body)(data);
});
