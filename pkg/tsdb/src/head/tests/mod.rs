mod common;
mod suites;
