//! The dashboards, that of each component in a file.

mod compact;
mod overview;
mod query;
mod rows;
mod rule;
mod server;
mod sidecar;
mod store;

use crate::{Dashboard, Panel, Row};

/// Those of all components.
pub fn all() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        query::dashboard(),
        store::dashboard(),
        compact::dashboard(),
        sidecar::dashboard(),
        rule::dashboard(),
        server::dashboard(),
    ]
}

fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

fn panel(
    title: &'static str,
    unit: &'static str,
    help: &'static str,
    queries: &[(&'static str, &'static str)],
) -> Panel {
    Panel { title, help, unit, queries: queries.to_vec() }
}
