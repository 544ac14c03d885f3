//! The name that a misspelt one was perhaps meant to be.

/// No name of a configuration is as long.
const WORD_CHARACTERS_MAX: usize = 64;

/// The nearest of some names, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = letters(word);
    if word.len() < 2 || word.len() > WORD_CHARACTERS_MAX {
        return None;
    }
    let near = names
        .into_iter()
        .map(letters_and_name)
        .filter(|(letters, _)| !letters.is_empty() && letters.len() <= WORD_CHARACTERS_MAX);
    let near = near.map(|(letters, name)| {
        let is_start = word.len() >= 3 && letters.starts_with(&word);
        (if is_start { 1 } else { distance(&word, &letters) }, name)
    });
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len() / 3).max(1)).then_some(name)
}

/// Underscores, hyphens and dots are the same to whoever misspells.
fn letters(name: &str) -> Vec<char> {
    let lower = name.chars().flat_map(char::to_lowercase);
    lower.filter(|letter| !matches!(letter, '_' | '-' | '.' | ' ')).collect()
}

fn letters_and_name(name: &str) -> (Vec<char>, &str) {
    (letters(name), name)
}

/// How many letters have to be added, left out, exchanged or swapped with the next.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, letter) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in right.iter().enumerate() {
            let exchanged = last[j] + usize::from(letter != other);
            let is_swapped = i > 0 && j > 0 && left[i - 1] == *other && right[j - 1] == *letter;
            let swapped = if is_swapped { before_last[j - 1] + 1 } else { usize::MAX };
            row.push(exchanged.min(swapped).min(last[j + 1] + 1).min(row[j] + 1));
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}
