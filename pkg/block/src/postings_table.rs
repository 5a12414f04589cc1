//! The postings offset table: where the list of each label pair lies.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use encoding::{Cursor, put_string, put_uvarint, section};

use crate::Result;

/// Every how many values of a name a position is kept in memory.
const STEP: usize = 32;

/// The table of one index. Texts stay in the file's bytes; memory holds, for each name, every 32nd value's position.
#[derive(Debug, Clone)]
pub struct PostingsTable {
    file: Arc<str>,
    /// Entries `2 | name | value | uvarint offset`, sorted by name and value.
    body: Bytes,
    base: u64,
    names: Vec<Name>,
    /// Where the last list ends at the latest.
    postings_end: u64,
    /// Version 1 keeps its lists in any order: all offsets, ascending.
    unordered: Option<Vec<u64>>,
}

#[derive(Debug, Clone)]
struct Name {
    name: Box<str>,
    /// Positions in `body` of values 0, 32, 64, …
    sparse: Vec<u32>,
    /// Position behind the last value.
    end: u32,
    values: u32,
}

impl PostingsTable {
    /// Opens the table at the start of `data`, which lies at `offset` of `file`; `postings_end` is where the table began
    /// in the index. Checks the CRC and the order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] if the part that is read is not what was written.
    pub fn open(file: Arc<str>, offset: u64, postings_end: u64, version: u8, data: &Bytes) -> Result<Self> {
        let body = data.slice_ref(section(&file, offset, "postings offset table", data)?);
        let mut table = Self { file, body, base: offset + 4, names: Vec::new(), postings_end, unordered: None };
        if version == 1 {
            table.sort_version_1()?;
        }
        table.names = table.read_names(if version == 1 { 0 } else { 4 })?;
        Ok(table)
    }

