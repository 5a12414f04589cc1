//! PromQL: lexer, parser, AST, printer.
