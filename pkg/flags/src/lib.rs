//! Flags, declared once: parse, help, docs.