    /// Version 1 does not sort its entries: rewrites them as version 2 has them, in memory.
    fn sort_version_1(&mut self) -> Result<()> {
        let unsorted = self.body.clone();
        let mut cursor = Cursor::new(&self.file, self.base, &unsorted);
        let count = cursor.be32()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(read_entry(&mut cursor)?);
        }
        entries.sort_unstable();
        let mut offsets: Vec<u64> = entries.iter().map(|(_, _, at)| *at).collect();
        offsets.sort_unstable();
        let mut body = Vec::with_capacity(self.body.len());
        for (name, value, at) in entries {
            body.push(2);
            put_string(&mut body, name);
            put_string(&mut body, value);
            put_uvarint(&mut body, at);
        }
        self.body = body.into();
        self.unordered = Some(offsets);
        Ok(())
    }

    fn read_names(&self, start: usize) -> Result<Vec<Name>> {
        let mut names: Vec<Name> = Vec::new();
        let mut cursor = self.cursor(start);
        let promised = if start == 4 { Some(self.cursor(0).be32()?) } else { None };
        let mut before = "";
        let mut entries = 0u32;
        while cursor.left() > 0 {
            let at = cursor;
            let (name, value, _) = read_entry(&mut cursor)?;
            match names.last_mut() {
                Some(last) if *last.name == *name => {
                    if before >= value {
                        return Err(at.corrupt(format!("values of {name:?} do not ascend")).into());
                    }
                    if (last.values as usize).is_multiple_of(STEP) {
                        last.sparse.push(at.at() as u32);
                    }
                    last.values += 1;
                    last.end = cursor.at() as u32;
                }
                last => {
                    if last.is_some_and(|l| *l.name >= *name) {
                        return Err(at.corrupt(format!("name {name:?} does not ascend")).into());
                    }
                    names.push(Name {
                        name: name.into(),
                        sparse: vec![at.at() as u32],
                        end: cursor.at() as u32,
                        values: 1,
                    });
                }
            }
            before = value;
            entries += 1;
        }
        match promised {
            Some(promised) if promised != entries => {
                Err(cursor.corrupt(format!("{entries} entries, {promised} promised")).into())
            }
            _ => Ok(names),
        }
    }

    fn cursor(&self, at: usize) -> Cursor<'_> {
        Cursor::new(&self.file, self.base, &self.body).seek(at)
    }

    /// The label names, ascending.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        // The list of all series goes under the empty name.
        self.names.iter().map(|n| &*n.name).filter(|n| !n.is_empty())
    }

    fn name(&self, name: &str) -> Option<&Name> {
        self.names.binary_search_by(|n| (*n.name).cmp(name)).ok().map(|at| &self.names[at])
    }

    /// How many values `name` has.
    pub fn value_count(&self, name: &str) -> usize {
        self.name(name).map_or(0, |n| n.values as usize)
    }

    /// Hands each value of `name` that begins with `prefix`, ascending, and its list's range to `sink`.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] if the part that is read is not what was written.
    pub fn each_value<'a>(&'a self, name: &str, prefix: &str, mut sink: impl FnMut(&'a str, Range<u64>)) -> Result<()> {
        let Some(name) = self.name(name) else { return Ok(()) };
        let mut cursor = self.seek(name, prefix)?;
        while cursor.at() < name.end as usize {
            let (_, value, offset) = read_entry(&mut cursor)?;
            if value.starts_with(prefix) {
                sink(value, self.range(offset, cursor)?);
            } else if value > prefix {
                break;
            }
        }
        Ok(())
    }

    /// The values of `name`, ascending.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] if the part that is read is not what was written.
    pub fn label_values(&self, name: &str) -> Result<Vec<&str>> {
        let mut values = Vec::with_capacity(self.value_count(name));
        let Some(name) = self.name(name) else { return Ok(values) };
        let mut cursor = self.seek(name, "")?;
        // All of them begin alike.
        let mut head = vec![2];
        put_string(&mut head, &name.name);
        while cursor.at() < name.end as usize {
            if !self.body[cursor.at()..].starts_with(&head) {
                values.push(read_entry(&mut cursor)?.1);
                continue;
            }
            cursor = cursor.seek(cursor.at() + head.len());
            values.push(cursor.string()?);
            cursor.uvarint()?;
        }
        Ok(values)
    }

    /// The bytes of the index that hold the list of `name="value"` (both empty: of all series), with perhaps something
    /// behind it; `None` when no series has the pair.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] if the part that is read is not what was written.
    pub fn lookup(&self, name: &str, value: &str) -> Result<Option<Range<u64>>> {
        let Some(name) = self.name(name) else { return Ok(None) };
        let mut cursor = self.seek(name, value)?;
        while cursor.at() < name.end as usize {
            let (_, found, offset) = read_entry(&mut cursor)?;
            match found.cmp(value) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return self.range(offset, cursor).map(Some),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// At the last kept value of `name` that is not above `value`.
    fn seek(&self, name: &Name, value: &str) -> Result<Cursor<'_>> {
        let (mut low, mut high) = (0, name.sparse.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            let (_, found, _) = read_entry(&mut self.cursor(name.sparse[middle] as usize))?;
            if found <= value { low = middle } else { high = middle }
        }
        Ok(self.cursor(name.sparse[low] as usize))
    }

    /// From a list's offset and the entry behind its own to its bytes.
    fn range(&self, offset: u64, mut next: Cursor<'_>) -> Result<Range<u64>> {
        let end = match &self.unordered {
            Some(offsets) => offsets.get(offsets.partition_point(|o| *o <= offset)).copied(),
            None if next.left() > 0 => Some(read_entry(&mut next)?.2),
            None => None,
        };
        let end = end.filter(|end| *end > offset).unwrap_or(self.postings_end);
        if offset >= end {
            return Err(next.corrupt(format!("list at {offset}, lists end at {end}")).into());
        }
        Ok(offset..end)
    }
}

fn read_entry<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, &'a str, u64)> {
    let at = *cursor;
    match cursor.uvarint()? {
        2 => Ok((cursor.string()?, cursor.string()?, cursor.uvarint()?)),
        keys => Err(at.corrupt(format!("postings entry of {keys} keys, not 2")).into()),
    }
}
