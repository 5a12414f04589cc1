//! `aion tools check web-config`.

use flags::Parsed;
use service::tool::Deps;
use transport::http::WebConfig;

use super::common::Outcome;

pub(super) fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let mut failed = false;
    for file in parsed.args() {
        match WebConfig::load(file) {
            Ok(_) => deps.print_error(&format!("{file} SUCCESS\n"))?,
            Err(why) => {
                failed = true;
                deps.print_error(&format!("{file} FAILED: {why}\n"))?;
            }
        }
    }
    Ok(u8::from(failed))
}
