//! Sizes, colours and fonts.
//!
//! One column of a paper is 3.3 inches, so text is 7 to 8 points at that width. Up to four series have
//! the colours of Okabe & Ito (2008), which are told apart with every kind of colour vision; more, as
//! eight bit widths, have colours of viridis, whose lightness falls in order.

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

/// Blue, vermilion, bluish green, reddish purple.
pub(super) const OKABE_ITO: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
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

/// Colour `i` of `n` series.
pub(super) fn colour(i: usize, n: usize) -> RGBColor {
    if n <= OKABE_ITO.len() {
        return OKABE_ITO[i % OKABE_ITO.len()];
    }
    let position = i as f64 / (n - 1) as f64 * (VIRIDIS.len() - 1) as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    let (a, b) = (VIRIDIS[low.min(7)], VIRIDIS[high.min(7)]);
    let mix = |a: u8, b: u8| {
        (f64::from(a) + (f64::from(b) - f64::from(a)) * position.fract()).round() as u8
    };
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
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
    let measured = register_fonts()
        .then(|| font(points, FontStyle::Normal).box_size(text).ok())
        .flatten()
        .map(|(width, _)| width as i32);
    measured.unwrap_or_else(|| pt(text.chars().count() as f64 * points * 0.6))
}
