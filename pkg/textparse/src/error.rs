//! Why a body was refused.

/// A body that does not follow its format. The scrape that it came from has failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", place(*.line, *.offset))]
pub struct ParseError {
    /// The line, from 1; 0 where the format has no lines (protobuf).
    pub line: usize,
    /// Where in the body, bytes.
    pub offset: usize,
    /// What was expected and what stands there.
    pub message: String,
}

fn place(line: usize, offset: usize) -> String {
    if line == 0 { format!("byte {offset}") } else { format!("line {line}") }
}

/// Bytes of a line that an error shows at most.
const SHOWN_MAX: usize = 120;

impl ParseError {
    /// An error at `offset` of a body of lines.
    #[cold]
    pub(crate) fn in_line(body: &[u8], offset: usize, expected: &str) -> Self {
        let before = body.get(..offset).unwrap_or(body);
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let shown_start = line_start.max(offset.saturating_sub(SHOWN_MAX));
        let shown = shown(before.get(shown_start..).unwrap_or_default());
        let found = match body.get(offset..).unwrap_or_default() {
            [] => "the end of the body".to_owned(),
            [b'\n', ..] => "the end of the line".to_owned(),
            rest => format!("{:?}", shown_char(rest)),
        };
        Self { line, offset, message: format!("expected {expected}, found {found} after {shown:?}") }
    }

    /// An error about what ends before `offset`, whose message is whole.
    #[cold]
    pub(crate) fn whole(body: &[u8], offset: usize, message: String) -> Self {
        let before = body.get(..offset).unwrap_or(body);
        Self { line: before.iter().filter(|b| **b == b'\n').count() + 1, offset, message }
    }

    /// An error at a byte of a body without lines.
    #[cold]
    pub(crate) fn at_byte(offset: usize, message: String) -> Self {
        Self { line: 0, offset, message }
    }
}

/// Bytes of a body as a text for a message, cut where they are long.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let cut = bytes.get(..SHOWN_MAX).unwrap_or(bytes);
    let text = String::from_utf8_lossy(cut).into_owned();
    if cut.len() < bytes.len() { text + "…" } else { text }
}

fn shown_char(bytes: &[u8]) -> char {
    String::from_utf8_lossy(bytes.get(..4).unwrap_or(bytes)).chars().next().unwrap_or('\u{fffd}')
}
