//! Alerts while the clock is put back and forward by days.

use storage::AlertState;

use crate::world::{MINUTE, World};

const HOUR: i64 = 60 * MINUTE;
const TEXT: &str = "groups: [{name: g, rules: [{alert: A, expr: 'vector(1)', for: 5m}]}]";

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_pending_fires_after_its_time_whatever_the_clock_does() {
    for moved in [-49 * HOUR, 49 * HOUR] {
        let world = World::new();
        let mut group = world.group(TEXT);
        let begin = 100 * HOUR;
        for minute in 0..3 {
            group.evaluate(begin + minute * MINUTE).await;
        }
        assert_eq!(group.active_alerts("A")[0].state, AlertState::Pending);
        for minute in 3..9 {
            group.evaluate(begin + moved + minute * MINUTE).await;
        }
        let alert = &group.active_alerts("A")[0];
        assert_eq!(alert.state, AlertState::Firing, "{moved}: {alert:?}");
        assert!(alert.active_at_ms <= begin + moved.max(0) + 3 * MINUTE, "{alert:?}");
        // From the step forward on it has waited long enough; after one back it waits anew. A message each second minute.
        assert_eq!(world.alerts().len(), if moved < 0 { 1 } else { 3 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_fires_is_told_of_again_after_the_clock_was_put_back() {
    let world = World::new();
    let mut group = world.group(&TEXT.replace(", for: 5m", ""));
    let begin = 100 * HOUR;
    group.evaluate(begin).await;
    assert_eq!(world.alerts().len(), 1);
    let back = begin - 49 * HOUR;
    group.evaluate(back).await;
    let told = world.alerts();
    assert_eq!(told.len(), 1, "without a message it would end for the Alertmanager");
    // From then on it counts as begun, and ends four intervals later unless it is told of again.
    let (starts, ends) = (back / 1000, (back + 4 * MINUTE) / 1000);
    assert!(told[0].ends_with(&format!(" {starts} {ends}")), "{told:?}");
    assert_eq!(world.query("ALERTS", begin).await, ["{__name__=\"ALERTS\", alertname=\"A\", alertstate=\"firing\"} 1"]);
}
