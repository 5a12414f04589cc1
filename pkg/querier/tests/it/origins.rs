//! An answer says which endpoints it is from.

use crate::world::{START_S, Store, World, series};

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_answered_and_how_much() {
    let stores = ["eu", "us"].map(|cluster| Store::of(cluster, "a", series(&["x", "y"], 0..60)));
    let world = World::start(stores.into_iter().collect(), &[]).await;
    let time = format!("{}", START_S + 50);
    let ask = async |query: &str, stats: &str| {
        world.get("/api/v1/query", &[("query", query), ("time", &time), ("stats", stats)]).await["data"]["stats"]
            .clone()
    };
    let origins = ask("up", "true").await["origins"].clone();
    let origins = origins.as_array().unwrap();
    let mut names: Vec<_> = origins.iter().map(|o| o["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    let mut expected = [world.store_address(0), world.store_address(1)];
    expected.sort_unstable();
    assert_eq!(names, expected);
    for origin in origins {
        assert_eq!(
            (&origin["resolution"], &origin["requests"], &origin["series"]),
            (&"raw".into(), &1.into(), &2.into())
        );
        assert!(origin["bytes"].as_u64() > Some(0) && origin["start"].as_f64() <= origin["end"].as_f64(), "{origin}");
    }
    let twice = ask("count(up) + count(up{job=\"x\"})", "true").await;
    assert!(twice["origins"].as_array().unwrap().iter().all(|o| o["requests"] == 2), "{twice}");
    assert!(ask("up", "").await.is_null());
}
