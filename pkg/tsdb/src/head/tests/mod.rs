mod background;
mod common;
mod model;
mod restoring;
mod suites;
