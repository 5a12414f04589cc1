//! The LabelValues call with a response written and read by hand: there may be a million values, and each one's memory is
//! taken once, for what it is.

use bytes::BufMut;
use prost::Message;
use proto::thanos::{LabelValuesRequest, LabelValuesResponse};
use storage::Error;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::series_decode::{Fields, Value, text};
use crate::series_encode::{bytes_size, put_head};

/// The path of the call.
pub(crate) const LABEL_VALUES_PATH: &str = "/thanos.Store/LabelValues";

/// The field of the values.
const VALUES: u64 = 1;
/// Values are put together in a buffer of this size before they are sent.
const PIECE_BYTES: usize = 32 << 10;

/// Of either end: what it writes, and what it reads.
#[derive(Debug, Default)]
pub(crate) struct ServerCodec;

impl Codec for ServerCodec {
    type Encode = LabelValuesResponse;
    type Decode = LabelValuesRequest;
    type Encoder = ResponseEncoder;
    type Decoder = ProstDecoder<LabelValuesRequest>;

    fn encoder(&mut self) -> ResponseEncoder {
        ResponseEncoder
    }

    fn decoder(&mut self) -> ProstDecoder<LabelValuesRequest> {
        ProstDecoder::default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct ClientCodec;

impl Codec for ClientCodec {
    type Encode = LabelValuesRequest;
    type Decode = LabelValuesResponse;
    type Encoder = ProstEncoder<LabelValuesRequest>;
    type Decoder = ResponseDecoder;

    fn encoder(&mut self) -> ProstEncoder<LabelValuesRequest> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> ResponseDecoder {
        ResponseDecoder
    }
}

#[derive(Debug)]
pub(crate) struct ResponseEncoder;

impl Encoder for ResponseEncoder {
    type Item = LabelValuesResponse;
    type Error = Status;

    fn encode(&mut self, mut item: LabelValuesResponse, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let values = std::mem::take(&mut item.values);
        let rest = item.encode_to_vec();
        out.reserve(size_bytes(&values) + rest.len());
        write(&values, out);
        out.put_slice(&rest);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Bytes that the field of `values` takes.
fn size_bytes(values: &[String]) -> usize {
    values.iter().map(|value| bytes_size(VALUES, value.len())).sum()
}

/// Writes the field of `values`, piece by piece.
fn write(values: &[String], out: &mut impl BufMut) {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    for value in values {
        put_head(&mut piece, VALUES, value.len());
        piece.extend_from_slice(value.as_bytes());
        if piece.len() >= PIECE_BYTES - 256 {
            out.put_slice(&piece);
            piece.clear();
        }
    }
    out.put_slice(&piece);
}

#[derive(Debug)]
pub(crate) struct ResponseDecoder;

impl Decoder for ResponseDecoder {
    type Item = LabelValuesResponse;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        use bytes::Buf;
        let message = src.copy_to_bytes(src.remaining());
        read(&message).map(Some).map_err(|e| Status::internal(e.to_string()))
    }
}

/// Reads a message.
pub(crate) fn read(message: &[u8]) -> Result<LabelValuesResponse, Error> {
    let (mut count, mut rest) = (0, Vec::new());
    let mut fields = Fields::new(message, 0..message.len());
    let mut begin = 0;
    while let Some(field) = fields.next()? {
        match field {
            (VALUES, Value::Bytes(_)) => count += 1,
            _ => rest.extend_from_slice(&message[begin..fields.at()]),
        }
        begin = fields.at();
    }
    let rest = LabelValuesResponse::decode(&*rest).map_err(|e| Error::Corrupt(e.to_string()))?;
    let mut values = Vec::with_capacity(count);
    let mut fields = Fields::new(message, 0..message.len());
    while let Some(field) = fields.next()? {
        if let (VALUES, Value::Bytes(range)) = field {
            values.push(text(message, range)?.to_owned());
        }
    }
    Ok(LabelValuesResponse { values, ..rest })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(response: &LabelValuesResponse) -> Vec<u8> {
        let mut out = Vec::new();
        write(&response.values, &mut out);
        assert_eq!(out.len(), size_bytes(&response.values));
        LabelValuesResponse { values: Vec::new(), ..response.clone() }.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn many_values_and_long_ones() {
        let long = "ü".repeat(PIECE_BYTES);
        let values: Vec<String> = (0..10_000).map(|i| format!("pod-{i}")).chain([String::new(), long]).collect();
        let response = LabelValuesResponse { values, ..Default::default() };
        assert_eq!(written(&response), response.encode_to_vec());
        assert_eq!(read(&response.encode_to_vec()).unwrap(), response);
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [&[10, 1][..], &[10, 1, 0xff], &[10, 2, b'a'], &[18, 1, 0xff], &[11]] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        /// The bytes are those of the generated message, and are read as it reads them.
        #[test]
        fn as_the_generated_message(
            values in proptest::collection::vec("[a-zä]{0,20}", 0..20),
            warnings in proptest::collection::vec("[a-z]{0,5}", 0..3),
            hints in proptest::option::of("[a-z]{0,5}"),
        ) {
            let hints = hints.map(|text| prost_types::Any { type_url: text, value: vec![1] });
            let response = LabelValuesResponse { values, warnings, hints };
            let bytes = response.encode_to_vec();
            prop_assert_eq!(&written(&response), &bytes);
            prop_assert_eq!(read(&bytes).unwrap(), response);
        }

        #[test]
        fn any_bytes_are_read_as_the_generated_message_reads_them(bytes in proptest::collection::vec(
            prop_oneof![Just(10u8), Just(18), 0u8..6, any::<u8>()], 0..30)) {
            let theirs = LabelValuesResponse::decode(&*bytes).ok();
            if let (Ok(ours), Some(theirs)) = (read(&bytes), theirs) {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
