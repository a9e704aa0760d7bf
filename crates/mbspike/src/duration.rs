//! Times as they are said.

/// Seconds in the two largest units that it has: `45 s`, `12 min`, `2 h 10 min`, `3 d 4 h`.
pub fn text(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let two = |large: f64, small: f64, names: [&str; 2]| {
        let n = (seconds / small).round();
        let (whole, rest) = ((n * small / large).floor(), n % (large / small).round());
        if rest == 0.0 {
            format!("{whole} {}", names[0])
        } else {
            format!("{whole} {} {rest} {}", names[0], names[1])
        }
    };
    if seconds < 1.5 * MINUTE {
        format!("{:.0} s", seconds.max(0.0))
    } else if seconds < HOUR - MINUTE / 2.0 {
        format!("{:.0} min", seconds / MINUTE)
    } else if seconds < DAY - MINUTE / 2.0 {
        two(HOUR, MINUTE, ["h", "min"])
    } else {
        two(DAY, HOUR, ["d", "h"])
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn times_are_said_in_the_units_that_matter() {
        let cases = [
            (-1.0, "0 s"),
            (44.6, "45 s"),
            (100.0, "2 min"),
            (3599.0, "1 h"),
            (7800.0, "2 h 10 min"),
            (86_399.0, "1 d"),
            (270_000.0, "3 d 3 h"),
            (f64::NAN, "?"),
        ];
        for (seconds, said) in cases {
            assert_eq!(text(seconds), said, "{seconds}");
        }
    }
}
