//! The labels of an index's series, one series after the other.

use labels::{Labels, LabelsError, SortedBuilder};

use crate::series::RawEntry;
use crate::{Result, Symbols};

/// What is made of labels, if their names ascend.
type Ordered<T> = std::result::Result<T, LabelsError>;

/// Reads labels by their symbols. Neighbours in an index share most of them, and all of a metric have the same names: only
/// the values that differ from those of the series before are looked up.
#[derive(Debug)]
pub struct LabelsReader<'a> {
    symbols: Recent<'a>,
    put: Vec<(&'a str, &'a str)>,
    /// Those of the series before.
    before: Vec<(u32, u32)>,
    /// For each of its labels, those put between them included, whether it is one of these.
    is_put: Vec<bool>,
    labels: SortedBuilder,
}

impl<'a> LabelsReader<'a> {
    /// Reads labels by `symbols`, and puts those of `put` between them, of whose names no series has one.
    pub fn new(symbols: &'a Symbols, put: &'a Labels) -> Self {
        Self {
            symbols: Recent::new(symbols),
            put: put.iter().collect(),
            before: Vec::new(),
            is_put: Vec::new(),
            labels: SortedBuilder::new(),
        }
    }

    /// The labels of references (name, value); the inner error where names do not ascend.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when a symbol does not exist.
    pub fn read(&mut self, raw: &[(u32, u32)]) -> Result<Ordered<Labels>> {
        self.read_behind(None, raw)
    }

    /// The same behind a label of the empty name, which sorts before all others, with the value `first`. A reader is used
    /// either with such labels or without.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when a symbol does not exist.
    pub fn read_behind(&mut self, first: Option<&str>, raw: &[(u32, u32)]) -> Result<Ordered<Labels>> {
        self.labels.clear();
        let names = |(a, b): (&(u32, u32), &(u32, u32))| a.0 == b.0;
        let is_like_before = raw.len() == self.before.len() && raw.iter().zip(&self.before).all(names);
        let places = self.is_put.len() + usize::from(first.is_some());
        let known = is_like_before && !self.is_put.is_empty() && self.labels.places() == places;
        let began = match first {
            Some(value) if known => self.labels.push_value(value),
            Some(value) => self.labels.push("", value),
            None => Ok(()),
        };
        let read = match began {
            Err(e) => Ok(Err(e)),
            Ok(()) if known => self.differences(raw),
            Ok(()) => self.all(raw),
        };
        if !matches!(read, Ok(Ok(()))) {
            self.is_put.clear();
            return read.map(|ordered| ordered.map(|()| Labels::empty()));
        }
        self.before.clear();
        self.before.extend_from_slice(raw);
        Ok(Ok(self.labels.finish()))
    }

    /// Tells which entries are read next, so that their symbols, which may lie anywhere, are waited for together.
    pub fn look_ahead(&self, entries: &[RawEntry]) {
        let mut before = &self.before[..];
        for entry in entries {
            let differing = |(at, pair): (usize, &(u32, u32))| (before.get(at) != Some(pair)).then_some(pair.1);
            self.symbols.symbols.warm(entry.labels.iter().enumerate().filter_map(differing));
            before = &entry.labels;
        }
    }

    /// How many labels the set has that was read last, which is `labels`.
    pub fn count(&self, labels: &Labels) -> usize {
        match self.labels.places() {
            0 => labels.len(),
            known => known,
        }
    }

