//! What a handler prints: for the log of the operator, never for an answer or a receipt.
//!
//! In scope: keeping the beginning of it, on one line.
//! Out of scope: whether anybody logs it (`run`).

use std::fmt::Write as _;

/// Most bytes that are kept of one run.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Standard output and standard error, in the order in which they were written.
pub(super) struct Said {
    kept: Vec<u8>,
    n_bytes: u64,
}

impl Said {
    pub(super) fn new() -> Self {
        Self { kept: Vec::new(), n_bytes: 0 }
    }

    /// Keeps as much as there is room for. The handler is not told: what it does must not depend on it.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.n_bytes = self.n_bytes.saturating_add(bytes.len() as u64);
        let room = KEPT_BYTES_MAX.saturating_sub(self.kept.len());
        self.kept.extend(bytes.iter().take(room));
    }

    /// On one line; nothing if nothing was printed.
    pub(super) fn text(&self) -> Option<String> {
        if self.n_bytes == 0 {
            return None;
        }
        let mut text = String::from_utf8_lossy(&self.kept).escape_debug().to_string();
        let n_dropped = self.n_bytes.saturating_sub(self.kept.len() as u64);
        if n_dropped > 0 {
            let _ = write!(text, " ({n_dropped} bytes more)"); // writing to a string cannot fail
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_kept_up_to_the_cap_and_cannot_forge_a_line() {
        let mut said = Said::new();
        assert_eq!(said.text(), None);
        said.keep(b"one\nERROR \x1b[31mtwo");
        assert_eq!(said.text().unwrap(), "one\\nERROR \\u{1b}[31mtwo");
        for _ in 0..1_000 {
            said.keep(&vec![b'x'; 64 * 1024]);
        }
        assert_eq!(said.kept.len(), KEPT_BYTES_MAX);
        let text = said.text().unwrap();
        let n_dropped = 1_000 * 64 * 1024 + 18 - KEPT_BYTES_MAX;
        assert!(text.len() < 2 * KEPT_BYTES_MAX && text.ends_with(&format!(" ({n_dropped} bytes more)")), "{text}");
    }
}
