//! Grafana's JSON of dashboards, schema 39.

use serde_json::{Value, json};

use crate::{Dashboard, Panel};

/// Units of Grafana's grid: panels stand three to a line of 24.
const WIDTH: usize = 8;
const HEIGHT: usize = 7;
const LINE: usize = 24;

/// The whole dashboard.
pub fn dashboard(dashboard: &Dashboard) -> Value {
    let (mut panels, mut y, mut id) = (Vec::new(), 0, 0);
    let mut next = || {
        id += 1;
        id
    };
    for row in &dashboard.rows {
        let place = json!({"h": 1, "w": LINE, "x": 0, "y": y});
        panels.push(json!({"id": next(), "type": "row", "title": row.title, "collapsed": false, "panels": [], "gridPos": place}));
        y += 1;
        for line in row.panels.chunks(LINE / WIDTH) {
            for (i, panel) in line.iter().enumerate() {
                let place = json!({"h": HEIGHT, "w": WIDTH, "x": i * WIDTH, "y": y});
                panels.push(lines(panel, next(), &place));
            }
            y += HEIGHT;
        }
    }
    json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["aion"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "utc",
        "links": [{"type": "dashboards", "title": "aion", "tags": ["aion"], "asDropdown": true, "includeVars": true, "keepTime": true}],
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
            {
                "name": "job", "label": "Job", "type": "query", "datasource": source(), "refresh": 2,
                "query": {"query": format!("label_values({}, job)", dashboard.marker), "refId": "job"},
                "multi": true, "includeAll": true, "allValue": ".+", "current": {"text": "All", "value": "$__all"},
            },
        ]},
        "panels": panels,
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "$datasource"})
}

fn lines(panel: &Panel, id: usize, place: &Value) -> Value {
    let target = |(i, (query, legend)): (usize, &(&str, &str))| {
        let name = char::from(b'A' + u8::try_from(i).unwrap_or_default());
        json!({"refId": name, "datasource": source(), "expr": query, "legendFormat": legend})
    };
    json!({
        "id": id,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": source(),
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": panel.queries.iter().enumerate().map(target).collect::<Vec<_>>(),
    })
}
