//! A line of text with a part of it pointed at.

use std::ops::Range;

/// The most characters of a line that are shown.
const WIDTH: usize = 120;
/// Characters before the part pointed at that stay in a line that is cut.
const BEFORE: usize = 40;

/// `line` and below it carets under the bytes `span`, at least one. A long line is cut around them, and
/// control characters are replaced.
///
/// ```
/// let (line, carets) = mbspike_lif::excerpt("28x28-8c5-3a-10o", 10..12);
/// assert_eq!(line, "28x28-8c5-3a-10o");
/// assert_eq!(carets, "          ^^");
/// ```
pub fn excerpt(line: &str, span: Range<usize>) -> (String, String) {
    let n_chars = |end: usize| {
        let end = (0..=end.min(line.len())).rev().find(|&end| line.is_char_boundary(end));
        line[..end.unwrap_or(0)].chars().count()
    };
    let (start, end) = (n_chars(span.start), n_chars(span.end.max(span.start)));
    let n = line.chars().count();
    let (first, last) = if n <= WIDTH {
        (0, n)
    } else {
        let first = start.saturating_sub(BEFORE);
        (first, (first + WIDTH).min(n))
    };
    let shown = line.chars().skip(first).take(last - first);
    let mut text: String = shown
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect();
    let (is_cut_before, is_cut_after) = (first > 0, last < n);
    if is_cut_before {
        text.insert(0, '…');
    }
    if is_cut_after {
        text.push('…');
    }
    let indent = start - first + usize::from(is_cut_before);
    let n_carets = end.min(last).saturating_sub(start).max(1);
    (text, format!("{}{}", " ".repeat(indent), "^".repeat(n_carets)))
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn carets_stand_below_the_part_in_characters() {
        assert_eq!(excerpt("äöü = 1", 4..6), ("äöü = 1".into(), "  ^".into()));
        // A part that begins inside a character has all of it.
        assert_eq!(excerpt("äöü = 1", 3..6), ("äöü = 1".into(), " ^^".into()));
        assert_eq!(excerpt("a = ", 4..4), ("a = ".into(), "    ^".into()));
        assert_eq!(excerpt("a\u{1b}\tb", 9..99), ("a\u{fffd} b".into(), "    ^".into()));
        assert_eq!(excerpt("", 0..0), (String::new(), "^".into()));
    }

    #[test]
    fn a_line_of_any_length_is_shown_around_the_part() {
        let line = "x".repeat(200_000);
        let (text, carets) = excerpt(&line, 100_000..170_000);
        assert!(text.chars().count() == 122 && text.starts_with("…x") && text.ends_with("x…"));
        assert!(carets.len() == 121 && carets.ends_with('^') && carets.find('^') == Some(41));
        let (text, carets) = excerpt(&line, 199_990..199_999);
        assert!(text.ends_with('x') && carets.ends_with("^^^^^^^^^"), "{text}\n{carets}");
    }
}
