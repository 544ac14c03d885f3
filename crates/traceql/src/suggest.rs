//! The name that a misspelt one was perhaps meant to be.

/// No name of the language is as long.
const WORD_CHARACTERS_MAX: usize = 32;

/// The nearest of some names, if it is near enough to be what was meant.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    if word.len() > WORD_CHARACTERS_MAX {
        return None;
    }
    let near = names.into_iter().map(|name| {
        let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
        let longer = letters.starts_with(&word) && word.len() >= 3;
        (if longer { 1 } else { distance(&word, &letters) }, name)
    });
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len() / 3).max(1) && word.len() > 1).then_some(name)
}

/// How many letters have to be added, left out, exchanged or swapped with the next.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let exchanged = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                let swapped =
                    i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
                let swapped = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                exchanged.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[left.len()][right.len()]
}
