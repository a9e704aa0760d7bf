//! Sizes, colours and fonts.
//!
//! One column of a paper is 3.3 inches, so text is 7 to 8 points at that width. Series in an order, as
//! bit widths, have colours of viridis, whose lightness falls in order; up to four, and categories, have
//! those of Okabe & Ito (2008), which are told apart with every kind of colour vision.

use std::sync::{Arc, LazyLock};

use plotters::style::{Color, FontDesc, FontStyle, IntoFont, RGBColor, TextStyle, register_font};
use resvg::usvg;

/// Width of one column of a paper, in inches.
pub(super) const COLUMN_IN: f64 = 3.3;
/// Width of a page's two columns, in inches.
pub(super) const PAGE_IN: f64 = 6.9;

/// The drawing's coordinates are thousandths of an inch: whole numbers, as plotters wants, and
/// still fine enough for smooth curves.
pub(super) const UNITS_PER_INCH: f64 = 1000.0;
pub(super) const PNG_DPI: f32 = 300.0;

/// The embedded font first, then fonts of about its width, for a browser that lacks it.
pub(super) const FONT_FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";
pub(super) const AXIS_PT: f64 = 8.0;
pub(super) const TICK_PT: f64 = 7.0;
pub(super) const TITLE_PT: f64 = 7.5;
pub(super) const LEGEND_PT: f64 = 7.0;
/// From one line of a text to the next, in sizes of its font.
pub(super) const LINE_HEIGHT: f64 = 1.25;

/// Widths of lines, in points.
pub(super) const LINE: f64 = 1.2;
pub(super) const HAIRLINE: f64 = 0.7;

pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const GRID: RGBColor = RGBColor(226, 226, 226);
pub(super) const MUTED: RGBColor = RGBColor(110, 110, 110);
/// How much of a confidence band's colour covers what is below.
pub(super) const BAND_ALPHA: f64 = 0.18;
/// Points drawn of one line at most: more than a column's pixels show nothing new.
pub(super) const MAX_POINTS: usize = 500;

/// Blue, vermilion, bluish green, reddish purple, orange, sky blue; yellow, which white paper swallows,
/// is left out.
pub(super) const OKABE_ITO: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
/// Series in an order up to which they have colours that differ in hue as well.
const FEW: usize = 4;
/// Viridis at even distances, without its yellow end, which white paper swallows.
pub(super) const VIRIDIS: [RGBColor; 8] = [
    RGBColor(68, 1, 84),
    RGBColor(70, 44, 123),
    RGBColor(58, 82, 139),
    RGBColor(44, 114, 142),
    RGBColor(33, 145, 140),
    RGBColor(40, 174, 128),
    RGBColor(94, 201, 98),
    RGBColor(173, 214, 46),
];

static REGULAR: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-Bold.ttf");

/// Fonts for the PNG: only the embedded ones, so that every machine makes the same picture.
pub(super) static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(BOLD.to_vec());
    Arc::new(fonts)
});

/// Makes the embedded fonts known to plotters, which measures text with them.
pub(super) fn register_fonts() -> bool {
    static REGISTERED: LazyLock<bool> = LazyLock::new(|| {
        register_font(FONT_FAMILY, FontStyle::Normal, REGULAR).is_ok()
            && register_font(FONT_FAMILY, FontStyle::Bold, BOLD).is_ok()
    });
    *REGISTERED
}

/// Inches in the units of the drawing.
pub(super) fn units(inches: f64) -> i32 {
    (inches * UNITS_PER_INCH).round() as i32
}

/// Points (1/72 inch) in the units of the drawing.
pub(super) fn pt(points: f64) -> i32 {
    units(points / 72.0)
}

/// Whether series come in an order, as bit widths do, or are of different kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Series {
    Ordered,
    Kinds,
}

impl Series {
    /// Colour `i` of `n` series.
    pub fn colour(self, i: usize, n: usize) -> RGBColor {
        match self {
            Self::Ordered if n > FEW => viridis(i as f64 / (n - 1) as f64),
            _ => OKABE_ITO[i % OKABE_ITO.len()],
        }
    }

    /// Dash and gap in points of the line of series `i`, where another before it has its colour.
    pub fn dash(self, i: usize) -> Option<(f64, f64)> {
        match (self, i / OKABE_ITO.len() % 3) {
            (Self::Ordered, _) | (Self::Kinds, 0) => None,
            (Self::Kinds, 1) => Some((4.0, 2.5)),
            (Self::Kinds, _) => Some((1.2, 1.8)),
        }
    }
}

