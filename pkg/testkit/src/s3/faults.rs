//! What goes wrong on the wire, and when.

use std::collections::HashMap;
use std::time::Duration;

use http::{Method, Request};
use parking_lot::Mutex;

/// What a request asks for, told from its method and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// GET of an object, whole or in part.
    Get,
    /// HEAD of an object.
    Head,
    /// PUT of an object.
    Put,
    /// DELETE of an object.
    Delete,
    /// A page of a listing.
    List,
    /// A page of multipart uploads that are not finished.
    ListUploads,
    /// A page of the parts of one.
    ListParts,
    /// The begin of a multipart upload.
    CreateMultipart,
    /// One part.
    UploadPart,
    /// The end of a multipart upload.
    CompleteMultipart,
    /// Giving a multipart upload up.
    AbortMultipart,
    /// Anything else.
    Other,
}

impl Operation {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let has = |key: &str| query.split('&').any(|part| part.split('=').next() == Some(key));
        match *request.method() {
            Method::GET if has("uploads") => Self::ListUploads,
            Method::GET if has("uploadId") => Self::ListParts,
            Method::GET if has("list-type") || has("prefix") => Self::List,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::PUT if has("partNumber") => Self::UploadPart,
            Method::PUT => Self::Put,
            Method::POST if has("uploads") => Self::CreateMultipart,
            Method::POST if has("uploadId") => Self::CompleteMultipart,
            Method::DELETE if has("uploadId") => Self::AbortMultipart,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultKind {
    /// Answered with this status, not done.
    Status(u16),
    /// Done, then answered with this status.
    StatusAfter(u16),
    /// Answered late.
    Latency(Duration),
    /// The body ends after so many bytes, and its length header says so too.
    Short(usize),
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// One bit of the body's byte at this place is turned.
    Flip(usize),
    /// The body is this, its length header says so too.
    Body(&'static str),
    /// A listing says that it goes on, and not where.
    TruncatedWithoutToken,
}

/// A fault and the requests it meets.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which operation fails; `None` = any.
    pub operation: Option<Operation>,
    /// What the request's path must contain; `""` = any.
    pub path_contains: String,
    /// Matching requests that pass before.
    pub skip: u64,
    /// Matching requests that are met then; `u64::MAX` = all.
    pub times: u64,
    /// What becomes of the request.
    pub kind: FaultKind,
}

impl Fault {
    /// Meets the next `times` requests of `operation` whose path contains `path_contains`.
    pub fn next(times: u64, operation: Operation, path_contains: &str, kind: FaultKind) -> Self {
        Self { operation: Some(operation), path_contains: path_contains.to_owned(), skip: 0, times, kind }
    }
}

/// The faults ordered, and the requests counted.
#[derive(Debug, Default)]
pub(super) struct Script {
    faults: Mutex<Vec<(Fault, u64, u64)>>,
    requests: Mutex<HashMap<Operation, u64>>,
}

impl Script {
    pub(super) fn add(&self, fault: Fault) {
        self.faults.lock().push((fault, 0, 0));
    }

    pub(super) fn clear(&self) {
        self.faults.lock().clear();
    }

    pub(super) fn requests(&self, operation: Operation) -> u64 {
        self.requests.lock().get(&operation).copied().unwrap_or(0)
    }

    /// Counts a request; the fault it meets.
    pub(super) fn next(&self, operation: Operation, path: &str) -> Option<FaultKind> {
        *self.requests.lock().entry(operation).or_default() += 1;
        for (fault, seen, hits) in self.faults.lock().iter_mut() {
            if fault.operation.is_some_and(|o| o != operation) || !path.contains(&fault.path_contains) {
                continue;
            }
            *seen += 1;
            if *seen > fault.skip && *hits < fault.times {
                *hits += 1;
                return Some(fault.kind);
            }
        }
        None
    }
}
