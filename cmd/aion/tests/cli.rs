//! The command line as a user and a shell meet it.

use std::process::{Command, Output, Stdio};

const AION: &str = env!("CARGO_BIN_EXE_aion");

fn run(args: &[&str]) -> Output {
    Command::new(AION).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_version_has_prometheus_layout() {
    for args in [&["--version"][..], &["version"], &["query", "--version"], &["tools", "bucket", "ls", "--version"]] {
        let shown = text(&run(args).stdout);
        let lines: Vec<_> = shown.lines().collect();
        let (version, rest) = lines[0].strip_prefix("aion, version ").unwrap().split_once(" (branch: ").unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"), "{shown}");
        let (branch, revision) = rest.strip_suffix(')').unwrap().split_once(", revision: ").unwrap();
        assert!(!branch.is_empty() && !revision.is_empty(), "{shown}");
        assert!(lines.iter().any(|line| line.starts_with("  rust version:     1.")), "{shown}");
        assert!(lines.iter().any(|line| line.starts_with("  platform:         ")), "{shown}");
    }
}

#[test]
fn commands_that_are_none() {
    for (args, told) in [
        (&["receive", "--tsdb.path=x"][..], "there is no `aion receive` yet"),
        (&["--log.level", "debug", "receive"], "there is no `aion receive` yet"),
        (&["tools", "bucket", "web"], "a bucket is needed"),
        (&["sotre"], "did you mean \"store\"?"),
        (&["tools", "buckets"], "did you mean \"bucket\"?"),
        (&["tools", "bucket", "inspct"], "did you mean \"inspect\"?"),
        (&["--log.level=debug"], "a command is needed"),
        (&["completion"], "bash, zsh or fish"),
        (&["completion", "tcsh"], "unknown command \"tcsh\""),
    ] {
        let output = run(args);
        let errors = text(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(told), "{args:?}: {:?} {errors}", output.status);
    }
}

#[test]
fn flags_of_prometheus_without_a_command_start_a_server() {
    for args in [
        &["--config.file=none.yml", "--web.enable-lifecycle"][..],
        &["--web.listen-address=127.0.0.1:0", "--config.file", "none.yml"],
    ] {
        let output = run(args);
        let errors = text(&output.stderr);
        assert!(!output.status.success() && errors.contains("none.yml"), "{args:?}: {errors}");
        assert!(errors.contains("component=server"), "{args:?}: {errors}");
    }
}

#[test]
fn help_and_commands_after_flags() {
    for (args, start) in [
        (&["--help"][..], "usage: aion <command>"),
        (&["help"], "usage: aion <command>"),
        (&["--log.level=debug", "store", "--help"], "usage: aion store "),
        (&["store", "--help"], "usage: aion store "),
        (&["tools", "help"], "usage: aion tools "),
        (&["tools", "bucket", "--help"], "usage: aion tools bucket "),
        (&["tools", "bucket", "help"], "usage: aion tools bucket "),
        (&["tools", "bucket", "--objstore.config", "x", "ls", "--help"], "usage: aion tools bucket ls "),
    ] {
        let output = run(args);
        let shown = text(&output.stdout);
        assert!(output.status.success() && shown.starts_with(start), "{args:?}: {shown}{}", text(&output.stderr));
    }
}

#[test]
fn man_pages_are_written_for_all_commands() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["man", dir.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for page in ["aion.1", "aion-store.1", "aion-tools-bucket-ls.1", "aion-completion-bash.1"] {
        assert!(std::fs::read_to_string(dir.path().join(page)).unwrap().starts_with(".TH aion"), "{page}");
    }
    assert_eq!(run(&["man"]).status.code(), Some(2));
}

#[test]
fn a_wrong_configuration_of_traces_has_a_line() {
    let output = run(&["query", "--tracing.config=config: {}\ntype: ZIPKIN"]);
    let errors = text(&output.stderr);
    assert!(output.status.code() == Some(2) && errors.contains("--tracing.config: line 2"), "{errors}");
}

/// What `shell` offers; `script` prints it.
fn offered(shell: &str, script: &str) -> Option<Vec<String>> {
    let Ok(output) = Command::new(shell).args(["-c", script]).stdin(Stdio::null()).output() else {
        eprintln!("SKIPPED: there is no {shell}");
        return None;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout).lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a file.yml"), "").unwrap();
    let file = format!("{}/a f", dir.path().display());
    let whole = format!("{}/a file.yml", dir.path().display());
    // As bash cuts a line: at blanks and at `=`.
    for (words, want) in [
        (&["com"][..], vec!["compact", "completion"]),
        (
            &["tools", ""],
            vec![
                "bucket",
                "promqltest",
                "check",
                "rules-check",
                "query",
                "debug",
                "push",
                "tsdb",
                "test",
                "rules",
                "promql",
            ],
        ),
        (&["tools", "bucket", "re"], vec!["rewrite", "retention", "replicate"]),
        (&["completion", ""], vec!["bash", "zsh", "fish"]),
        (&["query", "--log.lev"], vec!["--log.level"]),
        (&["query", "--log.level", "d"], vec!["debug"]),
        (&["query", "--log.level", "=", "d"], vec!["debug"]),
        (&["store", "--objstore.config-file", &file], vec![&whole]),
        (&["store", "--objstore.config-file", "=", &file], vec![&whole]),
        (&["tools", "promqltest", &file], vec![&whole]),
    ] {
        let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "eval \"$({AION} completion bash)\"\nCOMP_WORDS=({AION} {})\nCOMP_CWORD={}\n_aion\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words.len()
        );
        if let Some(found) = offered("bash", &script) {
            assert_eq!(found, want, "{words:?}");
        }
    }
}

#[test]
fn fish_completes() {
    let line = "set -p PATH (path dirname AION); AION completion fish | source; complete -C 'aion tools bucket ls --log.level='";
    if let Some(found) = offered("fish", &line.replace("AION", AION)) {
        assert!(found.iter().any(|word| word == "--log.level=debug"), "{found:?}");
    }
}

#[test]
fn zsh_reads_its_script() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), run(&["completion", "zsh"]).stdout).unwrap();
    let parsed = format!("zsh -n {0} && echo fine", file.path().display());
    if let Some(found) = offered("zsh", &parsed) {
        assert_eq!(found, ["fine"]);
    }
}
