//! Shell completion: the scripts ask the binary itself, which knows its commands and their flags.

use crate::command::next_words;
use crate::{Command, Flag, Found, Kind, find};

/// What may stand where the cursor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// One of these words, each a whole word of the line.
    Words(Vec<String>),
    /// A file or folder, which the shell itself knows best.
    Files,
}

impl std::fmt::Display for Completion {
    /// As the scripts read it: a word a line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Words(words) => f.write_str(&words.join("\n")),
            Self::Files => f.write_str(FILES),
        }
    }
}

/// What stands for files in the answers to the scripts; no word is like it.
const FILES: &str = ":files";

/// Completes the last of `words`, which may be empty; the others stand before it. The program's own name is not among
/// them.
pub fn complete(commands: &[Command], words: &[String]) -> Completion {
    let (mut words, cut) = rejoin(words);
    let current = words.pop().unwrap_or_default();
    let found = find(commands, &words);
    let flag = |word: &str| {
        let name = word.strip_prefix("--")?;
        match &found {
            Found::Command(command, _) => command.find(name),
            _ => commands.iter().find_map(|c| c.find(name)),
        }
    };
    if let Some((name, value)) = current.split_once('=').filter(|(name, _)| name.starts_with("--")) {
        let prefix = if cut { String::new() } else { format!("{name}=") };
        return flag(name).map_or(Completion::Words(Vec::new()), |flag| values(flag, value, &prefix));
    }
    if let Some(flag) = words.last().and_then(|word| flag(word)).filter(|flag| flag.kind != Kind::Switch) {
        return values(flag, &current, "");
    }
    match found {
        Found::Command(command, _) if command.args.is_some() && !current.starts_with('-') => Completion::Files,
        Found::Command(command, _) => starting(flags(command), &current),
        Found::Group(_) if current.starts_with('-') => {
            starting(["--help", "--version"].map(str::to_owned).to_vec(), &current)
        }
        Found::Group(group) => {
            starting(next_words(commands, &group).into_iter().map(str::to_owned).collect(), &current)
        }
        Found::Unknown { .. } => Completion::Words(Vec::new()),
    }
}

/// Bash cuts `--flag=value` into three words. The second result tells whether the last word was cut.
fn rejoin(words: &[String]) -> (Vec<String>, bool) {
    let mut out: Vec<String> = Vec::new();
    let (mut open, mut cut) = (false, false);
    for word in words {
        match out.last_mut() {
            Some(last) if open => {
                last.push_str(word);
                (open, cut) = (false, true);
            }
            Some(last) if word == "=" && last.starts_with("--") && !last.contains('=') => {
                last.push('=');
                (open, cut) = (true, true);
            }
            _ => {
                out.push(word.clone());
                (open, cut) = (false, false);
            }
        }
    }
    (out, cut)
}

fn starting(words: Vec<String>, prefix: &str) -> Completion {
    Completion::Words(words.into_iter().filter(|word| word.starts_with(prefix)).collect())
}

/// The values of a flag that start with `value`, each after `prefix`.
fn values(flag: &Flag, value: &str, prefix: &str) -> Completion {
    match flag.kind {
        Kind::Word(words) => {
            let fits = words.iter().filter(|word| word.starts_with(value));
            Completion::Words(fits.map(|word| format!("{prefix}{word}")).collect())
        }
        Kind::Text if takes_path(flag) => Completion::Files,
        _ => Completion::Words(Vec::new()),
    }
}

/// Flags of files and folders are known by their names, which are Thanos', and where these do not tell, by their help.
fn takes_path(flag: &Flag) -> bool {
    let last = flag.name.rsplit(['.', '-', '_']).next().unwrap_or(flag.name);
    ["file", "files", "dir", "path", "cert", "key", "ca"].contains(&last) || flag.help.starts_with("Path to ")
}

fn flags(command: &Command) -> Vec<String> {
    let mut out = Vec::new();
    for flag in command.all().filter(|f| !f.hidden) {
        out.push(format!("--{}", flag.name));
        if flag.kind == Kind::Switch {
            out.push(format!("--no-{}", flag.name));
        }
    }
    out.push("--help".to_owned());
    out
}

/// One flag per line, as Thanos' commands print them.
pub(crate) fn words(command: &Command) -> String {
    flags(command).join("\n")
}

