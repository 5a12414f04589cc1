//! The `aion` binary: a table of subcommands, and what all of them have in common.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assembly::Deps;
use flags::{Arg, Command, Found, Outcome, Parsed};
use service::tool;
use telemetry::build::BuildInfo;
use telemetry::{Metrics, logs};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use transport::traces::Tracing;

mod man;
mod memory;
mod words;

#[cfg(test)]
#[path = "../build/git.rs"]
mod git;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A subcommand that runs until it is told to stop.
struct Component {
    name: &'static str,
    about: &'static str,
    command: fn() -> Command,
    run: fn(Parsed, Deps, CancellationToken) -> futures::future::BoxFuture<'static, Result<(), Failure>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

macro_rules! component {
    ($name:literal, $about:literal, $krate:ident) => {
        Component {
            name: $name,
            about: $about,
            command: $krate::command,
            run: |parsed, deps, shutdown| {
                Box::pin(async move { $krate::run(&parsed, deps, shutdown).await.map_err(Failure::from) })
            },
        }
    };
}

const COMPONENTS: &[Component] = &[
    component!("up", "A whole system in one process: scrapes itself and this machine, keeps it all.", up),
    component!("demo", "As up, with 90 days of history, to try things out.", demo),
    component!("server", "Scrapes, stores and answers, in place of a Prometheus server.", server),
    component!("sidecar", "Beside a Prometheus: uploads its blocks, serves its live data.", sidecar),
    component!("store", "Serves the blocks of a bucket.", store_gateway),
    component!("compact", "Merges, downsamples, retains and deletes the blocks of a bucket.", compactor),
    component!("query", "PromQL over sidecars, stores and other queriers.", querier),
    component!("ui", "The web interface for any server with Prometheus' HTTP API.", uicommand),
    component!("rule", "Rules and alerts over queriers, in place of a Thanos ruler.", ruler),
];

/// The tools: their own crate's, and those that work with a component's parts.
fn tools() -> tools::Tools {
    tools::Tools::with(&[&compactor::DOWNSAMPLE_TOOL])
}

/// Lets the process open as many files as it may, as Go programs do: connections and blocks need more than the 1024 that
/// many systems begin with.
fn open_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What is refused stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn main() -> ExitCode {
    memory::settings();
    open_many_files();
    // One TLS provider for the whole process; the error is "set before", which cannot be this early.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        None => {
            print_and_succeed(&usage());
            return ExitCode::from(2);
        }
        Some("--version" | "version") => return print_and_succeed(&version()),
        Some("--completion-bash") => {
            return print_and_succeed(&flags::complete(&commands(), &args[1..]).to_string());
        }
        Some("--completion-script-bash") => return print_and_succeed(flags::bash_script()),
        Some("--completion-script-zsh") => return print_and_succeed(flags::zsh_script()),
        Some("--completion-script-fish") => return print_and_succeed(flags::fish_script()),
        _ => {}
    }
    let commands = commands();
    if is_of_prometheus(&commands, &args) {
        args.insert(0, "server".to_owned());
    }
    match flags::find(&commands, &args) {
        Found::Command(command, places) => {
            let is_tool = command.name.starts_with("tools ");
            // The tools read the rest of their names themselves.
            let own = if is_tool { &places[..1] } else { &places };
            own.iter().rev().for_each(|at| drop(args.remove(*at)));
            match COMPONENTS.iter().find(|c| c.name == command.name) {
                Some(component) => run_component(component, args),
                None if is_tool => tools_command(args),
                None => small_command(command, args),
            }
        }
        Found::Unknown { group, word } if word != "help" => words::unknown(&commands, &group, &word),
        Found::Group(group) | Found::Unknown { group, .. } => group_command(&group, args),
    }
}

/// Whether this is a command line of Prometheus, which has no commands: what starts its image gives flags only.
fn is_of_prometheus(commands: &[Command], args: &[String]) -> bool {
    let has_config = args.iter().any(|arg| arg == "--config.file" || arg.starts_with("--config.file="));
    has_config && matches!(flags::find(commands, args), Found::Group(group) if group.is_empty())
}

/// The start of a command's name alone, perhaps with a wish for help.
fn group_command(group: &str, mut args: Vec<String>) -> ExitCode {
    if let Some(at) = args.iter().position(|word| word == "tools") {
        args.remove(at);
        return tools_command(args);
    }
    if args.iter().any(|arg| ["help", "--help", "-h", "--help-long"].contains(&arg.as_str())) {
        return print_and_succeed(&usage());
    }
    match group {
        "" => eprintln!("aion: a command is needed, try: aion --help"),
        group => eprintln!("aion {group}: a shell is needed: bash, zsh or fish"),
    }
    ExitCode::from(2)
}

/// All commands, those that only print something among them.
fn commands() -> Vec<Command> {
    let small = |(name, about)| {
        let args = (name == "man").then_some(Arg { name: "dir", help: "The folder for the pages.", min: 1, max: 1 });
        Command { name, about, flags: vec![], args }
    };
    let mut all: Vec<Command> = COMPONENTS.iter().map(|c| (c.command)()).collect();
    all.extend(tools().commands());
    all.extend(SMALL.map(small));
    all
}

