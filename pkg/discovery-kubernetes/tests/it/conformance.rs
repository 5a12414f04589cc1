//! What every discoverer promises: whole states of sources, changes only, nothing lost by a failure, an end when asked.

use tokio::sync::mpsc;

use crate::fake::Fake;
use crate::run::{Run, cluster, discoverer, pod};

async fn holds(break_it: impl Fn(&Fake, bool)) {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    fake.put("pods", pod("a", "10.0.0.1"));
    let mut run = Run::start(discoverer("role: pod", &cluster));
    assert!(run.more().await, "nothing is sent at first");
    assert_eq!(run.addresses(), ["10.0.0.1:1"]);
    assert!(!run.more().await, "something is sent without a change");

    fake.put("pods", pod("a", "10.0.0.3"));
    assert!(run.more().await);
    assert_eq!((run.addresses(), run.known.len()), (vec!["10.0.0.3:1"], 1));

    break_it(&fake, true);
    fake.cut(Some("connection reset"));
    assert!(run.more().await, "a failure is not told");
    assert_eq!((run.addresses(), run.failures().len()), (vec!["10.0.0.3:1"], 1));
    assert!(!run.more().await, "a failure is told again");

    fake.put("pods", pod("a", "10.0.0.4"));
    break_it(&fake, false);
    assert!(run.more().await);
    assert_eq!((run.addresses(), run.failures().len()), (vec!["10.0.0.4:1"], 0));

    fake.delete("pods", "default", "a");
    assert!(run.more().await, "it is not told that the source is gone");
    assert!(run.known.is_empty(), "{:?}", run.known);

    run.shutdown.cancel();
    run.ends().await;

    break_it(&fake, true);
    let mut run = Run::start(discoverer("role: pod", &cluster));
    assert!(run.more().await);
    assert_eq!((run.addresses().len(), run.failures().len()), (0, 1));
    drop(std::mem::replace(&mut run.inbox, mpsc::channel(1).1));
    run.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away() {
    holds(Fake::set_down).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs() {
    holds(Fake::set_hangs).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_ill() {
    holds(|fake, broken| fake.refuse("pods", if broken { 500 } else { 200 })).await;
}