/// For bash: `eval "$(aion completion bash)"`.
pub fn bash_script() -> &'static str {
    r#"_aion() {
    local IFS=$'\n' cur="${COMP_WORDS[COMP_CWORD]}" found
    found=$("${COMP_WORDS[0]}" --completion-bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ "$found" == ":files" ]]; then
        [[ "$cur" == "=" ]] && cur=""
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
    else
        COMPREPLY=($found)
    fi
}
complete -F _aion aion"#
}

/// For zsh: `eval "$(aion completion zsh)"`, or as the file `_aion` in a folder of `fpath`.
pub fn zsh_script() -> &'static str {
    r#"#compdef aion
_aion() {
    local -a found
    found=("${(@f)$("${words[1]}" --completion-bash "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${found[1]}" == ":files" ]]; then
        compset -P '--*='
        _files
    elif [[ -n "${found[1]}" ]]; then
        compadd -- "${found[@]}"
    fi
}
if [[ "${funcstack[1]}" == "_aion" ]]; then
    _aion "$@"
else
    (( $+functions[compdef] )) || { autoload -U compinit && compinit; }
    compdef _aion aion
fi"#
}

/// For fish: `aion completion fish | source`.
pub fn fish_script() -> &'static str {
    r#"function __aion_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($before[1] --completion-bash $before[2..-1] "$current" 2>/dev/null)
    if test "$found" != ":files"
        printf '%s\n' $found
    else if string match -q -- '--*=*' "$current"
        set -l parts (string split -m1 = -- "$current")
        for path in (__fish_complete_path "$parts[2]")
            printf '%s=%s\n' $parts[1] $path
        end
    else
        __fish_complete_path "$current"
    end
end
complete -c aion -f -a '(__aion_complete)'"#
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arg;

    const FLAGS: &[Flag] = &[
        Flag::switch("wait", "Wait."),
        Flag::word("log.level", &["error", "info"], "info", "Level."),
        Flag::text("data-dir", "./data", "Where."),
        Flag::text("http.config", "", "Path to the configuration file."),
        Flag::duration("timeout", "2m", "Timeout."),
    ];
    const FILE: Arg = Arg { name: "file", help: "Files.", min: 1, max: 9 };

    fn commands() -> Vec<Command> {
        let command = |name, args| Command { name, about: "", flags: vec![FLAGS], args };
        vec![
            command("query", None),
            command("tools bucket ls", None),
            command("tools bucket inspect", None),
            command("tools promqltest", Some(FILE)),
        ]
    }

    /// Completes a line as a shell that cuts at blanks only; the cursor is at its end.
    fn at(line: &str) -> String {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        complete(&commands(), &words).to_string().replace('\n', " ")
    }

    #[test]
    fn commands_nest() {
        for (line, want) in [
            ("", "query tools"),
            ("t", "tools"),
            ("tools ", "bucket promqltest"),
            ("tools bucket ", "ls inspect"),
            ("tools bucket i", "inspect"),
            ("tools bucket --data-dir x --wait l", "ls"),
            ("tools --log.level=info bucket l", "ls"),
            ("tools bucket web ", ""),
            ("nonsense ", ""),
            ("tools --", "--help --version"),
            ("tools promqltest ", ":files"),
        ] {
            assert_eq!(at(line), want, "{line:?}");
        }
    }

    #[test]
    fn flags_and_their_values() {
        for (line, want) in [
            ("query --w", "--wait"),
            ("query --no", "--no-wait"),
            ("tools bucket ls --log", "--log.level"),
            ("tools promqltest --log", "--log.level"),
            ("query --log.level ", "error info"),
            ("query --log.level i", "info"),
            ("query --log.level=", "--log.level=error --log.level=info"),
            ("query --log.level=i", "--log.level=info"),
            ("query --log.level info --d", "--data-dir"),
            ("query --data-dir ", ":files"),
            ("query --data-dir=/t", ":files"),
            ("query --http.config ", ":files"),
            ("query --timeout ", ""),
            ("query --timeout=5", ""),
            ("query --unknown=5", ""),
            ("query --wait ", "--wait --no-wait --log.level --data-dir --http.config --timeout --help"),
        ] {
            assert_eq!(at(line), want, "{line:?}");
        }
    }

    #[test]
    fn bash_cuts_words_at_equals_signs() {
        for (line, want) in [
            ("query --log.level =", "error info"),
            ("query --log.level = i", "info"),
            ("query --log.level = info --w", "--wait"),
            ("query --data-dir =", ":files"),
            ("query --data-dir = /t", ":files"),
            ("tools --data-dir = x bucket l", "ls"),
        ] {
            assert_eq!(at(line), want, "{line:?}");
        }
    }
}
