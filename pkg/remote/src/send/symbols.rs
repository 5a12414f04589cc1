//! Texts, each kept once and known by a number.

use std::sync::Arc;

use hashbrown::HashMap;

/// Interned texts with counts of their uses.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Option<(Arc<str>, u32)>>,
    free: Vec<u32>,
}

impl Symbols {
    /// The number of a text, with one use more.
    pub fn take(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            if let Some(Some((_, uses))) = self.texts.get_mut(*number as usize) {
                *uses += 1;
            }
            return *number;
        }
        let shared: Arc<str> = text.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.texts.push(None);
            self.texts.len() as u32 - 1
        });
        self.texts[number as usize] = Some((shared.clone(), 1));
        self.numbers.insert(shared, number);
        number
    }

    /// The number of a text that is there.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// One use less.
    pub fn give_back(&mut self, number: u32) {
        let Some(slot) = self.texts.get_mut(number as usize) else { return };
        if let Some((_, uses)) = slot {
            *uses -= 1;
            if *uses > 0 {
                return;
            }
        }
        if let Some((text, _)) = slot.take() {
            self.numbers.remove(&text);
            self.free.push(number);
        }
    }

    /// The text of a number that is in use; else empty.
    pub fn text(&self, number: u32) -> &str {
        match self.texts.get(number as usize) {
            Some(Some((text, _))) => text,
            _ => "",
        }
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_live_as_long_as_they_are_used() {
        let mut symbols = Symbols::default();
        let (a, b) = (symbols.take("a"), symbols.take("b"));
        assert_eq!((symbols.take("a"), symbols.len()), (a, 2));
        symbols.give_back(a);
        assert_eq!(symbols.text(a), "a");
        symbols.give_back(a);
        assert_eq!((symbols.text(a), symbols.text(b), symbols.len()), ("", "b", 1));
        assert_eq!(symbols.take("c"), a);
    }
}
