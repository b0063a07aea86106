//! Randomness that is a function of the execution: the same again in every repetition of it.
//!
//! In scope: seeding, and the three sources of WASI.
//! Out of scope: secrets. Whoever knows the request and the component can compute every byte of it.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use openexec_core::digest::Digest;

/// Separates these seeds from every other digest.
const DOMAIN: &[u8] = b"urn:openexec:wasi-random:v1\0";

/// The three sources, independent of one another.
pub(super) struct Random {
    pub(super) secure: Source,
    pub(super) insecure: Source,
    pub(super) insecure_seed: (u64, u64),
}

/// One source of bytes.
pub(super) struct Source(ChaCha20Rng);

impl Random {
    /// For one execution of one component.
    pub(super) fn of(execution: Digest, component: Digest) -> Self {
        let source = |purpose: &[u8]| {
            // Every piece but the purpose, which holds no zero, has one length: no two lists of pieces collide.
            let seed = Digest::of_pieces(&[DOMAIN, purpose, b"\0", execution.as_bytes(), component.as_bytes()]);
            Source(ChaCha20Rng::from_seed(*seed.as_bytes()))
        };
        let mut seed = source(b"insecure-seed");
        Self { secure: source(b"random"), insecure: source(b"insecure"), insecure_seed: (seed.number(), seed.number()) }
    }
}

impl Source {
    pub(super) fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(execution: &[u8], component: &[u8]) -> [Vec<u8>; 3] {
        let mut random = Random::of(Digest::of(execution), Digest::of(component));
        let (a, b) = random.insecure_seed;
        [random.secure.bytes(16), random.insecure.bytes(16), [a.to_le_bytes(), b.to_le_bytes()].concat()]
    }

    #[test]
    fn every_source_depends_on_the_execution_and_the_component_and_on_nothing_else() {
        let first = drawn(b"one", b"component");
        assert_eq!(first, drawn(b"one", b"component"));
        let others = [drawn(b"two", b"component"), drawn(b"one", b"another")];
        let mut all: Vec<_> = others.into_iter().chain([first]).flatten().collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 9, "no two sources agree");
    }

    /// Receipts are verified by running again, perhaps years later: these bytes must never change. They were computed by
    /// another implementation of SHA-256 and ChaCha20, from the words above.
    #[test]
    fn the_bytes_are_those_of_the_first_version() {
        let drawn = drawn(b"execution", b"component").map(|bytes| u128::from_be_bytes(bytes.try_into().unwrap()));
        let first_version = [
            0x66a9_5e7c_b09d_0f82_9fa2_dc1c_d2cc_1356,
            0x0121_f5ae_c46e_e11b_0688_bbfa_a5b4_920c,
            0x7188_bcbc_73e3_1b52_08b6_447b_5f28_c818,
        ];
        assert_eq!(drawn, first_version);
    }
}