/// The colour at a place of viridis, in `0..=1`.
pub(super) fn viridis(share: f64) -> RGBColor {
    let position = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    let (a, b) = (VIRIDIS[low.min(7)], VIRIDIS[high.min(7)]);
    let mix = |a: u8, b: u8| {
        (f64::from(a) + (f64::from(b) - f64::from(a)) * position.fract()).round() as u8
    };
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Inks on grounds of colour. On dark paper, where all such are light, both are dark.
const DARK_INK: RGBColor = RGBColor(33, 33, 33);
const LIGHT_INK: RGBColor = RGBColor(254, 254, 254);

/// The ink that is read best on a colour.
pub(super) fn ink_on(ground: RGBColor) -> RGBColor {
    let RGBColor(r, g, b) = ground;
    let luma = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    if luma > 140.0 { DARK_INK } else { LIGHT_INK }
}

/// Paper where the page is dark.
const DARK_PAPER: (u8, u8, u8) = (22, 24, 29);

/// What a colour is on dark paper: paper and ink change places, colours of data become lighter.
pub(super) fn on_dark((r, g, b): (u8, u8, u8)) -> (u8, u8, u8) {
    let grey = |level: u8| (level, level, level);
    match RGBColor(r, g, b) {
        PAPER | DARK_INK | LIGHT_INK => DARK_PAPER,
        INK => grey(230),
        GRID => grey(58),
        MUTED => grey(160),
        _ => {
            // The same hue, of a lightness that is at least the half.
            let [r, g, b] = [r, g, b].map(|level| f64::from(level) / 255.0);
            let (most, least) = (r.max(g).max(b), r.min(g).min(b));
            let lightness = f64::midpoint(most, least);
            let wanted = 0.45 + 0.45 * lightness;
            let scale = |level: f64| {
                let lighter = if lightness >= 1.0 {
                    level
                } else {
                    1.0 - (1.0 - level) * (1.0 - wanted) / (1.0 - lightness)
                };
                (255.0 * lighter.clamp(0.0, 1.0)).round() as u8
            };
            (scale(r), scale(g), scale(b))
        }
    }
}

fn font(points: f64, style: FontStyle) -> FontDesc<'static> {
    // plotters writes an SVG font size of its own size divided by 1.24.
    let size = points / 72.0 * UNITS_PER_INCH * 1.24;
    (FONT_FAMILY, size).into_font().style(style)
}

/// Plain text of the given size in points.
pub(super) fn text(points: f64) -> TextStyle<'static> {
    font(points, FontStyle::Normal).color(&INK.to_rgba())
}

/// Bold text of the given size in points.
pub(super) fn bold_text(points: f64) -> TextStyle<'static> {
    font(points, FontStyle::Bold).color(&INK.to_rgba())
}

/// Width of a text, in units of the drawing.
pub(super) fn text_width(text: &str, points: f64) -> i32 {
    width_of(text, points, FontStyle::Normal)
}

/// Width of a bold text, in units of the drawing.
pub(super) fn bold_width(text: &str, points: f64) -> i32 {
    width_of(text, points, FontStyle::Bold)
}

fn width_of(text: &str, points: f64, style: FontStyle) -> i32 {
    let measured = register_fonts()
        .then(|| font(points, style).box_size(text).ok())
        .flatten()
        .map(|(width, _)| width as i32);
    measured.unwrap_or_else(|| pt(text.chars().count() as f64 * points * 0.6))
}

/// A text in lines that are no wider than `width`, broken between words, and within those that are wider.
pub(super) fn wrapped(text: &str, points: f64, width: i32) -> Vec<String> {
    // Bold is the wider one, so that either fits.
    let fits = |line: &str| bold_width(line, points) <= width;
    let mut lines: Vec<String> = vec![];
    for word in text.split(' ') {
        let joined = lines.last().map(|line| format!("{line} {word}"));
        match (joined, lines.last_mut()) {
            (Some(joined), Some(line)) if fits(&joined) => *line = joined,
            _ => {
                let mut piece = String::new();
                for c in word.chars() {
                    if !piece.is_empty() && !fits(&format!("{piece}{c}")) {
                        lines.push(std::mem::take(&mut piece));
                    }
                    piece.push(c);
                }
                lines.push(piece);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_nothing_of_it_is_lost() {
        let width = pt(60.0);
        let text = "the optimizer's learning rate 0.002, quantizationawaretraining";
        let lines = wrapped(text, TICK_PT, width);
        assert!(lines.len() > 2 && lines.iter().all(|line| text_width(line, TICK_PT) <= width));
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert_eq!(wrapped("", TICK_PT, width), [""]);
    }

    #[test]
    fn colours_stand_out_from_dark_paper_and_keep_their_order() {
        let luma =
            |(r, g, b): (u8, u8, u8)| 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
        let of = |RGBColor(r, g, b): RGBColor| luma(on_dark((r, g, b)));
        for colour in OKABE_ITO.into_iter().chain(VIRIDIS).chain([INK, MUTED]) {
            assert!(of(colour) > 90_000, "{colour:?}");
        }
        let lumas: Vec<u32> = VIRIDIS.into_iter().map(of).collect();
        assert!(lumas.is_sorted(), "{lumas:?}");
    }

    #[test]
    fn no_two_of_sixteen_series_are_drawn_alike() {
        for series in [Series::Ordered, Series::Kinds] {
            for n in [2, 8, 16] {
                let looks = (0..n).map(|i| {
                    (format!("{:?}", series.colour(i, n)), format!("{:?}", series.dash(i)))
                });
                let mut looks: Vec<_> = looks.collect();
                looks.sort();
                looks.dedup();
                assert_eq!(looks.len(), n, "{series:?} {n}");
            }
        }
    }
}
