//! Waiting for something to become true, never for a while.

use std::time::{Duration, Instant};

/// Asks `condition` again and again until it holds.
///
/// # Panics
/// When it does not hold after `deadline`, naming `what`.
pub async fn wait_for(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !condition().await {
        assert!(began.elapsed() < deadline, "waited {deadline:?} for {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn comes_true() {
        let mut asked = 0;
        let condition = async || {
            asked += 1;
            asked == 3
        };
        wait_for("three", Duration::from_secs(5), condition).await;
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "for the impossible")]
    async fn never() {
        wait_for("the impossible", Duration::from_millis(5), async || false).await;
    }
}
