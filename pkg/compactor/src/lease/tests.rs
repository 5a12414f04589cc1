//! Leases of several processes over one bucket.

use std::sync::Arc;
use std::time::Duration;

use block::BlockId;
use futures::stream::TryStreamExt;
use model::{Clock, FakeClock, SystemClock};
use objstore::latency::LatencyHook;
use objstore::{Bucket, ConditionalCreate};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::decision::Commit;

fn leases(bucket: &Bucket, holder: &str) -> Leases {
    let options =
        LeaseOptions { ttl: Duration::from_secs(60), single_instance: false, conditional: ConditionalCreate::Honoured };
    Leases::new(bucket.clone(), Arc::new(SystemClock), holder.to_owned(), options)
}

async fn held(leases: &Leases) -> Arc<Lease> {
    match leases.claim("g", None).await.unwrap() {
        Claim::Held(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_holder_at_a_time() {
    let bucket = Bucket::in_memory();
    let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
    let of_a = held(&a).await;
    assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { holder } if holder == "a"));
    of_a.check().await.unwrap();
    of_a.release().await.unwrap();
    assert!(of_a.check().await.is_err());
    let _of_b = held(&b).await;
    assert!(matches!(a.claim("g", None).await.unwrap(), Claim::Busy { .. }));
}

/// The store's clock tells who is dead, not that of a machine.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_takes_nothing() {
    let bucket = Bucket::in_memory();
    let of_a = held(&leases(&bucket, "a")).await;
    let ahead = Arc::new(FakeClock::at(SystemClock.now_ms() + 50 * 86_400_000));
    let options = leases(&bucket, "b").0.options.clone();
    let b = Leases::new(bucket.clone(), ahead, "b".to_owned(), options);
    for _ in 0..2 {
        let listed = b.list().await.unwrap().remove("g").unwrap();
        assert!(!b.is_free("g", &listed, listed.entry.as_ref().unwrap()));
        assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }));
    }
    of_a.check().await.unwrap();
    assert_eq!(bucket.list_recursive("aion-probe").try_collect::<Vec<_>>().await.unwrap(), []);
    // what has stood for hours by the store's own clock is free at once
    let long_ago = |l: &Listed| b.0.is_free("g", l.number, l.written_ms - 3_600_000, l.entry.as_ref().unwrap());
    assert!(long_ago(&b.list().await.unwrap()["g"]));
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_replaced_and_fenced() {
    let bucket = Bucket::in_memory();
    let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
    let of_a = held(&a).await;
    assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }));
    tokio::time::advance(Duration::from_secs(91)).await;
    let of_b = held(&b).await;
    assert!(of_a.check().await.is_err());
    assert!(of_a.commit(Commit::default()).await.is_err());
    of_b.check().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn renewal_keeps_it() {
    let bucket = Bucket::in_memory();
    let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
    let of_a = held(&a).await;
    let kept = of_a.clone();
    let keeper = tokio::spawn(async move { kept.keep().await });
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }));
    }
    of_a.check().await.unwrap();
    of_a.release().await.unwrap();
    keeper.await.unwrap();
}

/// A renewal that is under way when the work ends is waited for, not waited on for ever.
#[tokio::test(start_paused = true)]
async fn work_may_end_during_a_renewal() {
    let bucket = Bucket::in_memory().decorated(LatencyHook(Duration::from_secs(2)));
    let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
    let of_a = held(&a).await;
    // the first renewal begins 15 s from now
    let work = async {
        tokio::time::sleep(Duration::from_secs(16)).await;
        7
    };
    let stop = CancellationToken::new();
    let whole = of_a.held_for(work, &stop, |_| false);
    let seven = tokio::time::timeout(Duration::from_secs(60), whole).await.unwrap();
    assert_eq!(seven, 7);
    let of_b = held(&b).await;
    assert!(of_a.check().await.is_err());
    // lost to another: what is done under it ends
    let c = leases(&bucket, "c");
    assert!(matches!(c.claim("g", None).await.unwrap(), Claim::Busy { .. }));
    tokio::time::advance(Duration::from_secs(91)).await;
    let _of_c = held(&c).await;
    assert_eq!(of_b.held_unless_lost(std::future::pending::<()>()).await, None);
}

/// Whoever takes over finds what was decided; and a commit is refused once somebody has.
#[tokio::test(start_paused = true)]
async fn decisions_outlive_their_maker() {
    let bucket = Bucket::in_memory();
    let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
    let of_a = held(&a).await;
    let commit = Commit { inputs: vec![BlockId::new(1, 1)], ..Commit::default() };
    of_a.commit(commit.clone()).await.unwrap();
    tokio::time::advance(Duration::from_secs(91)).await;
    assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }), "seen for the first time");
    tokio::time::advance(Duration::from_secs(91)).await;
    let of_b = held(&b).await;
    assert_eq!(of_b.pending().await, Some(commit));
    of_b.done().await.unwrap();
    assert_eq!(of_b.pending().await, None);
    assert!(of_a.done().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn work_of_others_is_noticed() {
    let bucket = Bucket::in_memory();
    let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
    let listed = a.list().await.unwrap();
    assert!(listed.is_empty());
    held(&b).await.release().await.unwrap();
    assert!(matches!(a.claim("g", Some(0)).await.unwrap(), Claim::Moved));
    let number = a.list().await.unwrap()["g"].number;
    assert!(matches!(a.claim("g", Some(number)).await.unwrap(), Claim::Held(_)));
}
