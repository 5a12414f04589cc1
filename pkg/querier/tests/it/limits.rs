//! `--store.limits.request-series` and `-samples` hold for queries as they do for StoreAPI.

use crate::world::{START_S, Store, World, series, vector};

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_series_call_hold_for_queries() {
    let stores = || ["eu", "us"].map(|cluster| Store::of(cluster, "a", series(&["x", "y"], 0..20))).into();
    let time = (START_S + 100).to_string();
    for (limit, why) in [
        ("--store.limits.request-series=4", ""),
        ("--store.limits.request-series=3", "exceeded series limit: limit 3 violated (got 4)"),
        ("--store.limits.request-samples=480", ""),
        ("--store.limits.request-samples=479", "exceeded samples limit: limit 479 violated (got 480)"),
    ] {
        let world = World::start(stores(), &[limit]).await;
        let answer = world.query("up", &time).await;
        let found = world.get("/api/v1/series", &[("match[]", "up")]).await;
        if why.is_empty() {
            assert_eq!((vector(&answer).len(), found["data"].as_array().unwrap().len()), (4, 4), "{limit}: {answer}");
            continue;
        }
        assert_eq!(
            (answer["status"].as_str(), answer["errorType"].as_str()),
            (Some("error"), Some("execution")),
            "{limit}"
        );
        assert!(answer["error"].as_str().unwrap().contains(why), "{limit}: {answer}");
        // Labels alone are no samples.
        assert_eq!(found["status"] == "error", limit.contains("series"), "{limit}: {found}");
    }
}
