//! Tiles: the tree in pieces of 256 hashes, and their paths, as C2SP's tlog-tiles has them.
//!
//! In scope: which tile, how its path is spelled, the bytes of a tile and of a tile of entries.
//! Out of scope: reading tiles (`prove`), making them (`edge`), serving them.
//!
//! Invariants
//! - A tile has one path, and a path names at most one tile.
//! - The first hashes of a complete tile are those of every partial tile it once was.

use std::fmt;

use crate::digest::Digest;

/// Hashes of a complete tile.
pub const TILE_WIDTH: u16 = 256;

/// Levels of the tree that one tile spans: 2^8 hashes.
pub const TILE_HEIGHT: u32 = 8;

/// Highest level a path can name. A tree of 64-bit size has 8 levels of tiles; the format says 63.
const LEVEL_MAX: u8 = 63;

/// Names a tile of hashes: its level, its index in that level, and how many hashes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

/// Names a tile of entries: its index, and how many entries of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntriesId {
    index: u64,
    width: u16,
}

/// Why bytes are not a tile of entries, or entries make none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntriesError {
    /// Not as many entries as the tile has.
    #[error("not as many entries as the tile has: 1 to 256")]
    Width,
    /// An entry is too long.
    #[error("an entry may have at most 65,535 bytes")]
    TooLong,
    /// The bytes end within an entry.
    #[error("the tile ends within an entry")]
    Cut,
}

impl TileId {
    /// The tile of this level and index, with this many hashes; `None` when there can be no such tile.
    #[must_use]
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let exists = level <= LEVEL_MAX && (1..=TILE_WIDTH).contains(&width);
        exists.then_some(Self { level, index, width })
    }

    /// The tile as the tree of this size has it: complete, or as wide as it is there; `None` when it has no such tile.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let n_hashes = size.checked_shr(u32::from(level).checked_mul(TILE_HEIGHT)?)?;
        let left = n_hashes.checked_sub(index.checked_mul(u64::from(TILE_WIDTH))?)?;
        Self::new(level, index, u16::try_from(left.min(u64::from(TILE_WIDTH))).ok()?)
    }

    /// Reads a path; `None` unless it is exactly how a tile's path is printed.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = parse_place(place)?;
        Self::new(level.parse().ok()?, index, width).filter(|id| id.to_string() == path)
    }

    /// The level: 0 holds leaf hashes, each other level the roots of the complete tiles below.
    #[must_use]
    pub fn level(self) -> u8 {
        self.level
    }

    /// The index within the level.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// The number of hashes: 1 to 256.
    #[must_use]
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether it has all its hashes, and will never be another.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Whether the tree of this size has the tile, or has grown out of it.
    #[must_use]
    pub fn exists_in(self, size: u64) -> bool {
        Self::in_tree(self.level, self.index, size).is_some_and(|tile| tile.width >= self.width)
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        fmt_place(f, self.index, self.width)
    }
}

impl EntriesId {
    /// The tile of this index, with this many entries; `None` when there can be no such tile.
    #[must_use]
    pub fn new(index: u64, width: u16) -> Option<Self> {
        (1..=TILE_WIDTH).contains(&width).then_some(Self { index, width })
    }

    /// Reads a path; `None` unless it is exactly how the path of a tile of entries is printed.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (index, width) = parse_place(path.strip_prefix("tile/entries/")?)?;
        Self::new(index, width).filter(|id| id.to_string() == path)
    }

    /// The index among the tiles of entries.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// The number of entries: 1 to 256.
    #[must_use]
    pub fn width(self) -> u16 {
        self.width
    }

    /// The tile of the same entries' leaf hashes.
    #[must_use]
    pub fn hashes(self) -> TileId {
        TileId { level: 0, index: self.index, width: self.width }
    }
}

impl fmt::Display for EntriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        fmt_place(f, self.index, self.width)
    }
}

/// Writes `<N>[.p/<W>]`: the index in groups of three digits, an `x` before all but the last.
fn fmt_place(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut groups = vec![index % 1000];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    for (n_after, group) in groups.iter().enumerate().rev() {
        let (mark, slash) = if n_after > 0 { ("x", "/") } else { ("", "") };
        write!(f, "{mark}{group:03}{slash}")?;
    }
    if width == TILE_WIDTH { Ok(()) } else { write!(f, ".p/{width}") }
}

/// Reads what `fmt_place` writes, and more: whoever calls prints the result and compares.
fn parse_place(text: &str) -> Option<(u64, u16)> {
    let (groups, width) = match text.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok().filter(|width| *width < TILE_WIDTH)?),
        None => (text, TILE_WIDTH),
    };
    let mut index = 0_u64;
    for group in groups.split('/') {
        let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    Some((index, width))
}

