//! `--help`, the man page and the reference page, from the declarations.

use crate::{Command, Flag};

const WIDTH: usize = 100;
const COLUMN: usize = 36;

static OWN: [Flag; 2] = [
    Flag::switch("help", "Show context-sensitive help (also try --help-long and --help-man)."),
    Flag::switch("version", "Show application version."),
];

/// The text of `--help`: usage, then each flag that is not hidden, wrapped to the width of a terminal.
pub fn help(command: &Command) -> String {
    let mut out = format!("usage: aion {} [<flags>]", command.name);
    if let Some(arg) = command.args {
        out.push_str(&format!(" <{}>{}", arg.name, if arg.max > 1 { "..." } else { "" }));
    }
    out.push_str("\n\n");
    out.push_str(&wrap(command.about, 0));
    out.push_str("\n\nFlags:\n");
    for flag in OWN.iter().chain(command.all()).filter(|f| !f.hidden) {
        let signature = format!("      {}", flag.signature());
        let text = full_help(flag);
        if signature.len() + 2 > COLUMN {
            out.push_str(&format!("{signature}\n{:COLUMN$}", ""));
        } else {
            out.push_str(&format!("{signature:COLUMN$}"));
        }
        out.push_str(&wrap(&text, COLUMN));
        out.push('\n');
    }
    if let Some(arg) = command.args {
        out.push_str(&format!("\nArgs:\n  {:<14}{}\n", format!("<{}>", arg.name), wrap(arg.help, 16)));
    }
    out
}

fn full_help(flag: &Flag) -> String {
    let mut text = flag.help.to_owned();
    if let crate::Kind::Word(words) = flag.kind {
        text.push_str(&format!(" One of: {}.", words.join(", ")));
    }
    if !flag.ignored.is_empty() {
        text.push_str(&format!(" Accepted without effect: {}.", flag.ignored));
    }
    text
}

/// The reference page of the command for `docs/components/`, in Markdown.
pub fn markdown(command: &Command) -> String {
    let mut out = format!("# aion {}\n\n{}\n\n", command.name, command.about);
    out.push_str("<!-- made from the flags' declarations; `cargo test -p tests` tells when it is out of date -->\n\n");
    out.push_str("```\n");
    out.push_str(&help(command));
    out.push_str("```\n");
    out
}

/// A man page in troff.
pub fn man(command: &Command) -> String {
    let escape = |t: &str| t.replace('\\', "\\\\").replace('-', "\\-");
    let mut out = format!(".TH aion-{} 1\n.SH NAME\naion {} \\- {}\n", command.name, command.name, command.about);
    out.push_str(&format!(".SH SYNOPSIS\naion {} [<flags>]\n.SH OPTIONS\n", command.name));
    for flag in command.all().filter(|f| !f.hidden) {
        out.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escape(&flag.signature()), escape(&full_help(flag))));
    }
    out
}

fn wrap(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        if column > indent && column + 1 + word.len() > WIDTH {
            out.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}
