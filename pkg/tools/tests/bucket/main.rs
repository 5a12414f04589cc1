//! `aion tools bucket …` against buckets of both kinds: a directory, and an S3 server inside the process.

mod faulty;
mod interop;
mod list;
mod order;
mod place;
mod rewrite;
mod verify;
mod web;
