//! Remote write, OTLP and remote read: what comes in, and what others read.

use assembly::Error;
use flags::Parsed;
use otlp::DeltaMode;
use remote::receive::MessageType;

use super::values::count;
use crate::features::Features;

/// Remote write, the receiving end.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    pub enabled: bool,
    /// Protobuf messages that are taken.
    pub messages: Vec<MessageType>,
    /// A request after decompression.
    pub request_bytes_max: usize,
}

/// OTLP, the receiving end; a request is as large as one of remote write.
#[derive(Debug, Clone)]
pub struct OtlpReceiverConfig {
    pub enabled: bool,
    pub delta: DeltaMode,
    /// Streams of deltas that are summed up at a time.
    pub delta_streams_max: usize,
}

/// Remote read, the serving end; 0 = no limit.
#[derive(Debug, Clone)]
pub struct RemoteReadConfig {
    pub samples_max: u64,
    pub concurrent_max: usize,
    pub frame_bytes_max: usize,
}

pub(super) fn receiver(parsed: &Parsed) -> Result<ReceiverConfig, Error> {
    const FLAG: &str = "web.remote-write-receiver.accepted-protobuf-messages";
    let known = MessageType::ALL.map(MessageType::as_str).join(", ");
    let parse = |name: &String| {
        MessageType::parse(name).ok_or_else(|| Error::flag(FLAG, format!("{name:?} is none of {known}")))
    };
    let given: Vec<_> = parsed.list(FLAG).iter().map(parse).collect::<Result<_, _>>()?;
    let messages = if given.is_empty() { MessageType::ALL.to_vec() } else { given };
    Ok(ReceiverConfig {
        enabled: parsed.switch("web.enable-remote-write-receiver"),
        messages,
        request_bytes_max: usize::try_from(parsed.size_bytes("limits.write-request-bytes")).unwrap_or(usize::MAX),
    })
}

pub(super) fn otlp(parsed: &Parsed, features: Features) -> Result<OtlpReceiverConfig, Error> {
    Ok(OtlpReceiverConfig {
        enabled: parsed.switch("web.enable-otlp-receiver"),
        delta: delta(features)?,
        delta_streams_max: count(parsed, "limits.otlp-delta-streams"),
    })
}

fn delta(features: Features) -> Result<DeltaMode, Error> {
    match (features.otlp_delta_to_cumulative, features.otlp_native_delta) {
        (true, true) => {
            let why = "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time";
            Err(Error::flag("enable-feature", why))
        }
        (true, false) => Ok(DeltaMode::ToCumulative),
        (false, true) => Ok(DeltaMode::Native),
        (false, false) => Ok(DeltaMode::Reject),
    }
}

pub(super) fn remote_read(parsed: &Parsed) -> RemoteReadConfig {
    RemoteReadConfig {
        samples_max: parsed.count("storage.remote.read-sample-limit"),
        concurrent_max: count(parsed, "storage.remote.read-concurrent-limit"),
        frame_bytes_max: count(parsed, "storage.remote.read-max-bytes-in-frame"),
    }
}
