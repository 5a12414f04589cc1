//! What users of Thanos rely on by name: flags with their defaults.

use std::collections::BTreeMap;

use flags::Command;
use tests::reference;

/// The flags Thanos documents, by component: `- \`--name=default\`` below `## thanos component`.
fn documented(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut component = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("## thanos ") {
            component = rest.trim_end_matches(" [<flags>]").to_owned();
        } else if let Some(flag) = line.strip_prefix("- `").and_then(|l| l.strip_suffix('`')) {
            out.entry(component.clone()).or_default().push(flag.to_owned());
        }
    }
    out
}

fn check(component: &str, command: &Command) {
    let Some(text) = reference("thanos-flags.md") else { return };
    let documented = documented(&text);
    let ours: Vec<String> = command.all().map(flags::Flag::signature).collect();
    // Which of the texts kingpin quotes depends on how Go declares the flag, not on what the user types.
    let plain = |f: &String| f.replace('"', "");
    let missing: Vec<_> = documented[component]
        .iter()
        .filter(|f| !matches!(f.as_str(), "--[no-]help" | "--[no-]version"))
        .filter(|f| !ours.iter().any(|o| plain(o) == plain(f)))
        .collect();
    assert!(missing.is_empty(), "aion {component} differs from Thanos in:\n{missing:#?}\nwith ours:\n{ours:#?}");
}

#[test]
fn sidecar_flags_are_thanos() {
    check("sidecar", &sidecar::command());
}

#[test]
fn store_flags_are_thanos() {
    check("store", &store_gateway::command());
}

#[test]
fn compact_flags_are_thanos() {
    check("compact", &compactor::command());
}

#[test]
fn query_flags_are_thanos() {
    check("query", &querier::command());
}

#[test]
fn rule_flags_are_thanos() {
    check("rule", &ruler::command());
}

/// `- \`--name\` default \`value\`` of each flag that Prometheus documents; `-` = none.
#[test]
fn server_flags_are_prometheus() {
    let Some(text) = reference("prometheus-flags.md") else { return };
    // Its pages have another title; of the two messages that Prometheus accepts its reference names the first.
    let other_defaults = ["web.page-title", "web.remote-write-receiver.accepted-protobuf-messages"];
    let ours = server::command();
    let mut differ = Vec::new();
    for line in text.lines() {
        let Some((name, rest)) = line.strip_prefix("- `--").and_then(|l| l.split_once('`')) else { continue };
        let default = rest.trim().strip_prefix("default ").unwrap_or("-").trim_matches('`');
        let Some(flag) = ours.find(name) else {
            if !["help", "version"].contains(&name) {
                differ.push(format!("--{name} is missing"));
            }
            continue;
        };
        let same = match (default, flag.default) {
            ("-" | "false", "" | "0" | "0s") => true,
            ("5e7", "50000000") => true,
            (theirs, own) => theirs == own,
        };
        if !same && !other_defaults.contains(&name) {
            differ.push(format!("--{name}: {:?} here, {default:?} there", flag.default));
        }
    }
    assert!(differ.is_empty(), "aion server differs from Prometheus in:\n{differ:#?}");
}

/// What Thanos has and its reference leaves out.
const TOOLS_WITHOUT_REFERENCE: [(&str, &[&str]); 2] = [
    (
        "cleanup",
        &[
            "--delete-delay=48h",
            "--consistency-delay=30m",
            "--block-sync-concurrency=20",
            "--selector.relabel-config-file=<file-path>",
            "--selector.relabel-config=<content>",
            "--objstore.config-file=<file-path>",
            "--objstore.config=<content>",
        ],
    ),
    (
        "retention",
        &[
            "--delete-delay=48h",
            "--consistency-delay=30m",
            "--block-sync-concurrency=20",
            "--selector.relabel-config-file=<file-path>",
            "--selector.relabel-config=<content>",
            "--retention.resolution-raw=0d",
            "--retention.resolution-5m=0d",
            "--retention.resolution-1h=0d",
            "--objstore.config-file=<file-path>",
            "--objstore.config=<content>",
        ],
    ),
];

#[test]
fn tools_bucket_flags_are_thanos() {
    for command in tests::all_tools().commands().iter().filter(|c| c.name.starts_with("tools bucket ")) {
        let name = command.name.trim_start_matches("tools bucket ");
        let Some((_, flags)) = TOOLS_WITHOUT_REFERENCE.iter().find(|(n, _)| *n == name) else {
            // required flags stand in the reference's title
            let title = match name {
                "mark" => "tools bucket mark --id=ID --marker=MARKER",
                "rewrite" => "tools bucket rewrite --id=ID",
                _ => command.name,
            };
            check(title, command);
            continue;
        };
        let ours: Vec<String> = command.all().map(flags::Flag::signature).collect();
        let missing: Vec<_> = flags.iter().filter(|f| !ours.iter().any(|o| o == *f)).collect();
        assert!(missing.is_empty(), "aion {} lacks {missing:#?}, it has {ours:#?}", command.name);
    }
}

#[test]
fn tools_bucket_letters_are_thanos() {
    let tools = tests::all_tools();
    let letters: Vec<_> = tools.of_bucket().iter().flat_map(|t| t.shorts.iter().map(|s| (t.name, *s))).collect();
    for wanted in [
        ("ls", ('o', "output")),
        ("inspect", ('l', "selector")),
        ("verify", ('r', "repair")),
        ("verify", ('i', "issues")),
    ] {
        assert!(letters.contains(&wanted), "{wanted:?} is not among {letters:?}");
    }
}
