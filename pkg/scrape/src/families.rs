//! What a target says of its metric families: type, help, unit.

use std::collections::HashMap;
use std::sync::Arc;

use model::{MetricMetadata, MetricType};
use parking_lot::Mutex;
use textparse::Entry;

/// Families of a target by name, as they were exposed last.
pub(crate) type FamilyMap = HashMap<Arc<str>, Arc<MetricMetadata>>;

/// Scrapes after which a family is forgotten that was not exposed any more.
const KEPT_SCRAPES: u32 = 10;

/// One copy of what many targets say alike.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    known: Mutex<Interned>,
}

#[derive(Debug, Default)]
struct Interned {
    names: HashMap<Arc<str>, ()>,
    metadata: HashMap<Arc<MetricMetadata>, ()>,
    /// At this size, what nobody uses is dropped.
    sweep_at: usize,
}

impl Interner {
    fn name(&self, name: &str) -> Arc<str> {
        let mut known = self.known.lock();
        known.sweep();
        match known.names.get_key_value(name) {
            Some((name, ())) => name.clone(),
            None => {
                let name: Arc<str> = name.into();
                known.names.insert(name.clone(), ());
                name
            }
        }
    }

    fn metadata(&self, metadata: &MetricMetadata) -> Arc<MetricMetadata> {
        let mut known = self.known.lock();
        match known.metadata.get_key_value(metadata) {
            Some((metadata, ())) => metadata.clone(),
            None => {
                let metadata = Arc::new(metadata.clone());
                known.metadata.insert(metadata.clone(), ());
                metadata
            }
        }
    }
}

impl Interned {
    fn sweep(&mut self) {
        if self.names.len() + self.metadata.len() < self.sweep_at.max(1024) {
            return;
        }
        self.names.retain(|name, ()| Arc::strong_count(name) > 1);
        self.metadata.retain(|metadata, ()| Arc::strong_count(metadata) > 1);
        self.sweep_at = 2 * (self.names.len() + self.metadata.len());
    }
}

#[derive(Debug)]
struct Family {
    metadata: MetricMetadata,
    metric_type: MetricType,
    /// The scrape that had it last.
    seen: u32,
    /// It differs from what is published.
    is_changed: bool,
}

/// The families of one target. Scrapes write here; readers see what was published at the end of a scrape.
#[derive(Debug)]
pub(crate) struct Families {
    interner: Arc<Interner>,
    published: Arc<Mutex<Arc<FamilyMap>>>,
    families: hashbrown::HashMap<String, Family>,
    /// The name in the last line of metadata.
    current: String,
    generation: u32,
    is_changed: bool,
}

/// The family of a series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FamilyOf<'a> {
    pub(crate) name: &'a str,
    pub(crate) metadata: &'a MetricMetadata,
    pub(crate) metric_type: MetricType,
    pub(crate) is_changed: bool,
}

impl Families {
    /// `published` is where others read.
    pub(crate) fn new(interner: Arc<Interner>, published: Arc<Mutex<Arc<FamilyMap>>>) -> Self {
        Self {
            interner,
            published,
            families: hashbrown::HashMap::new(),
            current: String::new(),
            generation: 0,
            is_changed: false,
        }
    }

    pub(crate) fn begin(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.current.clear();
    }

