//! Fuzzes `registry.toml`.
//!
//! Property: what parses has an action, and no limit of it is zero.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::registry::Registry;

fuzz_target!(|text: &str| {
    let Ok(registry) = Registry::parse(text) else { return };
    assert!(registry.pins().count() > 0);
    for (action, pin) in registry.pins() {
        assert_eq!(registry.pin(action), Some(pin));
        assert!(pin.limits.fuel > 0 && pin.limits.memory_bytes > 0);
        assert!(pin.limits.output_bytes > 0 && pin.limits.deadline_ms > 0);
    }
});
