//! `aion tools rules-check`: Thanos' check of rule files.

use flags::{Flag, Parsed};
use rules::ParseOptions;
use service::tool::Deps;

use super::check_rules::options;
use super::common::Outcome;
use crate::Error;

pub(super) const FLAGS: &[Flag] = &[Flag::text("rules", "", "The rule files glob to check (repeated).").repeated()];

pub(super) fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let patterns: Vec<String> = parsed.list("rules").into_iter().filter(|pattern| !pattern.is_empty()).collect();
    if patterns.is_empty() {
        return Err(Error::Usage("--rules is required: the rule files to check".to_owned()));
    }
    let options = ParseOptions { thanos: true, ..options(false) };
    let (mut failed, mut total) = (false, 0);
    for pattern in &patterns {
        let files = config::glob(pattern).map_err(|e| Error::Failed(format!("--rules: {pattern}: {e}")))?;
        if files.is_empty() {
            failed = true;
            deps.print(&format!("{pattern}: matches no file\n"))?;
        }
        for path in files {
            let file = path.display().to_string();
            let checked = std::fs::read_to_string(&path)
                .map_err(|e| e.to_string())
                .and_then(|text| rules::parse(&file, &text, &options).map_err(|wrong| wrong.to_string()));
            match checked {
                Ok(groups) => {
                    let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
                    total += rules;
                    deps.print(&format!("{file}: {} groups, {rules} rules\n", groups.len()))?;
                }
                Err(why) => {
                    failed = true;
                    deps.print(&format!("{file}: FAILED: {why}\n"))?;
                }
            }
        }
    }
    deps.print(&format!("{total} rules found\n"))?;
    Ok(u8::from(failed))
}
