//! A moment, as the host records it, and the two ways in which others write one.
//!
//! In scope: the type, reading a date. Out of scope: reading a clock (the caller says when).

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01T00:00:00Z, always below 2^53 so that a handler whose numbers are doubles reads it
/// exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The text is no date of the one spelling that is accepted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date as it must be written here: {0}")]
pub struct DateSpelling(&'static str);

const UTC_SPELLING: DateSpelling = DateSpelling("YYYY-MM-DDTHH:MM:SSZ");
const ISOFORMAT_SPELLING: DateSpelling =
    DateSpelling("YYYY-MM-DDTHH:MM:SS, with .ffffff or without, with Z, +HH:MM or nothing (UTC) behind it");

/// `YYYY-MM-DDTHH:MM:SS`
const CIVIL_BYTES: usize = 19;

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

    /// The moment `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self::from_unix_ms(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it is not earlier.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads exactly `YYYY-MM-DDTHH:MM:SSZ`, from 1970 to the end of 9999 (less two days).
    ///
    /// # Errors
    /// `DateSpelling` for any other spelling, and for dates that do not exist.
    pub fn parse_utc(text: &str) -> Result<Self, DateSpelling> {
        let civil = text.strip_suffix('Z').filter(|civil| civil.len() == CIVIL_BYTES).ok_or(UTC_SPELLING)?;
        seconds(civil).and_then(|seconds| from_parts(seconds, 0)).ok_or(UTC_SPELLING)
    }

    /// Reads what Python's `datetime.isoformat()` writes: without an offset the date is UTC; three or six digits of a
    /// second, or none; `Z` for UTC as JavaScript writes it. From 1970 on; microseconds are cut off.
    ///
    /// # Errors
    /// `DateSpelling` for any other spelling, and for dates that do not exist.
    pub fn parse_isoformat(text: &str) -> Result<Self, DateSpelling> {
        Self::read_isoformat(text).ok_or(ISOFORMAT_SPELLING)
    }

    fn read_isoformat(text: &str) -> Option<Self> {
        let (civil, rest) = text.split_at_checked(CIVIL_BYTES)?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", rest),
        };
        let ms = match (rest.starts_with('.'), fraction.len()) {
            (false, 0) => 0,
            (true, 3 | 6) => fraction.get(..3)?.parse().ok()?,
            (_, _) => return None,
        };
        let ahead_s = match zone {
            "" | "Z" => 0,
            offset => offset_seconds(offset)?,
        };
        from_parts(seconds(civil)? - ahead_s, ms)
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`; milliseconds are cut off.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(i64::try_from(self.0 / 1000).unwrap_or(i64::MAX)) {
            Ok(at) => write!(f, "{}Z", at.to_zoned(TimeZone::UTC).datetime()),
            Err(_) => f.write_str("(beyond the year 9999)"),
        }
    }
}

fn from_parts(seconds: i64, ms: u64) -> Option<Timestamp> {
    Some(Timestamp::from_unix_ms(u64::try_from(seconds).ok()? * 1000 + ms))
}

/// `+HH:MM` or `-HH:MM`, in seconds.
fn offset_seconds(offset: &str) -> Option<i64> {
    let (sign, rest) = offset.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

/// Seconds since the epoch of `YYYY-MM-DDTHH:MM:SS` in UTC. A second 60 is refused: no host clock shows one.
fn seconds(civil: &str) -> Option<i64> {
    let (date, time) = civil.split_once('T')?;
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let mut time = time.split(':');
    let (hour, minute, second) = (number(time.next()?, 2)?, number(time.next()?, 2)?, number(time.next()?, 2)?);
    if date.next().is_some() || time.next().is_some() {
        return None;
    }
    let small = |part: u16| i8::try_from(part).ok();
    let civil = DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    );
    Some(TimeZone::UTC.to_timestamp(civil.ok()?).ok()?.as_second())
}

/// Exactly `n_digits` decimal digits.
fn number(text: &str, n_digits: usize) -> Option<u16> {
    let plain = text.len() == n_digits && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_one_spelling_in_an_approval_v2() {
        assert_eq!(Timestamp::parse_utc("2026-10-06T12:00:00Z").unwrap().unix_ms(), 1_791_288_000_000);
        for text in [
            "2026-10-06T12:00:00",
            "2026-10-06T12:00:00.000Z",
            "2026-10-06T12:00:00+00:00",
            "2026-10-06 12:00:00Z",
            "2026-10-06t12:00:00Z",
            "2026-10-06T12:00:60Z",
            "2026-13-06T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "1969-12-31T23:59:59Z",
            "+026-10-06T12:00:00Z",
            "2026-10-06T12:00: 0Z",
            "",
            "Z",
            "2026-10-06T12:00:0éZ",
        ] {
            assert!(Timestamp::parse_utc(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_of_python_and_javascript_are_read_in_utc() {
        let noon = 1_791_288_000_000;
        for (text, ms) in [
            ("2026-10-06T12:00:00", noon),
            ("2026-10-06T12:00:00.123456", noon + 123),
            ("2026-10-06T12:00:00.999999", noon + 999),
            ("2026-10-06T12:00:00.123Z", noon + 123),
            ("2026-10-06T12:00:00Z", noon),
            ("2026-10-06T12:00:00+00:00", noon),
            ("2026-10-06T14:00:00+02:00", noon),
            ("2026-10-06T06:30:00.500000-05:30", noon + 500),
        ] {
            assert_eq!(Timestamp::parse_isoformat(text).unwrap().unix_ms(), ms, "{text}");
        }
        for text in [
            "never",
            "2026-10-06",
            "2026-10-06T12:00:00.",
            "2026-10-06T12:00:00.1",
            "2026-10-06T12:00:00.1234567",
            "2026-10-06T12:00:00+2:00",
            "2026-10-06T12:00:00+24:00",
            "2026-10-06T12:00:00 ",
            "2026-10-06T12:00:00z",
            "20261006T120000",
        ] {
            assert!(Timestamp::parse_isoformat(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_printed_as_it_is_read() {
        for text in ["1970-01-01T00:00:00Z", "2026-10-06T12:00:00Z", "9998-12-31T23:59:59Z"] {
            assert_eq!(Timestamp::parse_utc(text).unwrap().to_string(), text);
        }
    }
}
