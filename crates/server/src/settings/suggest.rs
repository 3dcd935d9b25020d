//! What somebody may have meant who wrote a key that does not exist.

use super::rows::GROUPS;
use super::table::{Row, split_words};

/// The three keys nearest to `key` among those of the group, by edit distance; ties go to the one declared first.
pub(super) fn nearest(key: &str, group: &str) -> Vec<String> {
    let rows = GROUPS.iter().filter(|candidate| candidate.name == group).flat_map(|candidate| candidate.rows);
    let mut found: Vec<(usize, String)> = rows
        .map(|row| {
            let candidate = filled_in(row, key);
            (distance(key, &candidate), candidate)
        })
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// The row's key with the user's words in place of the free ones, where both have the same number of words.
fn filled_in(row: &Row, key: &str) -> String {
    let words: Vec<&str> = split_words(key).collect();
    let mine: Vec<&str> = row.key.split('.').collect();
    if words.len() != mine.len() {
        return row.key.to_owned();
    }
    let filled: Vec<&str> = mine
        .iter()
        .zip(&words)
        .map(|(mine, word)| if mine.starts_with('$') { *word } else { *mine })
        .collect();
    filled.join(".")
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    // A key of many thousand letters is no slip of the pen; its length says enough.
    if a.len() > 256 {
        return a.len();
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_key_first() {
        assert_eq!(nearest("cluster.autohael", "core")[0], "cluster.autoheal");
        assert_eq!(
            nearest("listener.tcp.external.max_conections", "core")[0],
            "listener.tcp.external.max_connections"
        );
        assert_eq!(nearest("x", "core").len(), 3);
    }
}
