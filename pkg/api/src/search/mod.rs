//! Finding names by what people type: which names fit a term, and how well, from 0 to 1. The scores are Prometheus' own
//! (feature `search-api`), so that both order alike.

mod jaro_winkler;
mod subsequence;

/// How names are compared with terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// The term's characters come in this order, with others between.
    Subsequence,
    /// The name has the term in it, or is like it by the measure of Jaro and Winkler.
    JaroWinkler,
}

impl Algorithm {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "subsequence" => Some(Self::Subsequence),
            "jarowinkler" => Some(Self::JaroWinkler),
            _ => None,
        }
    }
}

/// Terms of which a name must fit one. Without any term every name fits.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    terms: Vec<Term>,
    algorithm: Algorithm,
    /// What a score must reach at least.
    threshold: f64,
    case_sensitive: bool,
}

#[derive(Debug, Clone)]
struct Term {
    text: String,
    chars: Vec<char>,
}

impl Filter {
    pub fn new(terms: &[&str], algorithm: Algorithm, threshold: f64, case_sensitive: bool) -> Self {
        let term = |term: &&str| {
            let text = if case_sensitive { (*term).to_owned() } else { term.to_lowercase() };
            Term { chars: text.chars().collect(), text }
        };
        let terms = terms.iter().filter(|term| !term.is_empty()).map(term).collect();
        Self { terms, algorithm, threshold, case_sensitive }
    }

    /// How well `name` fits the term that it fits best; `None` if it fits none.
    pub fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let folded;
        let name = if self.case_sensitive {
            name
        } else {
            folded = name.to_lowercase();
            &folded
        };
        let chars: Vec<char> = name.chars().collect();
        self.terms.iter().filter_map(|term| self.score_of(term, name, &chars)).reduce(f64::max)
    }

    fn score_of(&self, term: &Term, name: &str, chars: &[char]) -> Option<f64> {
        match self.algorithm {
            Algorithm::Subsequence if name.starts_with(&term.text) => Some(1.0),
            Algorithm::Subsequence => {
                let score = subsequence::score(&term.chars, chars);
                (score > 0.0 && score >= self.threshold).then_some(score)
            }
            Algorithm::JaroWinkler => inside(term, name, chars).or_else(|| {
                let score = (self.threshold > 0.0).then(|| jaro_winkler::score(&term.chars, chars))?;
                (score >= self.threshold).then_some(score)
            }),
        }
    }
}

/// The score of a term that stands in the name: the earlier, the better; never below 0.1.
fn inside(term: &Term, name: &str, chars: &[char]) -> Option<f64> {
    let at = name.find(&term.text)?;
    let before = name.get(..at).map_or(0, |before| before.chars().count());
    let last = chars.len() - term.chars.len();
    Some(if last == 0 { 1.0 } else { 1.0 - 0.9 * before as f64 / last as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(term: &str, name: &str, algorithm: Algorithm, threshold: f64) -> Option<f64> {
        Filter::new(&[term], algorithm, threshold, true).score(name)
    }

    fn near(found: Option<f64>, wanted: f64) -> bool {
        found.is_some_and(|found| (found - wanted).abs() < 1e-3)
    }

    #[test]
    fn subsequences() {
        let s = |term, name| score(term, name, Algorithm::Subsequence, 0.0);
        assert_eq!(s("up", "up"), Some(1.0));
        assert_eq!(s("http", "http_requests_total"), Some(1.0), "a prefix");
        assert_eq!(s("pu", "up"), None);
        assert_eq!(s("longer", "long"), None);
        // One run of two after a gap of one in three characters: (4 - 1/3) / 4 * 0.999.
        assert!(near(s("bc", "abc"), 0.915_75));
        // Runs of one each, one character between: (1 + 1 - 1/3) / 4 * 0.999.
        assert!(near(s("ac", "abc"), 0.416_25));
        assert!(near(s("bé", "abé"), 0.915_75), "characters count, not bytes");
        assert_eq!(score("ac", "abc", Algorithm::Subsequence, 0.5), None);
    }

    #[test]
    fn jaro_and_winkler() {
        let s = |term, name, threshold| score(term, name, Algorithm::JaroWinkler, threshold);
        assert_eq!(s("total", "total", 0.0), Some(1.0));
        assert!(near(s("b", "abc", 0.0), 0.55));
        assert_eq!(s("xyz", "abc", 0.0), None, "without a threshold nothing is like something else");
        assert!(near(s("martha", "marhta", 0.5), 0.9611));
        assert!(near(s("dwayne", "duane", 0.5), 0.84));
        assert_eq!(s("dwayne", "duane", 0.9), None);
    }

    #[test]
    fn terms_and_case() {
        let filter = Filter::new(&["", "CPU", "mem"], Algorithm::Subsequence, 0.0, false);
        assert_eq!(filter.score("cpu_seconds"), Some(1.0));
        assert_eq!(filter.score("Memory"), Some(1.0));
        assert_eq!(filter.score("disk"), None);
        assert_eq!(Filter::new(&["CPU"], Algorithm::Subsequence, 0.0, true).score("cpu"), None);
        assert_eq!(Filter::new(&[""], Algorithm::Subsequence, 0.9, true).score("cpu"), Some(1.0));
    }
}
