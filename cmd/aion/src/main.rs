//! The `aion` binary: a table of subcommands, and what all of them have in common.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use flags::{Command, Outcome, Parsed};
use telemetry::{Metrics, logs};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use transport::traces::Tracing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A subcommand that runs until it is told to stop.
struct Component {
    name: &'static str,
    about: &'static str,
    command: fn() -> Command,
    run: fn(Parsed, CancellationToken, Metrics) -> futures::future::BoxFuture<'static, Result<(), Failure>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

macro_rules! component {
    ($name:literal, $about:literal, $krate:ident) => {
        Component {
            name: $name,
            about: $about,
            command: $krate::command,
            run: |parsed, shutdown, metrics| {
                Box::pin(async move { $krate::run(&parsed, shutdown, metrics).await.map_err(Failure::from) })
            },
        }
    };
}

const COMPONENTS: &[Component] = &[
    component!("demo", "A whole system in one process, with history, to try things out.", demo),
    component!("sidecar", "Beside a Prometheus: uploads its blocks, serves its live data.", sidecar),
    component!("store", "Serves the blocks of a bucket.", store_gateway),
    component!("compact", "Merges, downsamples, retains and deletes the blocks of a bucket.", compactor),
    component!("query", "PromQL over sidecars, stores and other queriers.", querier),
];

/// Has the allocator give freed pages back soon, not after a second: buffers come and go quickly, and what is kept would
/// count against the memory. Not at once either, as each page that is needed again costs a fault. `MIMALLOC_PURGE_DELAY`
/// still overrides it.
#[allow(unsafe_code, reason = "the allocator's settings are reached through its C interface only")]
fn give_memory_back() {
    /// `mi_option_purge_delay` of mimalloc.h, which the binding does not name.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    const DELAY_MS: std::ffi::c_long = 100;
    // SAFETY: sets one number of the allocator's settings; no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, DELAY_MS) };
}

fn main() -> ExitCode {
    give_memory_back();
    // One TLS provider for the whole process; the error is "set before", which cannot be this early.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        print_and_succeed(&usage());
        return ExitCode::from(2);
    };
    match name.as_str() {
        "help" | "--help" | "-h" | "--help-long" => print_and_succeed(&usage()),
        "--version" | "version" => print_and_succeed(&version()),
        "--completion-bash" => print_and_succeed(&subcommands()),
        "--completion-script-bash" => print_and_succeed(flags::bash_script()),
        "--completion-script-zsh" => print_and_succeed(flags::zsh_script()),
        "tools" => tools_command(args.collect()),
        _ => match COMPONENTS.iter().find(|c| c.name == name) {
            Some(component) => run_component(component, args.collect()),
            None => {
                eprintln!("aion: unknown command {name:?}, try: aion help");
                ExitCode::from(2)
            }
        },
    }
}

