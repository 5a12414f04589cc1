//! The endpoints that a request concerns: those to ask, and warnings about those that cannot be asked.

use std::sync::Arc;

use labels::Matcher;
use storage::{Error, PartialResponse, Result};
use storeapi::Served;

use super::{Endpoint, EndpointSet};

/// Thanos' words for a request that nobody is there to answer.
const NONE_AVAILABLE: &str = "No StoreAPIs available";

#[derive(Debug, Default)]
pub struct Members {
    pub asked: Vec<Arc<Endpoint>>,
    /// Endpoints that cannot be asked, each as a sentence that says why.
    missing: Vec<String>,
    /// About endpoints that are asked all the same.
    warnings: Vec<String>,
}

impl EndpointSet {
    /// The members that serve `api` and that one of `selectors` chooses (empty = all). Waits until each was asked once
    /// who it is, for some seconds at most.
    pub async fn members(&self, api: impl Fn(&Served) -> bool, selectors: &[Vec<Matcher>]) -> Members {
        self.settle().await;
        self.check_back().await;
        let all = self.all();
        if all.is_empty() {
            let text = format!("{NONE_AVAILABLE}: no endpoint is configured (--endpoint, --endpoint.sd-config-file)");
            return Members { missing: vec![text], ..Members::default() };
        }
        let mut members = Members { warnings: self.unresolved(), ..Members::default() };
        for endpoint in all.into_iter().filter(|e| e.serves(&api) && e.chosen_by(selectors)) {
            match endpoint.missing() {
                None => members.asked.push(endpoint),
                Some(why) => members.missing.push(why),
            }
        }
        members
    }
}

impl Members {
    /// Says so where there is nobody at all.
    #[must_use]
    pub fn or_none(mut self, why: &str) -> Self {
        if self.asked.is_empty() && self.missing.is_empty() {
            self.missing.push(format!("{NONE_AVAILABLE}: {why}"));
        }
        self
    }

    /// The warnings about endpoints that cannot be asked.
    ///
    /// # Errors
    /// The same text, where partial answers are not allowed.
    pub fn warnings(&mut self, partial: PartialResponse) -> Result<Vec<String>> {
        let missing = std::mem::take(&mut self.missing);
        if partial == PartialResponse::Abort {
            if missing.is_empty() {
                return Ok(Vec::new());
            }
            let text = missing.join("; ");
            return Err(Error::Unavailable(match self.asked.is_empty() && !text.starts_with(NONE_AVAILABLE) {
                true => format!("{NONE_AVAILABLE}: {text}"),
                false => text,
            }));
        }
        Ok(missing.into_iter().chain(std::mem::take(&mut self.warnings)).collect())
    }
}
