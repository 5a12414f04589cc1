//! Whether the body of a listing is a listing, and a whole one.
//!
//! `object_store` takes any XML for a page: an error page of a proxy in HTML has no entries, so all blocks would be gone
//! from a view of the bucket. What is checked: the root, that the body goes on to its end, and what every page of the
//! protocol holds.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Why a body is no listing.
#[derive(Debug, thiserror::Error)]
#[error("listing: {0}")]
pub(crate) struct BadListing(pub(crate) String);

impl BadListing {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// S3's `ListObjectsV2`; GCS answers the same.
    S3,
    /// Azure's `List Blobs`.
    Azure,
}

impl Protocol {
    /// The protocol of a listing with this query; `None` = the request is no listing.
    pub(crate) fn of(query: &str) -> Option<Self> {
        let mut pairs = query.split('&');
        pairs.find_map(|pair| match pair {
            "list-type=2" => Some(Self::S3),
            "comp=list" => Some(Self::Azure),
            _ => None,
        })
    }

    fn root(self) -> &'static str {
        match self {
            Self::S3 => "ListBucketResult",
            Self::Azure => "EnumerationResults",
        }
    }
}

/// What a page tells right below its root.
#[derive(Default)]
struct Page {
    truncated: Option<String>,
    token: Option<String>,
    key_count: Option<String>,
    entries: u64,
    has_prefix: bool,
    has_blobs: bool,
    has_marker: bool,
}

/// Checks one page.
///
/// # Errors
/// What is missing, or what it is instead.
pub(crate) fn check(protocol: Protocol, body: &[u8]) -> Result<(), BadListing> {
    let page = read(protocol.root(), body)?;
    match protocol {
        Protocol::S3 => check_s3(&page),
        Protocol::Azure if !page.has_blobs => Err(BadListing::new("the answer has no Blobs")),
        Protocol::Azure if !page.has_marker => Err(BadListing::new("the answer has no NextMarker")),
        Protocol::Azure => Ok(()),
    }
}

fn check_s3(page: &Page) -> Result<(), BadListing> {
    let has_token = page.token.as_ref().is_some_and(|t| !t.is_empty());
    match page.truncated.as_deref() {
        Some("true") if !has_token => Err(BadListing::new("truncated without a continuation token")),
        // An emulator of GCS leaves it out, but counts, and says what was asked for.
        None if page.key_count.is_none() || !page.has_prefix || has_token => {
            Err(BadListing::new("the answer has no IsTruncated"))
        }
        Some("true" | "false") | None => match page.key_count.as_deref() {
            Some(count) if count != "0" && page.entries == 0 => {
                Err(BadListing::new(format!("{count} keys are counted, none is there")))
            }
            _ => Ok(()),
        },
        Some(other) => Err(BadListing::new(format!("IsTruncated is {other:?}"))),
    }
}

fn read(root: &str, body: &[u8]) -> Result<Page, BadListing> {
    let broken = |e: &dyn std::fmt::Display| BadListing::new(format!("the answer is no whole XML: {e}"));
    let mut reader = Reader::from_reader(body);
    let (mut page, mut depth, mut seen_root) = (Page::default(), 0u32, false);
    let mut open = String::new();
    loop {
        let event = reader.read_event().map_err(|e| broken(&e))?;
        let (name, is_empty) = match &event {
            Event::Start(tag) => (tag.local_name(), false),
            Event::Empty(tag) => (tag.local_name(), true),
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                open.clear();
                continue;
            }
            Event::Text(text) if depth == 2 => {
                page.text(&open, &String::from_utf8_lossy(text));
                continue;
            }
            Event::Text(text) if depth == 0 && !text.iter().all(u8::is_ascii_whitespace) => {
                return Err(BadListing::new(format!("the answer is no {root}")));
            }
            Event::Eof if depth > 0 => return Err(broken(&"it ends early")),
            Event::Eof if !seen_root => return Err(BadListing::new(format!("the answer is empty, no {root}"))),
            Event::Eof => return Ok(page),
            _ => continue,
        };
        let name = String::from_utf8_lossy(name.as_ref()).into_owned();
        match depth {
            0 if seen_root || name != root => {
                let name: String = name.chars().take(60).collect();
                return Err(BadListing::new(format!("the answer is {name:?}, no {root}")));
            }
            0 => seen_root = true,
            1 => page.element(&name),
            _ => {}
        }
        if !is_empty {
            depth += 1;
            open = name;
        }
    }
}

