//! One parser for all formats.

use crate::entry::Entry;
use crate::error::ParseError;
use crate::format::Format;
use crate::known::Known;
use crate::nhcb::{Converter, Unconverted};
use crate::openmetrics::OpenMetricsParser;
use crate::protobuf::ProtobufParser;
use crate::text::TextParser;

/// What is wanted of a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Exemplars are read. They are checked in any case.
    pub exemplars: bool,
    /// Start times are read. In OpenMetrics the `_created` series of counters, histograms and summaries become start times
    /// and are no series any more.
    pub start_timestamps: bool,
    /// The native part of histograms is passed over (protobuf).
    pub ignore_native_histograms: bool,
    /// Classic histograms become native ones with custom buckets.
    pub convert_classic_histograms: bool,
    /// Histograms that are native, or become native by conversion, are read as classic ones too.
    pub keep_classic_histograms: bool,
}

/// Moves through a body, entry by entry.
#[derive(Debug)]
pub struct Parser<'a> {
    base: Base<'a>,
    converter: Option<Box<Converter>>,
}

/// A parser of one format.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one a scrape")]
pub(crate) enum Base<'a> {
    Text(TextParser<'a>),
    OpenMetrics(OpenMetricsParser<'a>),
    Protobuf(ProtobufParser<'a>),
}

impl<'a> Parser<'a> {
    /// A parser at the begin of `body`.
    ///
    /// # Errors
    /// A body of more than 4 GiB.
    pub fn new(body: &'a [u8], format: Format, options: Options) -> Result<Self, ParseError> {
        let base = match format {
            Format::Text => Base::Text(TextParser::new(body)?),
            Format::OpenMetrics => Base::OpenMetrics(OpenMetricsParser::new(body, options)?),
            Format::Protobuf => Base::Protobuf(ProtobufParser::new(body, options)?),
        };
        let converter = options.convert_classic_histograms;
        let converter = converter.then(|| Box::new(Converter::new(options.keep_classic_histograms)));
        Ok(Self { base, converter })
    }

    /// Moves to the next entry, which [`Parser::entry`] shows. False at the end of the body.
    ///
    /// # Errors
    /// The body does not follow its format. There is nothing more to read then.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, ParseError> {
        self.advance_known(&mut |_: &[u8]| false)
    }

    /// Moves to the next entry, as [`Parser::advance`]. `known` may be asked whether a series was read before: if
    /// so, its name and labels are passed over, which saves most of the work, and the entry shows the key only.
    ///
    /// # Errors
    /// As those of [`Parser::advance`].
    #[inline]
    pub fn advance_known(&mut self, known: &mut impl Known) -> Result<bool, ParseError> {
        match &mut self.converter {
            None => self.base.advance(known),
            // The converter groups series by their labels.
            Some(converter) => converter.advance(&mut self.base),
        }
    }

    /// The entry that [`Parser::advance`] has moved to.
    #[inline]
    pub fn entry(&self) -> Entry<'_> {
        match &self.converter {
            Some(converter) if converter.has_entry() => converter.entry(),
            _ => self.base.entry(),
        }
    }

    /// The next entry; `None` at the end of the body.
    ///
    /// # Errors
    /// As those of [`Parser::advance`].
    #[allow(clippy::should_implement_trait, reason = "an entry borrows from the parser")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        Ok(if self.advance()? { Some(self.entry()) } else { None })
    }

    /// Classic histograms so far that could not be converted and are missing from the entries.
    pub fn unconverted(&self) -> Option<&Unconverted> {
        self.converter.as_ref().and_then(|converter| converter.unconverted())
    }
}

impl Base<'_> {
    #[inline]
    pub(crate) fn advance(&mut self, known: &mut impl Known) -> Result<bool, ParseError> {
        match self {
            Self::Text(parser) => parser.advance(known),
            Self::OpenMetrics(parser) => parser.advance(known),
            Self::Protobuf(parser) => parser.advance(known),
        }
    }

    #[inline]
    pub(crate) fn entry(&self) -> Entry<'_> {
        match self {
            Self::Text(parser) => parser.entry(),
            Self::OpenMetrics(parser) => parser.entry(),
            Self::Protobuf(parser) => parser.entry(),
        }
    }
}
