//! Log lines on stderr, in Thanos' shapes: `ts=… caller=… level=… msg=…` and then the event's fields.

use std::fmt;
use std::io;
use std::str::FromStr;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

mod fields;

use fields::Line;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `key=value`, values quoted when they must be.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
    /// Logfmt without time, after the priority `<6>` that systemd's journal reads from a service's stderr.
    Journald,
}

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `--log.level` is none of those known.
    #[error("log level {0:?} is unknown: use error, warn, info or debug")]
    Level(String),
    /// `--log.format` is none of those known.
    #[error("log format {0:?} is unknown: use logfmt, json or journald")]
    Format(String),
    /// The process has a log already.
    #[error("logging was set up before")]
    Twice,
}

impl FromStr for Format {
    type Err = InitError;

    fn from_str(text: &str) -> Result<Self, InitError> {
        match text {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            "journald" => Ok(Self::Journald),
            other => Err(InitError::Format(other.to_owned())),
        }
    }
}

/// Reads `--log.level`: error, warn, info or debug (and trace, which Thanos lacks).
///
/// # Errors
/// [`InitError::Level`].
pub fn parse_level(text: &str) -> Result<Level, InitError> {
    match text {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        other => Err(InitError::Level(other.to_owned())),
    }
}

/// Makes stderr the log of this process, and `spans` the taker of its traces. To be called once, by `main`.
///
/// # Errors
/// [`InitError::Twice`].
pub fn init(level: Level, format: Format, spans: Option<SpanLayer>) -> Result<(), InitError> {
    tracing::subscriber::set_global_default(subscriber(level, format, io::stderr, spans)).map_err(|_| InitError::Twice)
}

/// Takes the spans of target [`TRACE`](crate::TRACE).
pub type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The subscriber that [`init`] installs, writing elsewhere; for tests.
pub fn subscriber<W>(level: Level, format: Format, to: W, spans: Option<SpanLayer>) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Connection chatter of the HTTP stack drowns our own debug lines.
    let quiet = level.min(Level::INFO);
    let targets = ["h2", "hyper", "hyper_util", "reqwest", "rustls", "tonic", "tower", "s3s", "hickory_proto", "mio"]
        .into_iter()
        .fold(Targets::new().with_default(LevelFilter::from_level(level)), |t, name| t.with_target(name, quiet))
        // Each of its retries; the first is told by us, the last is an error.
        .with_target("object_store", if level > Level::INFO { level } else { level.min(Level::WARN) })
        .with_target(crate::TRACE, LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().event_format(Lines(format)).with_writer(to).with_ansi(false);
    let only_traces = Targets::new().with_target(crate::TRACE, LevelFilter::TRACE);
    let spans = spans.map(|layer| layer.with_filter(only_traces));
    tracing_subscriber::registry().with(spans).with(lines.with_filter(targets))
}

struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let mut line = Line::new(self.0);
        match self.0 {
            Format::Journald => line.raw(priority(*meta.level())),
            _ => line.text("ts", &timestamp()),
        }
        if let (Some(file), Some(number)) = (meta.file(), meta.line()) {
            let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
            line.text("caller", &format!("{file}:{number}"));
        }
        line.text("level", level_name(*meta.level()));
        // The message first, whatever its place among the fields.
        line.message(event);
        line.rest(event);
        writeln!(out, "{}", line.finish())
    }
}

/// Now, UTC, to the nanosecond as Thanos writes it. A log line's time is the machine's: nothing is decided by it.
fn timestamp() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Buffer {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    fn lines(format: Format, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        tracing::subscriber::with_default(subscriber(Level::INFO, format, buffer.clone(), None), log);
        let bytes = buffer.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn log() {
        let err = io::Error::other("disk \"a\" full");
        tracing::warn!(block = %"01B", n = 3, ok = true, half = 0.5, err = %err, "upload failed");
        tracing::debug!("not shown");
    }

    #[test]
    fn logfmt() {
        let text = lines(Format::Logfmt, log);
        let (ts, rest) = text.split_once(' ').unwrap();
        assert!(ts.starts_with("ts=20") && ts.ends_with('Z'), "{ts}");
        let rest = rest.split_once(" level").unwrap().1;
        assert_eq!(rest, "=warn msg=\"upload failed\" block=01B n=3 ok=true half=0.5 err=\"disk \\\"a\\\" full\"\n");
        assert!(text.contains(" caller=logs.rs:"), "{text}");
    }

    #[test]
    fn json() {
        let text = lines(Format::Json, log);
        assert!(text.starts_with("{\"ts\":\"20"), "{text}");
        assert!(
            text.ends_with(
                "\"level\":\"warn\",\"msg\":\"upload failed\",\"block\":\"01B\",\"n\":3,\"ok\":true,\"half\":0.5,\
                 \"err\":\"disk \\\"a\\\" full\"}\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn journald() {
        let text = lines(Format::Journald, log);
        assert!(text.starts_with("<4>caller=logs.rs:"), "{text}");
    }

    /// A newline in a value must not make a second line.
    #[test]
    fn one_event_one_line() {
        for format in [Format::Logfmt, Format::Json, Format::Journald] {
            let text = lines(format, || tracing::info!(v = "a\nb\u{1}", "two\nlines"));
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        }
    }

    #[test]
    fn words() {
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
        assert!("xml".parse::<Format>().unwrap_err().to_string().contains("logfmt, json or journald"));
        assert!(parse_level("loud").is_err());
    }
}
