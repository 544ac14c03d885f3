//! The name that a misspelt one was perhaps meant to be.

/// No name of the language is as long.
const WORD_CHARACTERS_MAX: usize = 48;

/// The nearest of some names, if it is near enough to be what was meant.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    if word.len() < 2 || word.len() > WORD_CHARACTERS_MAX {
        return None;
    }
    let near = names.into_iter().map(|name| {
        let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
        let longer = word.len() >= 3 && letters.starts_with(&word);
        (if longer { 1 } else { distance(&word, &letters) }, name)
    });
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len() / 3).max(1)).then_some(name)
}

/// How many letters have to be added, left out or exchanged; two that changed places count once.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut two_above: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut least = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *b && right[j - 1] == *a {
                least = least.min(two_above[j - 1] + 1);
            }
            row.push(least);
        }
        two_above = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}
