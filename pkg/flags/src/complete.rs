//! Shell completion: the scripts ask the binary itself for words.

use crate::{Command, Kind};

/// One flag per line, for the completion scripts.
pub(crate) fn words(command: &Command) -> String {
    let mut out = Vec::new();
    for flag in command.all().filter(|f| !f.hidden) {
        out.push(format!("--{}", flag.name));
        if flag.kind == Kind::Switch {
            out.push(format!("--no-{}", flag.name));
        }
    }
    out.push("--help".to_owned());
    out.join("\n")
}

/// For bash: `eval "$(aion --completion-script-bash)"`.
pub fn bash_script() -> &'static str {
    r#"_aion() {
    local cur="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "${COMP_WORDS[@]:1:1}" --completion-bash 2>/dev/null)" -- "$cur"))
}
complete -o default -F _aion aion"#
}

/// For zsh: `eval "$(aion --completion-script-zsh)"`.
pub fn zsh_script() -> &'static str {
    r#"autoload -U compinit && compinit
autoload -U bashcompinit && bashcompinit
_aion() {
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[1]}" "${COMP_WORDS[2]}" --completion-bash 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _aion aion"#
}