    /// The text of a symbol.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when there is none.
    pub fn text(&mut self, reference: u32) -> Result<&'a str> {
        self.symbols.get(reference)
    }

    /// Of a series that has the names of the one before.
    #[inline]
    fn differences(&mut self, raw: &[(u32, u32)]) -> Result<Ordered<()>> {
        let (mut pairs, mut same) = (raw.iter().zip(&self.before), 0);
        for is_put in &self.is_put {
            let differs = if *is_put { None } else { pairs.next().filter(|(now, before)| now.1 != before.1) };
            let Some(((_, value), _)) = differs else {
                same += 1;
                continue;
            };
            let text = self.symbols.get(*value)?;
            if let Err(e) = self.labels.repeat(same).and_then(|()| self.labels.push_value(text)) {
                return Ok(Err(e));
            }
            same = 0;
        }
        Ok(self.labels.repeat(same))
    }

    /// Of any series.
    fn all(&mut self, raw: &[(u32, u32)]) -> Result<Ordered<()>> {
        self.is_put.clear();
        let mut put = self.put.iter().peekable();
        for (name, value) in raw {
            let (name, value) = (self.symbols.get(*name)?, self.symbols.get(*value)?);
            while let Some((other, its)) = put.next_if(|(other, _)| *other < name) {
                self.is_put.push(true);
                if let Err(e) = self.labels.push(other, its) {
                    return Ok(Err(e));
                }
            }
            self.is_put.push(false);
            if let Err(e) = self.labels.push(name, value) {
                return Ok(Err(e));
            }
        }
        for (other, its) in put {
            self.is_put.push(true);
            if let Err(e) = self.labels.push(other, its) {
                return Ok(Err(e));
            }
        }
        Ok(Ok(()))
    }
}

/// Symbols looked up lately, each in the place that the end of its reference gives it: finding a symbol's text takes a walk
/// through some before it.
#[derive(Debug)]
struct Recent<'a> {
    symbols: &'a Symbols,
    texts: Vec<Option<(u32, &'a str)>>,
}

impl<'a> Recent<'a> {
    /// A power of two.
    const PLACES: usize = 512;

    fn new(symbols: &'a Symbols) -> Self {
        Self { symbols, texts: vec![None; Self::PLACES] }
    }

    #[inline]
    fn get(&mut self, reference: u32) -> Result<&'a str> {
        let place = reference as usize % Self::PLACES;
        match self.texts[place] {
            Some((of, text)) if of == reference => Ok(text),
            _ => {
                let text = self.symbols.get(reference)?;
                self.texts[place] = Some((reference, text));
                Ok(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const TEXTS: [&str; 6] = ["", "a", "b", "c", "d", "e"];

    fn symbols() -> Symbols {
        let mut body = (TEXTS.len() as u32).to_be_bytes().to_vec();
        for text in TEXTS {
            body.push(text.len() as u8);
            body.extend_from_slice(text.as_bytes());
        }
        let mut section = (body.len() as u32).to_be_bytes().to_vec();
        section.extend_from_slice(&body);
        section.extend_from_slice(&encoding::crc32c(&body).to_be_bytes());
        Symbols::open("index".into(), 0, 0, 2, &Bytes::from(section)).unwrap()
    }

    proptest! {
        /// Whatever was read before, labels are those of their references.
        #[test]
        fn what_is_read_depends_on_nothing_before(
            series in proptest::collection::vec(proptest::collection::vec((1u32..7, 0u32..6), 0..4), 1..12),
            put in proptest::collection::btree_map("[A-E]|aa|cc|f", "[xy]", 0..3),
        ) {
            let (symbols, put) = (symbols(), Labels::from_pairs(put));
            let mut reader = LabelsReader::new(&symbols, &put);
            let entries: Vec<RawEntry> =
                series.iter().map(|labels| RawEntry { labels: labels.clone(), chunks: Vec::new() }).collect();
            for (at, raw) in series.into_iter().enumerate() {
                // Tells nothing that matters, also of symbols that there are not.
                reader.look_ahead(&entries[at..]);
                let text = |at: u32| TEXTS.get(at as usize).copied();
                let pairs: Option<Vec<_>> = raw.iter().map(|(n, v)| Some((text(*n)?, text(*v)?))).collect();
                let own = pairs.and_then(|pairs| Labels::from_sorted(pairs.iter().copied()).ok());
                let got = reader.read(&raw).ok().and_then(|read| read.ok());
                prop_assert!(got.as_ref().is_none_or(|labels| reader.count(labels) == labels.len()));
                prop_assert_eq!(got, own.map(|own| own.overlay(&put)));
            }
        }
    }
}
