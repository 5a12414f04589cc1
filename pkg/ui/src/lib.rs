//! The web interface: its files, built by `web/build.mjs` and embedded, and the routes that serve them. A component says
//! by [`Site`] which pages make sense at it.

mod files;
mod pages;
mod routes;

pub use pages::Page;
pub use routes::{Site, home, routes, routes_about};
