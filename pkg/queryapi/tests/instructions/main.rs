//! A guard of what queries spend most of their time in: instructions, counted by valgrind, against committed figures. Time
//! differs from run to run and machine to machine, the number of instructions hardly does.
//!
//! The code is that of the test profile, without optimisation: a step more for each sample, label or byte shows, what the
//! optimiser makes of it does not. `AION_UPDATE_DOCS=1 cargo test -p queryapi --test instructions` writes the figures.

mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

/// So many percent more than the figure fails.
const LIMIT_PERCENT: u64 = 5;

fn main() -> ExitCode {
    if let Some(name) = std::env::args().nth(1)
        && let Some((_, work)) = work::ALL.iter().find(|(n, _)| *n == name)
    {
        work();
        return ExitCode::SUCCESS;
    }
    match guard() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn guard() -> Result<(), String> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        let text = "valgrind is not on PATH (Debian package: valgrind): instructions are not counted";
        if std::env::var_os("CI").is_some() {
            return Err(text.to_owned());
        }
        eprintln!("SKIPPED: {text}");
        return Ok(());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/instructions.tsv");
    let compiler = compiler();
    let idle = count("idle")?;
    let mut counts = BTreeMap::new();
    for (name, _) in work::ALL.iter().filter(|(name, _)| *name != "idle") {
        counts.insert((*name).to_owned(), count(name)?.saturating_sub(idle));
    }
    if std::env::var_os("AION_UPDATE_DOCS").is_some() {
        let rows: String = counts.iter().map(|(name, count)| format!("{name}\t{count}\n")).collect();
        return std::fs::write(&file, format!("{compiler}\n{rows}")).map_err(|e| e.to_string());
    }
    let Ok(text) = std::fs::read_to_string(&file) else {
        for (name, count) in &counts {
            println!("{name}: {count} instructions");
        }
        eprintln!("SKIPPED: there is no {}: AION_UPDATE_DOCS=1 writes it", file.display());
        return Ok(());
    };
    let (of, rows) = text.split_once('\n').unwrap_or_default();
    if of != compiler {
        eprintln!("SKIPPED: {} is of {of}, this is {compiler}: AION_UPDATE_DOCS=1 counts anew", file.display());
        return Ok(());
    }
    let expected: BTreeMap<String, u64> = rows
        .lines()
        .filter_map(|row| row.split_once('\t').and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?))))
        .collect();
    let mut wrong = Vec::new();
    for (name, count) in &counts {
        let Some(figure) = expected.get(name) else {
            wrong.push(format!("{name}: {count} instructions, no figure"));
            continue;
        };
        println!("{name}: {count} instructions, the figure is {figure} ({:.3})", *count as f64 / *figure as f64);
        if *count > figure + figure * LIMIT_PERCENT / 100 {
            wrong.push(format!("{name}: {count} instructions, over {figure} by more than {LIMIT_PERCENT} %"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{}\nIf that is the price of something worth it, AION_UPDATE_DOCS=1 cargo test -p queryapi --test instructions \
             writes the figures.",
            wrong.join("\n")
        )),
    }
}

/// Instructions that a process spends on `name`.
fn count(name: &str) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(own)
        .arg(name)
        .output()
        .map_err(|e| format!("valgrind: {e}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    // ==123== I   refs:      1,234,567
    let refs = told.lines().find_map(|line| line.split_once("refs:").filter(|(head, _)| head.contains(" I ")));
    let digits = refs.map(|(_, count)| count.chars().filter(char::is_ascii_digit).collect::<String>());
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("valgrind could not count {name}: {told}")),
    }
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    format!("{text}, {}", std::env::consts::ARCH)
}
