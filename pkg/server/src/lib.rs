//! `aion server`: scrapes, stores, answers PromQL and hands on its blocks.