    /// Takes a line of metadata in.
    pub(crate) fn note(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Type { family, metric_type } => {
                let family = self.family(family);
                let word = metric_type.as_str();
                let is_changed = family.metadata.metric_type != word;
                if is_changed {
                    word.clone_into(&mut family.metadata.metric_type);
                }
                family.metric_type = *metric_type;
                family.is_changed |= is_changed;
                self.is_changed |= is_changed;
            }
            Entry::Help { family, text } => {
                let family = self.family(family);
                let is_changed = replace(&mut family.metadata.help, text);
                family.is_changed |= is_changed;
                self.is_changed |= is_changed;
            }
            Entry::Unit { family, unit } => {
                let family = self.family(family);
                let is_changed = replace(&mut family.metadata.unit, unit);
                family.is_changed |= is_changed;
                self.is_changed |= is_changed;
            }
            Entry::Sample(_) | Entry::Histogram(_) | Entry::Comment => {}
        }
    }

    fn family(&mut self, name: &str) -> &mut Family {
        if self.current != name {
            self.current.clear();
            self.current.push_str(name);
        }
        let generation = self.generation;
        let mut is_new = false;
        let made = || {
            is_new = true;
            Family {
                metadata: MetricMetadata {
                    metric_type: MetricType::Unknown.as_str().to_owned(),
                    help: String::new(),
                    unit: String::new(),
                },
                metric_type: MetricType::Unknown,
                seen: generation,
                is_changed: true,
            }
        };
        // Nothing is allocated for a family that is known, which most lines are of.
        let family = self.families.entry_ref(name).or_insert_with(made);
        self.is_changed |= is_new;
        family.seen = generation;
        family
    }

    /// The family of a series that stands behind the last line of metadata, if it is of that one.
    pub(crate) fn of(&self, series: &str) -> Option<FamilyOf<'_>> {
        let (name, family) = self.families.get_key_value(self.current.as_str())?;
        let suffix = series.strip_prefix(&**name)?;
        let is_part = match family.metric_type {
            MetricType::Counter => matches!(suffix, "" | "_total"),
            MetricType::Histogram => matches!(suffix, "" | "_bucket" | "_count" | "_sum"),
            MetricType::GaugeHistogram => matches!(suffix, "" | "_bucket" | "_gcount" | "_gsum" | "_count" | "_sum"),
            MetricType::Summary => matches!(suffix, "" | "_count" | "_sum"),
            MetricType::Info => matches!(suffix, "" | "_info"),
            MetricType::Gauge | MetricType::StateSet | MetricType::Unknown => suffix.is_empty(),
        };
        is_part.then_some(FamilyOf {
            name,
            metadata: &family.metadata,
            metric_type: family.metric_type,
            is_changed: family.is_changed,
        })
    }

    /// Ends a scrape that succeeded.
    pub(crate) fn succeed(&mut self) {
        let generation = self.generation;
        let before = self.families.len();
        self.families.retain(|_, family| generation.wrapping_sub(family.seen) < KEPT_SCRAPES);
        if !self.is_changed && before == self.families.len() {
            return;
        }
        let interner = &self.interner;
        let map = self.families.iter_mut().map(|(name, family)| {
            family.is_changed = false;
            (interner.name(name), interner.metadata(&family.metadata))
        });
        *self.published.lock() = Arc::new(map.collect());
        self.is_changed = false;
    }
}

fn replace(text: &mut String, new: &str) -> bool {
    let is_changed = text != new;
    if is_changed {
        new.clone_into(text);
    }
    is_changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use textparse::{Format, Options, Parser};

    fn scrape(families: &mut Families, body: &str) -> Vec<String> {
        families.begin();
        let mut parser = Parser::new(body.as_bytes(), Format::Text, Options::default()).unwrap();
        let mut out = Vec::new();
        while let Some(entry) = parser.next().unwrap() {
            match &entry {
                Entry::Sample(s) => out.push(match families.of(&s.series.name()) {
                    Some(f) => format!("{} {} {} {}", f.name, f.metadata.metric_type, f.metadata.help, f.is_changed),
                    None => "none".to_owned(),
                }),
                entry => families.note(entry),
            }
        }
        families.succeed();
        out
    }

    #[test]
    fn families() {
        let published = Arc::new(Mutex::new(Arc::default()));
        let mut families = Families::new(Arc::default(), published.clone());
        let body =
            "# HELP a Help.\n# TYPE a counter\na_total 1\na_x 1\n# TYPE h histogram\nh_bucket 1\nh_count 1\nb 1\n";
        let first = ["a counter Help. true", "none", "h histogram  true", "h histogram  true", "none"];
        assert_eq!(scrape(&mut families, body), first);
        let map = published.lock().clone();
        assert_eq!((map.len(), map["a"].help.as_str()), (2, "Help."));
        assert_eq!(scrape(&mut families, body)[0], "a counter Help. false");
        assert!(Arc::ptr_eq(&map, &published.lock()), "nothing new, nothing published");
        assert_eq!(scrape(&mut families, "# TYPE a gauge\na 1\n"), ["a gauge Help. true"]);
        for _ in 0..10 {
            scrape(&mut families, "# TYPE a gauge\na 1\n");
        }
        assert_eq!(published.lock().len(), 1);
    }
}
