//! The built files, compressed as they are served.

use std::io::Read;

use flate2::read::GzDecoder;

/// A file of the bundle.
#[derive(Debug)]
pub(crate) struct File {
    /// Those of scripts and styles hold a hash of the contents, so a name never means other contents.
    pub name: &'static str,
    /// Of the contents, hexadecimal.
    pub digest: &'static str,
    pub gzip: &'static [u8],
}

const FILES: &[File] = include!("../dist/files.rs");

/// The page that all paths answer with; scripts show what belongs to the path.
pub(crate) const INDEX: &str = "index.html";

impl File {
    pub fn named(name: &str) -> Option<&'static File> {
        FILES.iter().find(|file| file.name == name)
    }

    pub fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            Some("html") => "text/html; charset=utf-8",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Whether clients may keep the file for ever.
    pub fn is_immutable(&self) -> bool {
        matches!(self.name.rsplit('.').next(), Some("js" | "css"))
    }

    /// The contents for clients that do not take gzip.
    pub fn unpacked(&self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        GzDecoder::new(self.gzip).read_to_end(&mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the query page loads, the editor included; more makes the first visit slow.
    const QUERY_PAGE_BYTES_MAX: usize = 220_000;

    #[test]
    fn files_unpack_and_the_index_names_those_that_are_there() {
        for file in FILES {
            assert!(!file.unpacked().unwrap().is_empty(), "{}", file.name);
        }
        let index = String::from_utf8(File::named(INDEX).unwrap().unpacked().unwrap()).unwrap();
        let named: Vec<_> = index.split("\"assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(named.len(), 2, "{index}");
        for name in named {
            assert!(File::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_query_page_is_small() {
        let parts = ["app-", "codemirror-", "chunk-", INDEX];
        let bytes: usize =
            FILES.iter().filter(|f| parts.iter().any(|p| f.name.starts_with(p))).map(|f| f.gzip.len()).sum();
        assert!(bytes <= QUERY_PAGE_BYTES_MAX, "{bytes} bytes");
    }
}