impl Page {
    fn element(&mut self, name: &str) {
        match name {
            "Contents" | "CommonPrefixes" => self.entries += 1,
            "Prefix" => self.has_prefix = true,
            "Blobs" => self.has_blobs = true,
            "NextMarker" => self.has_marker = true,
            _ => {}
        }
    }

    fn text(&mut self, element: &str, text: &str) {
        let slot = match element {
            "IsTruncated" => &mut self.truncated,
            "NextContinuationToken" => &mut self.token,
            "KeyCount" => &mut self.key_count,
            _ => return,
        };
        slot.get_or_insert_default().push_str(text.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Name>b</Name><Prefix/><KeyCount>1</KeyCount><IsTruncated>true</IsTruncated>\
        <NextContinuationToken>a&amp;b</NextContinuationToken><Contents><Key>a/b</Key>\
        <LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size></Contents></ListBucketResult>\n";
    const AZURE: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\"><Blobs>\
        <Blob><Name>a</Name></Blob></Blobs><NextMarker /></EnumerationResults>";

    #[test]
    fn whole_pages_pass_and_no_part_of_one_does() {
        for (protocol, page) in [(Protocol::S3, S3), (Protocol::Azure, AZURE)] {
            check(protocol, page.as_bytes()).unwrap();
            let whole = page.trim_end().len();
            for cut in 0..whole {
                assert!(
                    check(protocol, &page.as_bytes()[..cut]).is_err(),
                    "{}",
                    &page[..page.floor_char_boundary(cut)]
                );
            }
        }
    }

    #[test]
    fn what_is_no_listing() {
        let html = "<html><body><h1>Please log in</h1></body></html>";
        for (protocol, body, want) in [
            (Protocol::S3, "", "empty, no ListBucketResult"),
            (Protocol::S3, html, "is \"html\", no ListBucketResult"),
            (Protocol::S3, "<!DOCTYPE html><html><head></head></html>", "is \"html\", no ListBucketResult"),
            (Protocol::S3, "<!DOCTYPE html><html><br><p>x</html>", "is \"html\""),
            (Protocol::S3, "Service Unavailable", "no ListBucketResult"),
            (Protocol::S3, "{\"Contents\": []}", "no ListBucketResult"),
            (Protocol::S3, "<Error><Code>SlowDown</Code></Error>", "is \"Error\""),
            (Protocol::S3, AZURE, "is \"EnumerationResults\""),
            (Protocol::S3, "<ListBucketResult/>", "no IsTruncated"),
            (Protocol::S3, "<ListBucketResult><Name>b</Name></ListBucketResult>", "no IsTruncated"),
            (
                Protocol::S3,
                "<ListBucketResult><Prefix/><KeyCount>3</KeyCount></ListBucketResult>",
                "3 keys are counted",
            ),
            (Protocol::S3, "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>", "no IsTruncated"),
            (
                Protocol::S3,
                "<ListBucketResult><KeyCount>0</KeyCount><NextContinuationToken>a</NextContinuationToken></ListBucketResult>",
                "no IsTruncated",
            ),
            (Protocol::S3, "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>", "\"maybe\""),
            (
                Protocol::S3,
                "<ListBucketResult><IsTruncated> true </IsTruncated></ListBucketResult>",
                "without a continuation token",
            ),
            (
                Protocol::S3,
                "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken/></ListBucketResult>",
                "without a continuation token",
            ),
            (
                Protocol::S3,
                "<ListBucketResult><KeyCount>7</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>",
                "7 keys are counted",
            ),
            (
                Protocol::S3,
                "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult><html/>",
                "is \"html\"",
            ),
            (Protocol::S3, "<ListBucketResult><a></b></ListBucketResult>", "no whole XML"),
            (Protocol::Azure, html, "is \"html\", no EnumerationResults"),
            (Protocol::Azure, "<EnumerationResults><NextMarker/></EnumerationResults>", "no Blobs"),
            (Protocol::Azure, "<EnumerationResults><Blobs/></EnumerationResults>", "no NextMarker"),
        ] {
            let error = check(protocol, body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{body}: {error}");
        }
        let empty = "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
        check(Protocol::S3, empty.as_bytes()).unwrap();
    }

    #[test]
    fn which_requests_are_listings() {
        for (query, want) in [
            ("list-type=2&prefix=a", Some(Protocol::S3)),
            ("restype=container&comp=list&prefix=a", Some(Protocol::Azure)),
            ("comp=blocklist", None),
            ("comp=block&blockid=list-type=2", None),
            ("uploads", None),
        ] {
            assert_eq!(Protocol::of(query), want, "{query}");
        }
    }
}
