//! The sheet a figure is drawn on: plotters writes SVG, resvg makes the PNG of it, both with the
//! font that is embedded here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, SVGBackend};
use resvg::{tiny_skia, usvg};

use super::error::{Error, Result};
use super::style::{FONTS, PAPER, PNG_DPI, register_fonts, units};

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
        Ok(Self { name: name.to_owned(), title: title.to_owned(), width_in: width, svg })
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

    /// The figure as SVG, without an XML declaration, so that it can be pasted into HTML.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The figure as PNG, 300 pixels an inch.
    pub fn png(&self) -> Result<Vec<u8>> {
        let error = |reason: String| Error::Draw { figure: self.name.clone(), reason };
        let options =
            usvg::Options { fontdb: Arc::clone(&FONTS), dpi: PNG_DPI, ..Default::default() };
        let tree = usvg::Tree::from_str(&self.svg, &options).map_err(|e| error(e.to_string()))?;
        let size = tree.size().to_int_size();
        let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
            .ok_or_else(|| error(format!("{}x{} pixels", size.width(), size.height())))?;
        resvg::render(&tree, tiny_skia::Transform::identity(), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| error(e.to_string()))
    }

    /// Writes `<name>.svg` and `<name>.png` into the folder, which must exist, and returns their
    /// paths. Each is there whole or not at all, however many write it at once.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        let svg = folder.join(format!("{}.svg", self.name));
        let png = folder.join(format!("{}.png", self.name));
        write(&svg, self.svg.as_bytes())?;
        write(&png, &self.png()?)?;
        Ok([svg, png])
    }

    /// Writes the figure to one file, as PNG or, if its name ends so, as SVG.
    pub fn save_as(&self, path: &Path) -> Result<()> {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) {
            write(path, self.svg.as_bytes())
        } else {
            write(path, &self.png()?)
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(mbspike_files::write(path, |file| file.write_all(bytes))?)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
