//! The sheet a figure is drawn on: plotters writes SVG, resvg makes the PNG of it, both with the
//! font that is embedded here.
//!
//! A figure is drawn once, in ink on white paper. Its SVG turns dark where the page that shows it is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, SVGBackend};
use resvg::{tiny_skia, usvg};

use super::error::{Error, Result};
use super::hover::Hover;
use super::style::{FONTS, PAPER, PNG_DPI, on_dark, register_fonts, units};

/// The area that plotters draws on.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing may end with.
pub(super) type DrawResult<T> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// A finished figure.
#[derive(Debug, Clone)]
pub struct Figure {
    name: String,
    title: String,
    width_in: f64,
    svg: String,
    hover: Vec<Hover>,
}

/// What a figure is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Ink on white paper.
    Light,
    /// Light on a dark page.
    Dark,
}

impl Figure {
    /// Draws a figure of the given size in inches. `name` is its file name without extension,
    /// `title` says what it shows to those who cannot see it.
    pub(super) fn draw(
        name: &str,
        title: &str,
        size_in: (f64, f64),
        draw: impl FnOnce(&Area<'_>) -> DrawResult<()>,
    ) -> Result<Self> {
        let error = |reason: String| Error::Draw { figure: name.to_owned(), reason };
        if !register_fonts() {
            return Err(error("the embedded font cannot be read".to_owned()));
        }
        let size = (units(size_in.0) as u32, units(size_in.1) as u32);
        let mut body = String::new();
        {
            let area = SVGBackend::with_string(&mut body, size).into_drawing_area();
            area.fill(&PAPER)
                .and_then(|()| draw(&area))
                .and_then(|()| area.present())
                .map_err(|e| error(e.to_string()))?;
        }
        // The root element is written anew: a physical size, a title, and no fixed pixel size, so
        // that the SVG can stand alone or inside a page, where it shrinks with its column.
        let inner = body.split_once('>').map_or("", |(_, inner)| inner);
        let (width, height) = size_in;
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}in\" height=\"{height}in\" \
             viewBox=\"0 0 {} {}\" role=\"img\" stroke-linejoin=\"round\" \
             style=\"max-width:100%;height:auto\">\n<title>{}</title>{inner}",
            size.0,
            size.1,
            escape(title),
        );
        let hover = vec![];
        Ok(Self { name: name.to_owned(), title: title.to_owned(), width_in: width, svg, hover })
    }

    /// The same with values to show under the pointer.
    pub(super) fn with_hover(self, hover: Vec<Hover>) -> Self {
        Self { hover, ..self }
    }

    /// The values to show under the pointer, where there are any.
    pub(crate) fn hover(&self) -> &[Hover] {
        &self.hover
    }

    /// File name without extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it shows, in words.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Width in inches.
    pub fn width_in(&self) -> f64 {
        self.width_in
    }

    /// The figure as SVG, without an XML declaration, so that it can be pasted into HTML. Its colours
    /// follow the page: light, and dark on a screen that is set so.
    pub fn svg(&self) -> String {
        let rules = colours(&self.svg).into_iter().fold(String::new(), |mut rules, colour| {
            let dark = dark_of(&colour);
            // Writing to a string cannot fail.
            let _ = write!(rules, "[fill=\"{colour}\"]{{fill:{dark}}}");
            let _ = write!(rules, "[stroke=\"{colour}\"]{{stroke:{dark}}}");
            rules
        });
        let style =
            format!("<style>@media screen and (prefers-color-scheme:dark){{{rules}}}</style>");
        self.svg.replacen("</title>", &format!("</title>{style}"), 1)
    }

    /// The figure as PNG, 300 pixels an inch.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.png_for(Theme::Light)
    }

    /// The same for a light or a dark page.
    pub fn png_for(&self, theme: Theme) -> Result<Vec<u8>> {
        let error = |reason: String| Error::Draw { figure: self.name.clone(), reason };
        let tree = self.tree(theme)?;
        let size = tree.size().to_int_size();
        let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
            .ok_or_else(|| error(format!("{}x{} pixels", size.width(), size.height())))?;
        resvg::render(&tree, tiny_skia::Transform::identity(), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| error(e.to_string()))
    }

    /// What resvg draws, with all places of texts.
    pub(super) fn tree(&self, theme: Theme) -> Result<usvg::Tree> {
        let mut svg = self.svg.clone();
        if theme == Theme::Dark {
            for colour in colours(&self.svg) {
                // Quotes are a part of what is replaced, so that nothing is replaced twice.
                let dark = format!("\"{}\" ", dark_of(&colour));
                svg = svg.replace(&format!("\"{colour}\""), &dark);
            }
        }
        let options =
            usvg::Options { fontdb: Arc::clone(&FONTS), dpi: PNG_DPI, ..Default::default() };
        let error = |reason: String| Error::Draw { figure: self.name.clone(), reason };
        usvg::Tree::from_str(&svg, &options).map_err(|e| error(e.to_string()))
    }

    /// What is wrong with the texts of the figure: those that reach beyond its edges, and pairs that lie
    /// on each other. Empty for every figure; tests ask for it.
    ///
    /// # Errors
    /// If the figure cannot be read back.
    pub fn text_faults(&self) -> Result<Vec<String>> {
        let tree = self.tree(Theme::Light)?;
        let mut texts = Vec::new();
        collect_texts(tree.root(), &mut texts);
        let (width, height) = (tree.size().width(), tree.size().height());
        let mut faults = Vec::new();
        for (i, (text, place)) in texts.iter().enumerate() {
            // Boxes of texts have room above and below the letters.
            let slack = 0.2 * place.height().min(place.width());
            let is_inside = place.left() >= 0.0
                && place.top() + slack >= 0.0
                && place.right() <= width
                && place.bottom() - slack <= height;
            if !is_inside {
                faults.push(format!("cut: {text}"));
            }
            let touches = |other: &usvg::Rect| {
                place.left() < other.right()
                    && other.left() < place.right()
                    && place.top() + slack < other.bottom() - slack
                    && other.top() + slack < place.bottom() - slack
            };
            let others = texts[..i].iter().filter(|(_, other)| touches(other));
            faults.extend(others.map(|(other, _)| format!("touch: {text} and {other}")));
        }
        Ok(faults)
    }

    /// Writes `<name>.svg` and `<name>.png` into the folder, which must exist, and returns their
    /// paths. Each is there whole or not at all, however many write it at once.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        let svg = folder.join(format!("{}.svg", self.name));
        let png = folder.join(format!("{}.png", self.name));
        write(&svg, self.svg().as_bytes())?;
        write(&png, &self.png()?)?;
        Ok([svg, png])
    }

    /// Writes the figure to one file, as PNG or, if its name ends so, as SVG.
    pub fn save_as(&self, path: &Path) -> Result<()> {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) {
            write(path, self.svg().as_bytes())
        } else {
            write(path, &self.png()?)
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(mbspike_files::write(path, |file| file.write_all(bytes))?)
}

/// The colours in an SVG, as plotters writes them: `#RRGGBB`.
fn colours(svg: &str) -> BTreeSet<String> {
    let starts = svg.match_indices("\"#").filter_map(|(at, _)| svg.get(at + 1..at + 8));
    let is_colour = |text: &&str| text[1..].bytes().all(|b| b.is_ascii_hexdigit());
    starts.filter(is_colour).map(str::to_owned).collect()
}

/// All texts below a group, with their places.
fn collect_texts(group: &usvg::Group, texts: &mut Vec<(String, usvg::Rect)>) {
    for node in group.children() {
        match node {
            usvg::Node::Group(group) => collect_texts(group, texts),
            usvg::Node::Text(text) => {
                let words = text.chunks().iter().map(usvg::TextChunk::text).collect();
                texts.push((words, text.abs_bounding_box()));
            }
            _ => {}
        }
    }
}

fn dark_of(colour: &str) -> String {
    let level = |at: usize| u8::from_str_radix(&colour[at..at + 2], 16).unwrap_or(0);
    let (r, g, b) = on_dark((level(1), level(3), level(5)));
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