const SMALL: [(&str, &str); 6] = [
    ("completion bash", "Print the completion of commands and flags for bash: eval \"$(aion completion bash)\"."),
    ("completion zsh", "Print the completion of commands and flags for zsh: eval \"$(aion completion zsh)\"."),
    ("completion fish", "Print the completion of commands and flags for fish: aion completion fish | source."),
    ("man", "Write the man pages of all commands into a folder."),
    ("version", "Print the version."),
    ("help", "Print the commands."),
];

/// A command that prints, or writes, something that is always the same.
fn small_command(command: &Command, args: Vec<String>) -> ExitCode {
    let parsed = match parse(command, args) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    match command.name {
        "man" => {
            // One argument is what the declaration asks for.
            let dir = parsed.args().first().map(std::path::Path::new).unwrap_or(std::path::Path::new("."));
            match man::write(dir, &commands()) {
                Ok(pages) => print_and_succeed(&format!("{pages} pages in {}", dir.display())),
                Err(e) => {
                    eprintln!("aion man: {e}");
                    ExitCode::FAILURE
                }
            }
        }
        "completion bash" => print_and_succeed(flags::bash_script()),
        "completion zsh" => print_and_succeed(flags::zsh_script()),
        "completion fish" => print_and_succeed(flags::fish_script()),
        "version" => print_and_succeed(&version()),
        _ => print_and_succeed(&usage()),
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
    let metrics = Metrics::of_program(BUILD);
    metrics.collect(telemetry::process::ProcessCollector::new("/proc"));
    let shutdown = CancellationToken::new();
    let run = (component.run)(parsed, Deps::of_program(metrics), shutdown.clone());
    info!(component = component.name, version = VERSION, "starting");
    let ended = runtime.block_on(async move {
        let signalled = shutdown.clone();
        // From here on SIGHUP ends nothing; the component says what it reloads.
        let _hangups = service::Hangups::listen();
        tokio::spawn(memory::give_back());
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
    let call = match tools().parse(args, &version()) {
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
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut deps = tool::Deps {
        out: &mut out,
        err: &mut err,
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
        Some(Ok(code)) => ExitCode::from(code),
        // A reader that has seen enough is no failure.
        Some(Err(tool::Error::Output(e))) if e.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Some(Err(e)) => {
            eprintln!("aion {}: {e}", call.name());
            ExitCode::from(if matches!(e, tool::Error::Usage(_)) { 2 } else { 1 })
        }
        None => {
            eprintln!("aion {}: interrupted", call.name());
            ExitCode::FAILURE
        }
    }
}

/// Of a thread's stack, as much as the main thread has: queries may nest deep. What is not used takes no memory.
const STACK_BYTES: usize = 8 << 20;

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(STACK_BYTES).build().expect("threads can be started")
}

/// Logs as the flags say, and traces where one is to be exported to.
fn start_logs(parsed: &Parsed, runtime: &tokio::runtime::Runtime) -> Result<Option<Tracing>, Failure> {
    let config = transport::flags::tracing(parsed)?;
    let (exporter, warnings) = config.map_or((None, Vec::new()), |c| (c.exporter, c.warnings));
    let tracing = exporter.map(|e| Tracing::new(&e, runtime.handle().clone())).transpose()?;
    let spans = tracing.as_ref().map(Tracing::layer);
    logs::init(logs::parse_level(parsed.text("log.level"))?, parsed.text("log.format").parse()?, spans)?;
    for warning in warnings {
        warn!("{}: {warning}", parsed.origin("tracing.config"));
    }
    Ok(tracing)
}

/// How long a tool that was interrupted may take to end by itself.
const TOOL_GRACE: Duration = Duration::from_secs(3);
/// How long the last spans may take to be sent.
const LAST_SPANS: Duration = Duration::from_secs(5);

const VERSION: &str = env!("CARGO_PKG_VERSION");
const BUILD: BuildInfo = BuildInfo {
    version: VERSION,
    revision: env!("AION_REVISION"),
    branch: env!("AION_BRANCH"),
    rustc: env!("AION_RUSTC"),
};

/// As Prometheus and Thanos print it.
fn version() -> String {
    let BuildInfo { version, revision, branch, rustc } = BUILD;
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let mut out = format!("aion, version {version} (branch: {branch}, revision: {revision})\n");
    let date = env!("AION_BUILD_DATE");
    if !date.is_empty() {
        out.push_str(&format!("  build date:       {date}\n"));
    }
    out.push_str(&format!("  rust version:     {rustc}\n  platform:         {os}/{arch}\n"));
    out
}

fn usage() -> String {
    let mut out = String::from(
        "usage: aion <command> [<flags>]\n\nThe long-term, global layer for Prometheus metrics.\n\nCommands:\n",
    );
    for component in COMPONENTS {
        out.push_str(&format!("  {:<12}{}\n", component.name, component.about));
    }
    out.push_str("  tools       One-shot commands: bucket, check, test, query, rules, tsdb, ….\n");
    out.push_str("  completion  Completion for bash, zsh or fish.\n");
    out.push_str("  man         Man pages, into a folder.\n");
    out.push_str("  version     Version, revision and compiler.\n");
    out.push_str("\nStart with: aion up, or aion demo. Each command has --help.\n");
    out
}
