//! Upper and lower case as Go has it: letter by letter, whatever stands around it, and one letter for one.

/// `text` in upper case.
pub fn to_upper(text: &str) -> String {
    text.chars().map(upper).collect()
}

/// `text` in lower case.
pub fn to_lower(text: &str) -> String {
    text.chars().map(lower).collect()
}

/// The letter's upper case; the letter itself where that would be several letters.
pub fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        // Greek vowels with an iota below have a capital with one beside as well.
        _ => match letter {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => beside(letter, 8),
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => beside(letter, 9),
            _ => letter,
        },
    }
}

fn lower(letter: char) -> char {
    // Where it is several, as for İ, the first is the letter.
    letter.to_lowercase().next().unwrap_or(letter)
}

fn beside(letter: char, distance: u32) -> char {
    char::from_u32(letter as u32 + distance).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of Go's `strings.ToUpper` and `strings.ToLower`.
    #[test]
    fn letters() {
        for (text, up, low) in [
            ("aZ9_-", "AZ9_-", "az9_-"),
            ("Straße Äö", "STRAßE ÄÖ", "straße äö"),
            ("ŉǰΐﬁ", "ŉǰΐﬁ", "ŉǰΐﬁ"),
            ("ᾀᾗᾳῳ", "ᾈᾟᾼῼ", "ᾀᾗᾳῳ"),
            ("İı", "İI", "iı"),
            ("ΟΔΟΣ ς", "ΟΔΟΣ Σ", "οδοσ ς"),
            ("", "", ""),
        ] {
            assert_eq!((to_upper(text).as_str(), to_lower(text).as_str()), (up, low), "{text}");
        }
    }
}
