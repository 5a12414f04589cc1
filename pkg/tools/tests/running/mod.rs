//! Running commands of `aion tools` in tests.

use std::sync::Arc;

use model::SystemClock;
use service::tool::Deps;
use tools::{Call, Tools};

/// Runs a command: the code that the process would end with, and what it printed, errors behind results.
pub async fn run(args: &[&str]) -> (u8, String) {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let call = match Tools::with(&[]).parse(args, "v") {
        Ok(call) => call,
        Err((name, e)) => return (2, format!("{name}: {e}")),
    };
    if let Call::Print(text) = &call {
        return (0, text.clone());
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let bits = std::sync::atomic::AtomicU64::new(1);
    let mut deps = Deps {
        out: &mut out,
        err: &mut err,
        clock: Arc::new(SystemClock),
        env: Arc::new(|_| None),
        metrics: telemetry::Metrics::new(),
        random: Arc::new(move || u128::from(bits.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) << 40),
        shutdown: Default::default(),
    };
    let outcome = tools::run(&call, &mut deps).await;
    let code = match &outcome {
        Ok(code) => *code,
        Err(service::tool::Error::Usage(_)) => 2,
        Err(_) => 1,
    };
    let printed = String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap();
    (code, printed + &outcome.err().map_or_else(String::new, |e| e.to_string()))
}
