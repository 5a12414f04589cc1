//! A store that forgets series, is full, or fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use memory_store::MemoryStore;
use parking_lot::Mutex;
use remote::receive::ReceiverOptions;
use storage::append::{
    AppendOptions, Appendable, Appender, Column, CommitError, Committed, Exemplars, Floats, Histograms, Metadata,
    Refusal, Refused, SeriesRef, SeriesRefusal, Visible,
};
use storage::{Budget, Ctx, Error};

use crate::messages as m;
use crate::{NOW_MS, Rig};

type Result<T> = std::result::Result<T, Error>;

/// How the store behaves from now on.
#[derive(Debug, Default, Clone)]
enum Mood {
    #[default]
    Fine,
    /// References given out before this are unknown.
    Forgets(u64),
    CommitFails(Error, Visible),
    AppendFails(Error),
    /// The first float row is refused at the commit.
    Late,
    /// Series whose name begins with `new` are refused.
    TakesNoNew(SeriesRefusal),
    /// The first float row's series is collected before so many commits.
    Collects(usize),
}

/// Passes everything on to a store in memory, with a mood, and references of its own.
#[derive(Debug, Default)]
struct Moody {
    store: MemoryStore,
    mood: Mutex<Mood>,
    offset: Mutex<u64>,
    resolved: AtomicUsize,
}

#[derive(Debug)]
struct MoodyAppender {
    inner: Box<dyn Appender>,
    of: Arc<Moody>,
    mood: Mood,
}

#[derive(Debug)]
struct Shared(Arc<Moody>);

impl Appendable for Shared {
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        let mood = self.0.mood.lock().clone();
        Box::new(MoodyAppender { inner: self.0.store.appender(ctx, options), of: self.0.clone(), mood })
    }
}

impl MoodyAppender {
    /// References as the store has them; rows of forgotten ones are refused.
    fn rows(&self, series: &[SeriesRef]) -> (Vec<SeriesRef>, Vec<Refused>) {
        let below = match self.mood {
            Mood::Forgets(below) => below,
            _ => 0,
        };
        let unknown = series.iter().enumerate().filter(|(_, s)| s.0 < below);
        let refused = unknown.map(|(row, _)| Refused { row, why: Refusal::UnknownSeries }).collect();
        (series.iter().map(|s| SeriesRef(s.0 % 1000)).collect(), refused)
    }
}

impl Appender for MoodyAppender {
    fn resolve(&mut self, series: &[&[(&str, &str)]]) -> Result<Vec<std::result::Result<SeriesRef, SeriesRefusal>>> {
        self.of.resolved.fetch_add(series.len(), Ordering::SeqCst);
        let offset = *self.of.offset.lock();
        let mut found = self.inner.resolve(series)?;
        if let Mood::TakesNoNew(why) = &self.mood {
            for (found, pairs) in found.iter_mut().zip(series) {
                if pairs.iter().any(|(_, value)| value.starts_with("new")) {
                    *found = Err(why.clone());
                }
            }
        }
        Ok(found.into_iter().map(|r| r.map(|r| SeriesRef(r.0 + offset))).collect())
    }

    fn floats(&mut self, rows: Floats<'_>) -> Result<Vec<Refused>> {
        if let Mood::AppendFails(error) = &self.mood {
            return Err(error.clone());
        }
        let (series, refused) = self.rows(rows.series);
        if refused.len() == series.len() {
            return Ok(refused);
        }
        assert!(refused.is_empty(), "all or none here");
        self.inner.floats(Floats { series: &series, ..rows })
    }

    fn histograms(&mut self, rows: Histograms<'_>) -> Result<Vec<Refused>> {
        let (series, _) = self.rows(rows.series);
        self.inner.histograms(Histograms { series: &series, ..rows })
    }

    fn exemplars(&mut self, rows: Exemplars<'_>) -> Result<Vec<Refused>> {
        let (series, _) = self.rows(rows.series);
        self.inner.exemplars(Exemplars { series: &series, ..rows })
    }

