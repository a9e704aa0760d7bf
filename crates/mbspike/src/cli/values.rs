//! Values that are typed in.

pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected a whole number, at least 1".to_owned()),
    }
}

pub fn sensor(text: &str) -> Result<[usize; 2], String> {
    let sizes = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    match sizes {
        Some(sizes @ [height, width]) => match usize::checked_mul(height, width) {
            Some(1..=mbspike_data::MAX_PIXELS) => Ok(sizes),
            _ => Err(format!("expected 1 to {} pixels", mbspike_data::MAX_PIXELS)),
        },
        None => Err("expected height and width, as in 34x34".to_owned()),
    }
}

pub fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && f64::is_finite(seconds) => Ok(seconds),
        _ => Err("expected a number of seconds above 0".into()),
    }
}
