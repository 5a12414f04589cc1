//! Man pages: one for the program, one for each command.

use std::io;
use std::path::Path;

use flags::Command;

/// Writes `aion.1` and the pages of `commands` into `dir`, which is made where it is missing; how many there are.
///
/// # Errors
/// A page cannot be written; the text names it.
pub(crate) fn write(dir: &Path, commands: &[Command]) -> io::Result<usize> {
    let named = |path: &Path, e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    std::fs::create_dir_all(dir).map_err(|e| named(dir, e))?;
    let pages = commands.iter().map(|c| (file(c.name), page(c))).chain([("aion.1".to_owned(), overview(commands))]);
    let mut written = 0;
    for (name, text) in pages {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|e| named(&path, e))?;
        written += 1;
    }
    Ok(written)
}

fn title(command: &str) -> String {
    format!("aion-{}", command.replace(' ', "-"))
}

fn file(command: &str) -> String {
    format!("{}.1", title(command))
}

/// The page of a command. Its title has no blanks: man would take what follows for the section, and `whatis` would not find it.
fn page(command: &Command) -> String {
    let (text, title) = (flags::man(command), title(command.name));
    // After the title, the heading NAME and the name.
    let rest = text.splitn(4, '\n').nth(3).unwrap_or_default();
    let about = command.about.replace('\\', "\\\\").replace('-', "\\-");
    format!(".TH {title} 1\n.SH NAME\n{title} \\- {about}\n{rest}.SH SEE ALSO\n.BR aion (1)\n")
}

fn overview(commands: &[Command]) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('-', "\\-");
    let mut out = String::from(
        ".TH aion 1\n.SH NAME\naion \\- the long\\-term, global layer for Prometheus metrics\n.SH SYNOPSIS\n\
         .B aion\n<command> [<flags>]\n.SH COMMANDS\n",
    );
    for command in commands {
        let about = escape(command.about);
        out.push_str(&format!(".TP\n.BR {} (1)\n{about}\n", escape(&title(command.name))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let pages = dir.path().join("man/man1");
        let command = |name| Command { name, about: "Lists blocks - all.", flags: vec![], args: None };
        assert_eq!(write(&pages, &[command("store"), command("tools bucket ls")]).unwrap(), 3);
        let read = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
        let page = read("aion-tools-bucket-ls.1");
        let begin =
            ".TH aion-tools-bucket-ls 1\n.SH NAME\naion-tools-bucket-ls \\- Lists blocks \\- all.\n.SH SYNOPSIS\n";
        assert!(page.starts_with(begin), "{page}");
        assert!(read("aion.1").contains(".BR aion\\-store (1)\nLists blocks \\- all.\n"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(&file.path().join("man"), &[]).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