    fn metadata(&mut self, rows: Metadata<'_>) -> Result<Vec<Refused>> {
        let (series, _) = self.rows(rows.series);
        self.inner.metadata(Metadata { series: &series, ..rows })
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, std::result::Result<Committed, CommitError>> {
        match self.mood {
            Mood::CommitFails(error, visible) => Box::pin(async move { Err(CommitError { error, visible }) }),
            Mood::Late => Box::pin(async move {
                let mut done = self.inner.commit().await?;
                let refused = Refused { row: 0, why: Refusal::OutOfOrder { newest_ms: NOW_MS } };
                done.refused.push((Column::Floats, refused));
                Ok(done)
            }),
            Mood::Collects(times) if times > 0 => {
                *self.of.mood.lock() = Mood::Collects(times - 1);
                Box::pin(async move {
                    self.inner.rollback();
                    let refused = Refused { row: 0, why: Refusal::UnknownSeries };
                    Ok(Committed { samples: 1, refused: vec![(Column::Floats, refused)] })
                })
            }
            _ => self.inner.commit(),
        }
    }

    fn rollback(self: Box<Self>) {
        self.inner.rollback();
    }
}

fn rig() -> (Arc<Moody>, Rig) {
    let moody = Arc::new(Moody::default());
    let rig = Rig::over(
        moody.store.clone(),
        Arc::new(Shared(moody.clone())),
        ReceiverOptions::default(),
        Budget::unlimited(),
    );
    (moody, rig)
}

fn series(name: &str, time_ms: i64) -> Vec<u8> {
    m::series_v1(&[("__name__", name)], &[(2, m::sample(time_ms, 1.0, 0)), (2, m::sample(time_ms + 1, 1.0, 0))])
}

#[tokio::test]
async fn known_series_are_not_resolved_and_forgotten_ones_once_more() {
    let (moody, rig) = rig();
    assert_eq!(rig.v1(&[series("a", NOW_MS), series("b", NOW_MS)]).await.status, 204);
    assert_eq!(rig.v1(&[series("b", NOW_MS + 2), series("a", NOW_MS + 2)]).await.status, 204);
    assert_eq!(moody.resolved.load(Ordering::SeqCst), 2, "the second request has no new series");
    // From here on the references begin at 1000.
    *moody.offset.lock() = 1000;
    *moody.mood.lock() = Mood::Forgets(1000);
    let got = rig.v1(&[series("a", NOW_MS + 4), series("b", NOW_MS + 4)]).await;
    assert_eq!(got.status, 204, "{}", got.text);
    assert_eq!(moody.resolved.load(Ordering::SeqCst), 4);
    assert_eq!(rig.v1(&[series("a", NOW_MS + 6)]).await.status, 204);
    assert_eq!(moody.resolved.load(Ordering::SeqCst), 4, "the new references are remembered");
    assert_eq!(rig.floats().await.len(), 14);
}

#[tokio::test]
async fn failures_by_what_the_sender_may_do() {
    let (moody, rig) = rig();
    for (mood, status) in [
        (Mood::AppendFails(Error::Limit("full".into())), 503),
        (Mood::AppendFails(Error::Unavailable("closed".into())), 503),
        (Mood::AppendFails(Error::other("broken")), 500),
        (Mood::CommitFails(Error::other("no space"), Visible::Nothing), 500),
        (Mood::CommitFails(Error::Unavailable("closing".into()), Visible::Nothing), 503),
    ] {
        *moody.mood.lock() = mood.clone();
        let got = rig.v1(&[series("a", NOW_MS)]).await;
        assert_eq!(got.status.as_u16(), status, "{mood:?}: {}", got.text);
        assert_eq!(got.headers.contains_key("retry-after"), status == 503);
        assert!(rig.floats().await.is_empty());
    }
    *moody.mood.lock() = Mood::Fine;
    assert_eq!(rig.v1(&[series("a", NOW_MS)]).await.status, 204);
}

#[tokio::test]
async fn series_that_are_collected_meanwhile_cost_nothing() {
    let (moody, rig) = rig();
    assert_eq!(rig.v1(&[series("a", NOW_MS)]).await.status, 204);
    *moody.mood.lock() = Mood::Collects(2);
    let got = rig.v1(&[series("a", NOW_MS + 2)]).await;
    assert_eq!(got.status, 204, "{}", got.text);
    assert_eq!(rig.floats().await.len(), 4);
    assert!(rig.metric(r#"aion_remote_write_received_total{kind="float"} 4"#), "{}", rig.metrics.encode());
    *moody.mood.lock() = Mood::Collects(9);
    let got = rig.v1(&[series("a", NOW_MS + 4)]).await;
    assert_eq!(got.status, 500, "the sender repeats it: {}", got.text);
}

#[tokio::test]
async fn rows_that_are_late_at_the_commit_are_told() {
    let (moody, rig) = rig();
    *moody.mood.lock() = Mood::Late;
    let got = rig.v1(&[series("a", NOW_MS)]).await;
    assert_eq!(got.status, 400);
    assert_eq!(got.text, format!("out of order sample for series {{__name__=\"a\"}} at {NOW_MS}\n"));
}

#[tokio::test]
async fn series_for_which_there_is_no_room_may_come_again() {
    let limit = SeriesRefusal::TooManySeries { max: 1 };
    let of_metric = SeriesRefusal::TooManySeriesOf { label: "__name__", value: "a".to_owned(), max: 1 };
    let memory = SeriesRefusal::NotNow("memory is short".to_owned());
    for (why, status) in [(limit, 429), (of_metric, 429), (memory, 503)] {
        let (moody, rig) = rig();
        *moody.mood.lock() = Mood::TakesNoNew(why.clone());
        let nameless = || m::series_v1(&[("l", "v")], &[(2, m::sample(NOW_MS, 1.0, 0))]);
        let got = rig.v1(&[series("known", NOW_MS), series("new", NOW_MS), nameless()]).await;
        assert_eq!(got.status, status, "{why}: {}", got.text);
        assert_eq!(got.headers["retry-after"], "5");
        assert!(got.text.contains(&why.to_string()), "{}", got.text);
        assert_eq!(rig.floats().await.len(), 2, "the known series is not held up");
        assert!(rig.metric("aion_remote_write_busy_total 1"), "{}", rig.metrics.encode());
        // What can never be taken must not come again.
        let got = rig.v1(&[nameless()]).await;
        assert_eq!((got.status.as_u16(), got.headers.get("retry-after")), (400, None), "{}", got.text);
    }
}
