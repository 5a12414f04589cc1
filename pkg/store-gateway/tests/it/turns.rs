//! Streams that nobody reads keep nobody waiting, whatever the number of calls that may work at a time.

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use storage::{Ctx, Select, SeriesEvent, SeriesSource, SeriesStream};

use crate::common::{Fixture, fleet, m, select};

/// Long enough to tell a hang from a slow machine.
const NEVER: Duration = Duration::from_secs(60);

const START: i64 = 1_700_000_000_000;

async fn rest(mut stream: SeriesStream) -> usize {
    let mut count = 0;
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            SeriesEvent::Batch(batch) => count += batch.len(),
            SeriesEvent::Warning(text) => panic!("{text}"),
        }
    }
    count
}

#[tokio::test]
async fn unread_streams_give_their_turns_up_and_lose_nothing() {
    let mut fixture = Fixture::new();
    for n in 1..4 {
        let start = START + n as i64 * 7_200_000;
        let series = fleet("wide", 4000, start, 2);
        fixture.raw(n, &[("cluster", "a")], (start, start + 7_200_000), series).await;
    }
    let all = (START, START + 40_000_000);
    for concurrency in [1, 3] {
        let component = fixture.gateway(|c| c.series_concurrency = concurrency).await;
        let open = async |want: Select| {
            let mut stream = component.gateway.select(&Ctx::background(), want);
            // What was not polled yet has not begun.
            let first = stream.next().await.unwrap().unwrap();
            let SeriesEvent::Batch(batch) = first else { panic!("{first:?}") };
            (stream, batch.len())
        };
        let wide = Select { skip_chunks: true, ..select(all, &["__name__=wide"]) };
        let small = Select { matchers: vec![m("instance=host-00001")].into(), ..wide.clone() };
        let work = async {
            let unread = join_all((0..12).map(|_| open(wide.clone()))).await;
            assert_eq!(rest(component.gateway.select(&Ctx::background(), small)).await, 1, "a bystander");
            // Each of them goes on, the last opened first.
            for (stream, count) in unread.into_iter().rev() {
                assert_eq!(count + rest(stream).await, 4000);
            }
        };
        tokio::time::timeout(NEVER, work).await.expect("nothing hangs");
    }
}
