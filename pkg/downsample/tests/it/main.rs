//! What is written, against Thanos' own output, against small tables, and against a plain model.

mod golden;
