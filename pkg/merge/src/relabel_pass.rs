//! Inputs whose labels are rewritten: every series gets its new labels, and all are sorted again.
//!
//! Deletions speak of the labels before. They are noted as tombstones, since the labels are gone afterwards.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use labels::Builder;
use relabel::Rule;

use crate::deletion::Deletions;
use crate::entries::{Entry, IndexEntries};
use crate::error::{Error, Result};
use crate::input::OpenInput;
use crate::sort::Sorter;
use crate::survey::{EntriesOf, Survey};
use crate::symbols::{NumberMap, SymbolReader, SymbolTable, extend};

/// Marks numbers of texts that the table does not have yet.
const NEW: u32 = 1 << 31;

/// How inputs are relabelled.
pub(crate) struct Relabelling<'a> {
    /// The symbols of all inputs, and each input's numbers in them.
    pub(crate) symbols: &'a SymbolTable,
    pub(crate) maps: &'a [NumberMap],
    /// The number of the empty string, if there is one.
    pub(crate) empty: Option<u32>,
    pub(crate) rules: &'a [Rule],
    /// Applied to the labels before relabelling.
    pub(crate) deletions: &'a Arc<Deletions>,
    /// Directory of the spools.
    pub(crate) dir: &'a Path,
    /// Bytes that sorting may hold.
    pub(crate) memory: u64,
}

/// Relabels the series of all inputs; their tombstones take the deletions in.
pub(crate) fn relabel_all(
    inputs: &mut [OpenInput],
    how: &Relabelling<'_>,
) -> Result<(SymbolTable, Vec<Survey>, Vec<EntriesOf>)> {
    let Relabelling { symbols, maps, empty, rules, deletions, dir, memory } = *how;
    let mut texts =
        Texts { old: symbols.reader(), search: symbols.reader(), new: HashMap::new(), found: HashMap::new() };
    let (mut surveys, mut spools) = (Vec::new(), Vec::new());
    for (n, input) in inputs.iter_mut().enumerate() {
        let mut entries = IndexEntries::new(input, &maps[n], empty);
        let own = deletions.of(&input.meta);
        let mut spool = Sorter::create(&dir.join(format!("relabelled.{n}")), memory)?;
        let (mut entry, mut ranges, mut builder) = (Entry::default(), Vec::new(), Builder::new());
        let tombstones = Arc::make_mut(&mut input.tombstones);
        let mut found = Survey::default();
        while entries.next(&mut entry)? {
            found.labels_out_of_order += u64::from(entry.labels_out_of_order);
            ranges.clear();
            own.add_ranges(&entry.labels, &mut ranges);
            ranges.drain(..).for_each(|range| tombstones.add(entry.id, range));
            if let Some(labels) = texts.relabel(rules, &entry, &mut builder)? {
                spool.push(Entry { labels, chunks: entry.chunks.clone(), ..entry })?;
                found.series += 1;
            }
        }
        surveys.push(found);
        spools.push(spool.finish()?);
    }
    let mut more: Vec<(String, u32)> = texts.new.into_iter().collect();
    more.sort_unstable();
    let sorted: Vec<&str> = more.iter().map(|(text, _)| &**text).collect();
    let (table, old, new) = extend(symbols, &sorted, &dir.join("symbols.relabelled"))?;
    let mut new_numbers = vec![0; more.len()];
    for ((_, provisional), number) in more.iter().zip(&new) {
        new_numbers[(*provisional & !NEW) as usize] = *number;
    }
    let number = |n: u32| match n & NEW {
        0 => old.get(n as usize).copied(),
        _ => new_numbers.get((n & !NEW) as usize).copied(),
    };
    let mut readers = Vec::new();
    for (n, spool) in spools.into_iter().enumerate() {
        let mut entries = spool.entries()?;
        let path = dir.join(format!("sorted.{n}"));
        let mut sorter = Sorter::create(&path, memory)?;
        let mut entry = Entry::default();
        while entries.next(&mut entry)? {
            for (name, value) in &mut entry.labels {
                let (Some(a), Some(b)) = (number(*name), number(*value)) else {
                    return Err(Error::corrupt(&path, "unknown symbol"));
                };
                (*name, *value) = (a, b);
            }
            entry.labels.sort_unstable();
            sorter.push(entry.clone())?;
        }
        readers.push(EntriesOf { numbers: maps[n].clone(), empty: None, sorted: Some(sorter.finish()?) });
    }
    Ok((table, surveys, readers))
}

/// Texts and their numbers while they change.
struct Texts {
    old: SymbolReader,
    search: SymbolReader,
    new: HashMap<String, u32>,
    /// Strings looked up in the table; cleared when they become many.
    found: HashMap<String, Option<u32>>,
}

impl Texts {
    fn relabel(&mut self, rules: &[Rule], entry: &Entry, builder: &mut Builder) -> Result<Option<Vec<(u32, u32)>>> {
        let mut before: Vec<(String, String)> = Vec::with_capacity(entry.labels.len());
        for (name, value) in &entry.labels {
            before.push((self.old.text(*name)?.to_owned(), self.old.text(*value)?.to_owned()));
        }
        *builder = Builder::new();
        for (name, value) in &before {
            builder.set(name, value);
        }
        if !relabel::apply_to(rules, builder) {
            return Ok(None);
        }
        let mut after = Vec::new();
        for (name, value) in builder.iter() {
            let at = before.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok();
            let name_number = match at {
                Some(at) => entry.labels[at].0,
                None => self.number(name)?,
            };
            let value_number = match at.filter(|at| before[*at].1 == value) {
                Some(at) => entry.labels[at].1,
                None => self.number(value)?,
            };
            after.push((name_number, value_number));
        }
        Ok((!after.is_empty()).then_some(after))
    }

    fn number(&mut self, text: &str) -> Result<u32> {
        if let Some(number) = self.new.get(text) {
            return Ok(*number);
        }
        let known = match self.found.get(text) {
            Some(known) => *known,
            None => {
                let known = self.search.find(text)?;
                if self.found.len() >= 10_000 {
                    self.found.clear();
                }
                self.found.insert(text.to_owned(), known);
                known
            }
        };
        if let Some(number) = known {
            return Ok(number);
        }
        let number = NEW | self.new.len() as u32;
        self.new.insert(text.to_owned(), number);
        Ok(number)
    }
}