/// A reader that has seen enough is no failure.
fn print_and_succeed(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            eprintln!("aion: write to standard output: {e}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// The parsed flags, or the exit code after help, version or a usage error.
fn parse(command: &Command, args: Vec<String>) -> Result<Parsed, ExitCode> {
    match flags::parse(command, args, &version()) {
        Ok(Outcome::Run(parsed)) => Ok(parsed),
        Ok(Outcome::Print(text)) => Err(print_and_succeed(&text)),
        Err(e) => {
            eprintln!("aion {}: {e}", command.name);
            Err(ExitCode::from(2))
        }
    }
}

fn run_component(component: &Component, args: Vec<String>) -> ExitCode {
    let parsed = match parse(&(component.command)(), args) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let runtime = runtime();
    let tracing = match start_logs(&parsed, &runtime) {
        Ok(tracing) => tracing,
        Err(e) => {
            eprintln!("aion {}: {e}", component.name);
            return ExitCode::from(2);
        }
    };
    for (flag, why) in parsed.ignored() {
        warn!(flag, why, "flag has no effect");
    }
    let metrics = Metrics::new();
    telemetry::build::register(
        &metrics,
        telemetry::build::BuildInfo { version: VERSION, revision: "", branch: "", rustc: "" },
    );
    metrics.collect(telemetry::process::ProcessCollector::new("/proc"));
    let shutdown = CancellationToken::new();
    let run = (component.run)(parsed, shutdown.clone(), metrics);
    info!(component = component.name, version = VERSION, "starting");
    let ended = runtime.block_on(async move {
        let signalled = shutdown.clone();
        tokio::spawn(service::hangups(|| {
            info!("SIGHUP: files that are watched are read again by themselves, nothing else is reloaded");
        }));
        tokio::spawn(async move {
            let signal = service::signal().await;
            info!(signal, "shutting down");
            signalled.cancel();
            // Who asks twice means it.
            service::signal().await;
            warn!("second signal, leaving at once");
            std::process::exit(1);
        });
        run.await
    });
    if let Some(tracing) = tracing {
        tracing.shutdown(LAST_SPANS);
    }
    match ended {
        Ok(()) => {
            info!("exiting");
            ExitCode::SUCCESS
        }
        Err(e) => {
            error!(err = %e, "exiting");
            ExitCode::FAILURE
        }
    }
}

fn tools_command(args: Vec<String>) -> ExitCode {
    let call = match tools::parse(args, &version()) {
        Ok(tools::Call::Print(text)) => return print_and_succeed(&text),
        Ok(call) => call,
        Err((name, e)) => {
            eprintln!("aion {name}: {e}");
            return ExitCode::from(2);
        }
    };
    let runtime = runtime();
    let mut tracing = None;
    if let Some(parsed) = call.flags() {
        match start_logs(parsed, &runtime) {
            Ok(started) => tracing = started,
            Err(e) => {
                eprintln!("aion {}: {e}", call.name());
                return ExitCode::from(2);
            }
        }
        for (flag, why) in parsed.ignored() {
            warn!(flag, why, "flag has no effect");
        }
    }
    let shutdown = CancellationToken::new();
    let mut out = std::io::stdout();
    let mut deps = tools::Deps {
        out: &mut out,
        clock: Arc::new(model::SystemClock),
        env: Arc::new(|name| std::env::var(name).ok()),
        metrics: Metrics::new(),
        random: Arc::new(rand::random),
        shutdown: shutdown.clone(),
    };
    let ended = runtime.block_on(async {
        let run = tools::run(&call, &mut deps);
        tokio::pin!(run);
        tokio::select! {
            ended = &mut run => Some(ended),
            _ = service::signal() => {
                shutdown.cancel();
                // what is done only once is cut short; all of it may be repeated
                tokio::time::timeout(TOOL_GRACE, run).await.ok()
            }
        }
    });
    if let Some(tracing) = tracing {
        tracing.shutdown(LAST_SPANS);
    }
    match ended {
        Some(Ok(tools::Verdict::Fine)) => ExitCode::SUCCESS,
        Some(Ok(tools::Verdict::Problems)) => ExitCode::FAILURE,
        // A reader that has seen enough is no failure.
        Some(Err(tools::Error::Output(e))) if e.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Some(Err(e)) => {
            eprintln!("aion {}: {e}", call.name());
            ExitCode::from(if matches!(e, tools::Error::Usage(_)) { 2 } else { 1 })
        }
        None => {
            eprintln!("aion {}: interrupted", call.name());
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started")
}

/// Logs as the flags say, and traces where one is to be exported to.
fn start_logs(parsed: &Parsed, runtime: &tokio::runtime::Runtime) -> Result<Option<Tracing>, Failure> {
    let config = transport::flags::tracing(parsed)?;
    let tracing = config.map(|c| Tracing::new(&c, runtime.handle().clone())).transpose()?;
    let spans = tracing.as_ref().map(Tracing::layer);
    logs::init(logs::parse_level(parsed.text("log.level"))?, parsed.text("log.format").parse()?, spans)?;
    Ok(tracing)
}

/// How long a tool that was interrupted may take to end by itself.
const TOOL_GRACE: Duration = Duration::from_secs(3);
/// How long the last spans may take to be sent.
const LAST_SPANS: Duration = Duration::from_secs(5);

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn version() -> String {
    format!("aion, version {VERSION}")
}

fn subcommands() -> String {
    COMPONENTS.iter().map(|c| c.name).chain(["tools", "help"]).collect::<Vec<_>>().join("\n")
}

fn usage() -> String {
    let mut out = String::from(
        "usage: aion <command> [<flags>]\n\nThe long-term, global layer for Prometheus metrics.\n\nCommands:\n",
    );
    for component in COMPONENTS {
        out.push_str(&format!("  {:<9}{}\n", component.name, component.about));
    }
    out.push_str("  tools    One-shot commands: bucket …, promqltest.\n");
    out.push_str("\nStart with: aion demo. Each command has --help.\n");
    out
}
