//! Fuzzes the trust file.
//!
//! Property: what parses keeps its promises: there is a key, each under its own id, and an action has the class that
//! names it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::time::Timestamp;
use openexec_core::trust::{Scope, TrustFile};

fuzz_target!(|text: &str| {
    let Ok(file) = TrustFile::parse(text) else { return };
    assert!(file.keys().count() > 0);
    for key in file.keys() {
        let found = file.key(key.public.id(), Timestamp::EPOCH);
        assert_eq!(found.is_some(), key.is_valid_at(Timestamp::EPOCH));
        let Scope::Only(actions) = &key.actions else { continue };
        assert!(!actions.is_empty());
        for action in actions {
            assert!(file.class_of(action).is_none_or(|class| class.actions.contains(action)));
        }
    }
});
