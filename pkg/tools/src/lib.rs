//! `aion tools`: one-shot commands.

pub mod promqltest;
