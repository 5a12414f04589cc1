//! Texts that nobody meant: whatever stands in a file, reading it ends, with an answer or an error that has a line.

use std::path::Path;

use config::Config;

/// A small generator, so that each run tries the same texts.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

const SEED: &str = include_str!("hostile.yml");

const PIECES: [&str; 16] =
    [": ", "- ", "\n", "[", "]", "{", "}", "&a ", "*a", "<<: ", "!!binary ", "'", "\"", "null", "\u{feff}", "  "];

fn mutated(dice: &mut Dice) -> String {
    let mut text: Vec<char> = SEED.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(text.len());
        match dice.below(4) {
            0 => drop(text.remove(at.min(text.len() - 1))),
            1 => drop(text.splice(at..at, PIECES[dice.below(PIECES.len())].chars())),
            2 => {
                let end = (at + dice.below(80)).min(text.len());
                let part: Vec<char> = text[at..end].to_vec();
                let to = dice.below(text.len());
                drop(text.splice(to..to, part));
            }
            _ => {
                let end = (at + dice.below(40)).min(text.len());
                drop(text.drain(at..end));
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text.into_iter().collect()
}

#[test]
fn whatever_a_file_says() {
    let seed = Config::parse(SEED, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    assert!(seed.scrape_configs.len() > 3);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..1000 {
        let text = mutated(&mut dice);
        match Config::parse(&text, &|_| None) {
            Ok(config) => {
                taken += 1;
                config.to_yaml().unwrap();
            }
            Err(e) => {
                refused += 1;
                assert!(e.line > 0, "{e}\n{text}");
            }
        }
    }
    assert!(taken > 0 && refused > 100, "{taken} {refused}");
}

#[test]
fn the_example_of_the_page_is_taken() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config/prometheus.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = Config::parse(example, &|_| None).unwrap();
    assert_eq!(config.scrape_configs.len(), 2);
}
