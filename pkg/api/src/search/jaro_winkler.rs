//! The similarity of Jaro and Winkler: characters that both have at about the same place, less those out of order, more for
//! the same begin.

/// How much each of the first characters that agree counts.
const PREFIX_WEIGHT: f64 = 0.1;
const PREFIX_MAX: usize = 4;

/// 1 for equal texts, 0 for those that have nothing in common.
pub(super) fn score(a: &[char], b: &[char]) -> f64 {
    if a == b {
        return 1.0;
    }
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() {
        return 0.0;
    }
    let reach = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut matched = Vec::with_capacity(short.len());
    for (at, c) in short.iter().enumerate() {
        let places = at.saturating_sub(reach)..(at + reach + 1).min(long.len());
        let mut found = places.filter(|place| long.get(*place) == Some(c) && taken.get(*place) == Some(&false));
        if let Some(place) = found.next()
            && let Some(taken) = taken.get_mut(place)
        {
            *taken = true;
            matched.push(*c);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let in_long = long.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let moved = matched.iter().zip(in_long).filter(|(a, b)| a != b).count() as f64;
    let matches = matched.len() as f64;
    let jaro = (matches / short.len() as f64 + matches / long.len() as f64 + (matches - moved * 0.5) / matches) / 3.0;
    let prefix = short.iter().zip(long).take(PREFIX_MAX).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * PREFIX_WEIGHT * (1.0 - jaro)
}
