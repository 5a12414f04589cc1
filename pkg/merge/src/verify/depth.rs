//! How much of a block a verification reads.

/// How much of a block is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Depth {
    /// `meta.json` and a listing: every file is there, with the size that the meta gives.
    Sizes,
    /// The whole index: checksums, order of series and chunks, bounds, references, postings against series, counts.
    #[default]
    Index,
    /// Every byte: each chunk's checksum and samples too.
    Full,
}

impl std::str::FromStr for Depth {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "sizes" => Ok(Self::Sizes),
            "index" => Ok(Self::Index),
            "full" => Ok(Self::Full),
            other => Err(format!("{other:?} is none of sizes, index, full")),
        }
    }
}
