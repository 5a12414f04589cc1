//! Memory of requests: what one kind holds does not shut out another.

use std::sync::Arc;

use storage::Budget;

use crate::config::Config;

/// The budgets of queries.
#[derive(Debug)]
pub struct Queries {
    /// All of it, which rules may take: alerts go on whatever else is asked.
    pub rules: Arc<Budget>,
    /// Three quarters of it, for all others.
    pub others: Arc<Budget>,
}

impl Queries {
    /// Budgets within a limit of bytes, 0 = none.
    pub fn new(bytes_max: u64) -> Self {
        const FLAG: &str = "--query.max-bytes-total";
        let all = Budget::new("all queries together", FLAG, bytes_max, None);
        let others_max = bytes_max - bytes_max / 4;
        let others = Budget::new("all queries but those of rules", FLAG, others_max, Some(all.clone()));
        Self { rules: all, others }
    }
}

/// What requests that write may hold at one time.
pub fn writes(config: &Config) -> Arc<Budget> {
    Budget::new("all writes together", "--limits.memory", config.limits.memory_bytes / 4, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_room_when_queries_have_taken_theirs() {
        let queries = Queries::new(1000);
        let _held = queries.others.reserve(750).unwrap();
        let refused = queries.others.reserve(1).unwrap_err().to_string();
        assert!(refused.contains("over its limit of 750") && refused.contains("--query.max-bytes-total"), "{refused}");
        let of_rules = queries.rules.reserve(250).unwrap();
        assert_eq!(queries.rules.used_bytes(), 1000, "the guard sees both");
        assert!(queries.rules.reserve(1).is_err());
        drop(of_rules);
        assert!(Queries::new(0).others.reserve(u64::MAX / 2).is_ok(), "without a limit");
    }
}
