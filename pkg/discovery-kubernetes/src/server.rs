//! The API server, as a seam: what is asked of it are texts, whoever carries them.

use std::fmt;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// An answer whose body is still to come.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, uncompressed, in pieces of any size.
    pub body: BoxStream<'static, Result<Bytes, String>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Carries requests to an API server, which it knows how to find and who to be for.
pub trait ApiServer: fmt::Debug + Send + Sync {
    /// Sends a GET for a path with its query, such as `/api/v1/pods?limit=500`. The future completes when the headers of the
    /// answer are there; its error says why there is none, in the same words each time.
    fn get(&self, path: &str) -> BoxFuture<'static, Result<Answer, String>>;
}

/// All of a body.
///
/// # Errors
/// When it breaks off, or is longer than `bytes_max`.
pub(crate) async fn whole(mut body: BoxStream<'static, Result<Bytes, String>>, bytes_max: usize) -> Result<Bytes, Cut> {
    let mut out = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(Cut::Broken)?;
        if out.len() + piece.len() > bytes_max {
            return Err(Cut::TooLong);
        }
        out.extend_from_slice(&piece);
    }
    Ok(out.freeze())
}

/// Why a body, or a line of one, could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection broke.
    Broken(String),
    /// There is more than is taken.
    TooLong,
}

/// The lines of a body, each as soon as it is there.
pub(crate) struct Lines {
    body: BoxStream<'static, Result<Bytes, String>>,
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no end of a line.
    scanned: usize,
    bytes_max: usize,
}

impl Lines {
    /// Lines of at most `bytes_max` bytes.
    pub(crate) fn new(body: BoxStream<'static, Result<Bytes, String>>, bytes_max: usize) -> Self {
        Self { body, buffer: BytesMut::new(), scanned: 0, bytes_max }
    }

    /// The next line, without its end; `None` when there are no more. What follows the last end of a line is no line. May be
    /// dropped and called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        loop {
            if let Some(at) = self.buffer.iter().skip(self.scanned).position(|b| *b == b'\n') {
                let line = self.buffer.split_to(self.scanned + at + 1).freeze();
                self.scanned = 0;
                let line = line.slice(..line.len() - 1);
                return Some(if line.len() > self.bytes_max { Err(Cut::TooLong) } else { Ok(line) });
            }
            self.scanned = self.buffer.len();
            if self.scanned > self.bytes_max {
                return Some(Err(Cut::TooLong));
            }
            match self.body.next().await? {
                Ok(piece) => self.buffer.extend_from_slice(&piece),
                Err(e) => return Some(Err(Cut::Broken(e))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::stream::iter;
    use proptest::prelude::*;

    fn body(pieces: Vec<Vec<u8>>) -> BoxStream<'static, Result<Bytes, String>> {
        iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece)))).boxed()
    }

    fn lines(pieces: Vec<Vec<u8>>, bytes_max: usize) -> (Vec<Vec<u8>>, Option<Cut>) {
        let mut lines = Lines::new(body(pieces), bytes_max);
        let mut out = Vec::new();
        loop {
            match block_on(lines.next()) {
                None => return (out, None),
                Some(Ok(line)) => out.push(line.to_vec()),
                Some(Err(cut)) => return (out, Some(cut)),
            }
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_pieces(text in "[ab\n]{0,40}", cuts in prop::collection::vec(0usize..40, 0..6)) {
            let mut at: Vec<usize> = cuts.into_iter().filter(|at| *at < text.len()).chain([0, text.len()]).collect();
            at.sort();
            let pieces = at.windows(2).map(|w| text.as_bytes()[w[0]..w[1]].to_vec()).collect();
            let mut wanted: Vec<Vec<u8>> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
            wanted.pop();
            prop_assert_eq!(lines(pieces, 40), (wanted, None));
        }
    }

    #[test]
    fn what_is_too_long_or_broken() {
        for pieces in [vec!["ab\nabc", "de", "f\n"], vec!["ab\nabc", "de\n"], vec!["ab\nabcde\n"]] {
            let pieces = pieces.into_iter().map(|piece| piece.as_bytes().to_vec()).collect();
            assert_eq!(lines(pieces, 4), (vec![b"ab".to_vec()], Some(Cut::TooLong)));
        }
        assert_eq!(block_on(whole(body(vec![b"ab".to_vec(), b"cd".to_vec()]), 4)), Ok(Bytes::from("abcd")));
        assert_eq!(block_on(whole(body(vec![b"ab".to_vec(), b"cde".to_vec()]), 4)), Err(Cut::TooLong));
        let broken = || iter([Ok(Bytes::from("a\nb")), Err("reset".to_owned())]).boxed();
        assert_eq!(block_on(whole(broken(), 9)), Err(Cut::Broken("reset".to_owned())));
        let mut lines = Lines::new(broken(), 9);
        assert_eq!(block_on(lines.next()), Some(Ok(Bytes::from("a"))));
        assert_eq!(block_on(lines.next()), Some(Err(Cut::Broken("reset".to_owned()))));
    }
}