/// The bytes of a tile: its hashes, one after the other.
#[must_use]
pub fn encode_hashes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(Digest::as_bytes).copied().collect()
}

/// Reads the bytes of a tile; `None` unless they are exactly `width` hashes.
#[must_use]
pub fn parse_hashes(bytes: &[u8], width: u16) -> Option<Vec<Digest>> {
    let (hashes, rest) = bytes.as_chunks();
    let fits = rest.is_empty() && hashes.len() == usize::from(width);
    fits.then(|| hashes.iter().copied().map(Digest::from_bytes).collect())
}

/// The bytes of a tile of entries: each entry after its length in two bytes.
///
/// # Errors
/// `EntriesError` when the entries do not make one tile.
pub fn encode_entries<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, EntriesError> {
    if !(1..=usize::from(TILE_WIDTH)).contains(&entries.len()) {
        return Err(EntriesError::Width);
    }
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        bytes.extend(u16::try_from(entry.len()).map_err(|_| EntriesError::TooLong)?.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// Reads the bytes of a tile of `width` entries.
///
/// # Errors
/// `EntriesError` unless they are exactly that many entries.
pub fn parse_entries(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, EntriesError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or(EntriesError::Cut)?;
        let (entry, after) =
            after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(EntriesError::Cut)?;
        if entries.len() == usize::from(width) {
            return Err(EntriesError::Width);
        }
        entries.push(entry);
        rest = after;
    }
    let fits = (1..=TILE_WIDTH).contains(&width) && entries.len() == usize::from(width);
    if fits { Ok(entries) } else { Err(EntriesError::Width) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_path() {
        for (path, id) in [
            ("tile/0/000", TileId::new(0, 0, 256)),
            ("tile/0/000.p/1", TileId::new(0, 0, 1)),
            ("tile/1/x001/x234/067", TileId::new(1, 1_234_067, 256)),
            ("tile/63/x001/000.p/255", TileId::new(63, 1000, 255)),
            ("tile/0/x018/x446/x744/x073/x709/x551/615", TileId::new(0, u64::MAX, 256)),
        ] {
            assert_eq!(TileId::parse(path), id, "{path}");
            assert_eq!(id.map(|id| id.to_string()).as_deref(), Some(path));
        }
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000",
            "tile/0/x000/001",
            "tile/00/000",
            "tile/+1/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/256/000",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/X001/000",
            "tile/0/xx01/000",
            "tile/0/+01",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/257",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x001//000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/entries/000",
            "tile/0/٠٠٠",
            "tile/0/000 ",
        ] {
            assert_eq!(TileId::parse(path), None, "{path}");
        }
        assert_eq!(EntriesId::parse("tile/entries/x001/234.p/7"), EntriesId::new(1234, 7));
        assert_eq!(EntriesId::new(1234, 7).map(|id| id.to_string()).as_deref(), Some("tile/entries/x001/234.p/7"));
        for path in ["tile/0/000", "tile/entries/0", "tile/entries/x000/000", "tile/entries/000.p/256"] {
            assert_eq!(EntriesId::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_tree_of_seventy_thousand_leaves_has_the_tiles_that_the_specification_names() {
        let width = |level, index| TileId::in_tree(level, index, 70_000).map(TileId::width);
        assert_eq!([width(0, 272), width(0, 273), width(0, 274)], [Some(256), Some(112), None]);
        assert_eq!([width(1, 0), width(1, 1), width(1, 2)], [Some(256), Some(17), None]);
        assert_eq!([width(2, 0), width(2, 1), width(3, 0), width(63, 0)], [Some(1), None, None, None]);
        assert_eq!(TileId::in_tree(1, 0, 256).map(TileId::width), Some(1));
        assert_eq!(TileId::in_tree(0, u64::MAX, u64::MAX), None);
    }

    #[test]
    fn entries_are_read_as_they_were_written_and_nothing_else_is() {
        let entries = [b"one".to_vec(), Vec::new(), vec![7; 65_535]];
        let bytes = encode_entries(&entries).unwrap();
        assert_eq!(parse_entries(&bytes, 3).unwrap(), entries);
        assert_eq!(parse_entries(&bytes, 2), Err(EntriesError::Width));
        assert_eq!(parse_entries(&bytes, 4), Err(EntriesError::Width));
        assert_eq!(parse_entries(&bytes[..bytes.len() - 1], 3), Err(EntriesError::Cut));
        assert_eq!(parse_entries(&[0], 1), Err(EntriesError::Cut));
        assert_eq!(parse_entries(&[], 0), Err(EntriesError::Width));
        assert_eq!(encode_entries(&[vec![0; 65_536]]), Err(EntriesError::TooLong));
        assert_eq!(encode_entries(&vec![b""; 257]), Err(EntriesError::Width));
        assert_eq!(encode_entries::<Vec<u8>>(&[]), Err(EntriesError::Width));
    }
}
