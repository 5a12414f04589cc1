//! The command itself.

use assembly::Deps;
use flags::Parsed;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::parts::Error;
use crate::system::{Settings, System};

/// `aion up`.
///
/// # Errors
/// A folder that cannot be written, addresses in use, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        let mut system = System::open(settings(parsed), deps, shutdown).await?;
        let found = system.start().await?;
        system.run(found, String::new()).await
    })
}

fn settings(parsed: &Parsed) -> Settings {
    let keeps = ["retention.resolution-raw", "retention.resolution-5m", "retention.resolution-1h"];
    let keeps = keeps.iter().filter(|flag| parsed.is_set(flag)).map(|flag| format!("--{flag}={}", parsed.text(flag)));
    let named = ["objstore.config-file", "objstore.config"].into_iter();
    let mut settings = Settings::new(parsed, parsed.text("dir").into());
    settings.config_file = parsed.text_opt("config.file").map(Into::into);
    settings.bucket = named.filter_map(|flag| Some(format!("--{flag}={}", parsed.text_opt(flag)?))).next();
    settings.compact = parsed.switch("compact").then(|| keeps.collect());
    settings
}

#[cfg(test)]
mod tests {
    use flags::Outcome;

    use super::*;

    fn of(args: &[&str]) -> Settings {
        match flags::parse(&crate::command(), args.iter().map(|a| (*a).to_owned()), "") {
            Ok(Outcome::Run(parsed)) => settings(&parsed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_go_to_the_parts() {
        let plain = of(&[]);
        assert_eq!((plain.bucket, plain.compact, plain.config_file), (None, Some(vec![]), None));
        let given = of(&["--retention.resolution-raw=30d", "--objstore.config-file=s3.yml", "--config.file=p.yml"]);
        assert_eq!(given.bucket.as_deref(), Some("--objstore.config-file=s3.yml"));
        assert_eq!(given.compact, Some(vec!["--retention.resolution-raw=30d".to_owned()]));
        assert_eq!(of(&["--no-compact"]).compact, None);
    }
}
