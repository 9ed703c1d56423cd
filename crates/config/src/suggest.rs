//! "Did you mean": the known name nearest to a misspelt one.

/// The nearest of `known` within a third of the name's length (at least one edit), if there is any.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name: Vec<char> = name.chars().take(NAME_CHARS_MAX).map(|c| c.to_ascii_lowercase()).collect();
    let near_enough = (name.len() / 3).max(1);
    let ranked = known.iter().map(|candidate| (distance(&name, candidate), *candidate));
    ranked.filter(|(edits, _)| *edits <= near_enough).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap neighbours) between two names.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut edits = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(rows[i - 2][j - 2] + 1);
            }
            row.push(edits);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Longer names are cut: no known key is nearly as long, and the table grows with the product of both lengths.
const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typos_and_leaves_strangers_alone() {
        let known = ["trust_domain", "data_dir", "bind_port", "bind_address"];
        assert_eq!(nearest("trust_domian", &known), Some("trust_domain"));
        assert_eq!(nearest("TrustDomain", &known), Some("trust_domain"));
        assert_eq!(nearest("datadir", &known), Some("data_dir"));
        assert_eq!(nearest("bind_prot", &known), Some("bind_port"));
        assert_eq!(nearest("nonsense", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
