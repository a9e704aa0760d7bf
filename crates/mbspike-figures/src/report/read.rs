//! A report from a folder.

use std::path::{Path, PathBuf};

use mbspike_results::files::{FIGURES_FOLDER, SUMMARY_FILE, SWEEP_FILE, sub_folders};
use mbspike_results::neuron::NeuronCurves;
use mbspike_results::{Lock, Reference};

use super::error::Error;
use super::page::{Captioned, Page, sentence};
use super::{html, markdown, section};
use crate::figure::{Figure, neuron_figures};

/// The page of a folder of runs, unless another place is asked for.
pub const HTML_FILE: &str = "report.html";
/// The Markdown text of a folder of runs, unless another place is asked for.
pub const MARKDOWN_FILE: &str = "report.md";

/// A page.
#[derive(Debug, Clone)]
pub struct Report {
    folder: PathBuf,
    page: Page,
}

impl Report {
    /// Reads `folder`: a folder of runs, or a folder of such folders. `reference` are numbers to set
    /// beside, in place of those that the config of a sweep names; `neuron` the curves of a neuron to draw.
    ///
    /// # Errors
    /// If there are no runs in it, or a record cannot be read.
    pub fn read(
        folder: &Path,
        reference: Option<&Reference>,
        neuron: Option<&NeuronCurves>,
    ) -> Result<Self, Error> {
        let mut folders = if is_sweep(folder)? { vec![folder.to_owned()] } else { vec![] };
        if folders.is_empty() {
            for entry in sub_folders(folder)? {
                if is_sweep(&entry)? {
                    folders.push(entry);
                }
            }
        }
        if folders.is_empty() {
            return Err(Error::NoRuns(folder.to_owned()));
        }
        let sections = folders.iter().map(|entry| {
            let inside = entry.strip_prefix(folder).unwrap_or(entry);
            section::read(entry, inside, reference)
        });
        let neuron = neuron.into_iter().flat_map(neuron_figures).map(|figure| {
            let figure = figure?;
            let (file_stem, caption) = (figure.name().to_owned(), sentence(figure.title()));
            Ok(Captioned { figure, file_stem, caption })
        });
        let page = Page {
            sections: sections.collect::<Result<_, Error>>()?,
            neuron: neuron.collect::<Result<_, Error>>()?,
        };
        Ok(Self { folder: folder.to_owned(), page })
    }

    /// The figures that the Markdown text links to, by their names without extension.
    pub fn figures(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.page.captioned().map(|captioned| (captioned.file_stem.as_str(), &captioned.figure))
    }

    /// The page, without links to the folders of runs.
    pub fn html(&self) -> String {
        html::page(&self.page, false)
    }

    /// The text; `figures` is the folder of its figures, as seen from where the text will be.
    pub fn markdown(&self, figures: &str) -> String {
        markdown::text(&self.page, figures)
    }

    /// Writes the page to `path`, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<(), Error> {
        let _lock = self.lock(path)?;
        let html = html::page(&self.page, self.is_inside(path));
        Ok(mbspike_files::write(path, |file| file.write_all(html.as_bytes()))?)
    }

    /// Whether a file lies in the folder that the report is of.
    fn is_inside(&self, path: &Path) -> bool {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize();
        let folder = self.folder.canonicalize();
        matches!((parent, folder), (Ok(parent), Ok(folder)) if parent == folder)
    }

    /// Writes the Markdown text to `path`, and its figures as PNG to the folder `figures` beside it.
    /// Returns the figures' files.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_markdown(&self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        let lock = self.lock(path)?;
        let into = path.with_file_name(FIGURES_FOLDER);
        fs_err::create_dir_all(&into)?;
        if lock.is_some() {
            mbspike_files::remove_partial(&into)?;
        }
        let mut files = Vec::new();
        for (file_stem, figure) in self.figures() {
            let file = into.join(format!("{file_stem}.png"));
            figure.save_as(&file)?;
            files.push(file);
        }
        let text = self.markdown(FIGURES_FOLDER);
        mbspike_files::write(path, |file| file.write_all(text.as_bytes()))?;
        Ok(files)
    }

    /// The lock of the folder of runs, if the page goes there; another folder is not ours to clear.
    fn lock(&self, path: &Path) -> Result<Option<Lock>, Error> {
        let is_there = path.parent().is_some_and(|parent| parent == self.folder);
        Ok(if is_there { Some(Lock::wait(&self.folder)?) } else { None })
    }
}

/// Whether a folder is one of runs.
fn is_sweep(folder: &Path) -> Result<bool, Error> {
    let has_run = || Ok(sub_folders(folder)?.iter().any(|run| run.join(SUMMARY_FILE).is_file()));
    if folder.join(SWEEP_FILE).is_file() { Ok(true) } else { has_run() }
}
