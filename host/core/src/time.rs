//! A moment, as the host records it.
//!
//! In scope: the type. Out of scope: reading a clock (the caller says when), spelling a date (the edge does).

/// Milliseconds since 1970-01-01T00:00:00Z, always below 2^53 so that a handler whose numbers are doubles reads it
/// exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    const MAX_MS: u64 = (1 << 53) - 1;

    /// The last moment there is.
    pub const MAX: Self = Self(Self::MAX_MS);

    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// A moment from milliseconds since the Unix epoch. A value that does not fit is clamped to the last moment that
    /// does (in the year 287396).
    #[must_use]
    pub fn from_unix_ms(ms: u64) -> Self {
        Self(ms.min(Self::MAX_MS))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0
    }
}
