//! The names of the commands: those there are, those of Thanos that are to come, and what is said about others.

use std::process::ExitCode;

use flags::{Command, nearest};

/// Commands of Thanos that are not built yet, with what serves meanwhile.
const TO_COME: [(&str, &str); 3] = [
    ("receive", ""),
    ("query-frontend", "; put it before `aion query`"),
    ("tools bucket web", "; `aion compact --wait` and `aion store` have pages of their blocks"),
];

/// Says what is wrong with a word that is no command, and gives the exit code of usage errors.
pub(crate) fn unknown(commands: &[Command], group: &str, word: &str) -> ExitCode {
    eprintln!("{}", explain(commands, group, word));
    ExitCode::from(2)
}

fn explain(commands: &[Command], group: &str, word: &str) -> String {
    let full = if group.is_empty() { word.to_owned() } else { format!("{group} {word}") };
    if let Some((name, meanwhile)) = TO_COME.iter().find(|(name, _)| *name == full) {
        return format!("aion: there is no `aion {name}` yet: Thanos' own works beside aion{meanwhile}");
    }
    let path = if group.is_empty() { "aion".to_owned() } else { format!("aion {group}") };
    let meant = suggestion(commands, group, word).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default();
    format!("{path}: unknown command {word:?}{meant}, try: {path} --help")
}

/// A name that ends in just this word, wherever it is, else the nearest of those that may stand here.
fn suggestion(commands: &[Command], group: &str, word: &str) -> Option<String> {
    let mut names: Vec<&str> = commands.iter().map(|c| c.name).collect();
    let groups: Vec<&str> = names.iter().filter_map(|name| name.rsplit_once(' ')).map(|(group, _)| group).collect();
    names.extend(groups);
    if let Some(name) = names.iter().find(|name| name.rsplit(' ').next() == Some(word)) {
        return Some((*name).to_owned());
    }
    let under = names.iter().filter_map(|name| match group {
        "" => Some(*name),
        group => name.strip_prefix(group)?.strip_prefix(' '),
    });
    nearest(word, under.filter_map(|rest| rest.split(' ').next())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<Command> {
        let command = |name| Command { name, about: "", flags: vec![], args: None };
        ["store", "query", "compact", "tools bucket ls", "tools bucket verify"].map(command).to_vec()
    }

    #[test]
    fn commands_to_come_say_so() {
        for (name, _) in TO_COME {
            let (group, word) = name.rsplit_once(' ').unwrap_or(("", name));
            let told = explain(&commands(), group, word);
            assert!(told.contains(&format!("no `aion {name}` yet")) && told.contains("Thanos' own works"), "{told}");
        }
    }

    #[test]
    fn others_get_a_suggestion() {
        for (group, word, want) in [
            ("", "stroe", "aion: unknown command \"stroe\" (did you mean \"store\"?), try: aion --help"),
            ("", "bucket", "aion: unknown command \"bucket\" (did you mean \"tools bucket\"?), try: aion --help"),
            ("", "tool", "aion: unknown command \"tool\" (did you mean \"tools\"?), try: aion --help"),
            ("", "kubectl", "aion: unknown command \"kubectl\", try: aion --help"),
            (
                "tools bucket",
                "verfy",
                "aion tools bucket: unknown command \"verfy\" (did you mean \"verify\"?), try: aion tools bucket --help",
            ),
        ] {
            assert_eq!(explain(&commands(), group, word), want);
        }
    }
}
