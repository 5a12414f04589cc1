//! Whether the characters of a term come in a text in their order, and how close together.

/// Anything but the text itself scores below 1.
const SCALE: f64 = 0.999;

/// The best score over all places where the term's first character stands; 0 if the term is not in the text. Of each run
/// of characters that stand together the square of its length counts, less the part of the text that lies before each
/// run, and half of the part behind the last one; by the square of the term's length.
pub(super) fn score(term: &[char], text: &[char]) -> f64 {
    let Some(first) = term.first() else { return 1.0 };
    if term == text {
        return 1.0;
    }
    let Some(last_start) = text.len().checked_sub(term.len()) else { return 0.0 };
    let mut best: Option<f64> = None;
    for start in (0..=last_start).filter(|at| text.get(*at) == Some(first)) {
        // Where the rest is not found, it is not found from any later place.
        let Some(score) = from(term, text, start) else { break };
        best = Some(best.map_or(score, |best| best.max(score)));
    }
    let squares = (term.len() * term.len()) as f64;
    best.filter(|best| *best >= 0.0).map_or(0.0, |best| best / squares * SCALE)
}

/// The sum for the term found greedily from `start` on, where its first character stands.
fn from(term: &[char], text: &[char], start: usize) -> Option<f64> {
    let part = 1.0 / text.len() as f64;
    let (mut score, mut end, mut at) = (0.0, 0, start);
    let mut left = term;
    while let Some(next) = left.first() {
        at += text.get(at..)?.iter().position(|c| c == next)?;
        let run = left.iter().zip(text.get(at..)?).take_while(|(a, b)| a == b).count();
        score += (run * run) as f64 - (at - end) as f64 * part;
        at += run;
        end = at;
        left = left.get(run..)?;
    }
    Some(score - (text.len() - end) as f64 * part * 0.5)
}
