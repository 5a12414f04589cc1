//! The Series call with messages of our own making: the rest of the Store service is as generated.

use bytes::{Buf, BufMut};
use proto::thanos::SeriesRequest;
use storage::Result as StorageResult;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::series_decode::{Incoming, Reader};
use crate::series_encode::{Outgoing, Writer};

/// The path of the call.
pub(crate) const SERIES_PATH: &str = "/thanos.Store/Series";

/// Messages are written one after the other until they are this long, then sent.
const SEND_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
pub(crate) struct ServerCodec {
    /// Whether the peer reads labels told by their differences.
    pub(crate) deltas: bool,
}

impl Codec for ServerCodec {
    type Encode = Outgoing;
    type Decode = SeriesRequest;
    type Encoder = Writer;
    type Decoder = ProstDecoder<SeriesRequest>;

    fn encoder(&mut self) -> Writer {
        Writer::new(self.deltas)
    }

    fn decoder(&mut self) -> ProstDecoder<SeriesRequest> {
        ProstDecoder::default()
    }
}

impl Encoder for Writer {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Outgoing, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let (head, body) = self.write(&item);
        out.reserve(head.len() + body.len());
        out.put_slice(head);
        out.put_slice(body);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(SEND_BYTES, SEND_BYTES)
    }
}

#[derive(Debug, Default)]
pub(crate) struct ClientCodec;

impl Codec for ClientCodec {
    type Encode = SeriesRequest;
    type Decode = StorageResult<Incoming>;
    type Encoder = ProstEncoder<SeriesRequest>;
    type Decoder = Reader;

    fn encoder(&mut self) -> ProstEncoder<SeriesRequest> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Reader {
        Reader::default()
    }
}

impl Decoder for Reader {
    /// What does not parse is an error of the source, not of the transport.
    type Item = StorageResult<Incoming>;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let message = src.copy_to_bytes(src.remaining());
        Ok(Some(self.read(&message)))
    }
}
