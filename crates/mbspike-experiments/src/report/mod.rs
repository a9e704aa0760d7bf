//! A folder of runs as one page, from saved results alone: what was run and how it ended, results
//! with 95 % intervals, the thesis's numbers beside them, figures, energy, config and environment.
//!
//! [`Report::read`] takes a folder of runs, or a folder of such folders, which then are the sections
//! of one page. [`Report::html`] is a page that needs nothing but itself, [`Report::markdown`] a text
//! that links to its [figures](Report::figures).

mod html;
mod markdown;
mod section;
mod tables;
mod thesis;

use std::path::{Path, PathBuf};

use crate::figure::{self, Figure};
use crate::results::SUMMARY_FILE;
use crate::run::SWEEP_FILE;
use crate::{energy, results, run, sweep};

/// The page of a folder of runs, unless another place is asked for.
pub const HTML_FILE: &str = "report.html";
/// The Markdown text of a folder of runs, unless another place is asked for.
pub const MARKDOWN_FILE: &str = "report.md";

/// What reporting can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to report on.
    #[error("{}: not a folder of runs (with a sweep.toml, or sub-folders with a summary.json), nor a folder of such", .0.display())]
    NoRuns(PathBuf),
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A config could not be read.
    #[error(transparent)]
    Config(#[from] sweep::Error),
    /// A run could not be read.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// A record could not be read.
    #[error(transparent)]
    Results(#[from] results::Error),
    /// Energy could not be estimated.
    #[error(transparent)]
    Energy(#[from] energy::Error),
    /// A figure could not be drawn.
    #[error(transparent)]
    Figure(#[from] figure::Error),
}

/// A page.
#[derive(Debug, Clone)]
pub struct Report {
    /// One for each folder of runs.
    sections: Vec<Section>,
    /// The neuron that all of them share.
    neuron: Vec<Captioned>,
}

/// What is to be said of one folder of runs.
#[derive(Debug, Clone)]
struct Section {
    name: String,
    parts: Vec<Part>,
}

/// A part of a section, under a heading of its own.
#[derive(Debug, Clone)]
struct Part {
    title: &'static str,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
enum Block {
    /// A list.
    Notes(Vec<String>),
    Table(Table),
    Figures(Vec<Captioned>),
    /// Text of a file.
    Code {
        caption: String,
        text: String,
    },
}

/// Cells in rows; the first of a row names it.
#[derive(Debug, Clone)]
struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Whether the cells are numbers, which stand to the right.
    is_numeric: bool,
}

/// A figure with what is to be known about it.
#[derive(Debug, Clone)]
struct Captioned {
    figure: Figure,
    /// Name of the figure's file in the Markdown text, without extension.
    file_stem: String,
    caption: String,
}

impl Report {
    /// Reads `folder`: a folder of runs, or a folder of such folders.
    ///
    /// # Errors
    /// If there are no runs in it, or a record cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
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
        let sections = folders.iter().map(|folder| section::read(folder));
        let neuron = figure::neuron_figures().into_iter().map(|figure| {
            let figure = figure?;
            let (file_stem, caption) = (figure.name().to_owned(), sentence(figure.title()));
            Ok(Captioned { figure, file_stem, caption })
        });
        Ok(Self {
            sections: sections.collect::<Result<_, Error>>()?,
            neuron: neuron.collect::<Result<_, figure::Error>>()?,
        })
    }

    /// The title: the experiments' names, or how many there are.
    fn title(&self) -> String {
        let names: Vec<&str> = self.sections.iter().map(|section| section.name.as_str()).collect();
        if names.len() <= 3 { names.join(", ") } else { format!("{} experiments", names.len()) }
    }

    /// The figures, in the order of the page.
    fn captioned(&self) -> impl Iterator<Item = &Captioned> {
        let blocks = self.sections.iter().flat_map(|s| &s.parts).flat_map(|part| &part.blocks);
        let figures = blocks.filter_map(|block| match block {
            Block::Figures(figures) => Some(figures),
            _ => None,
        });
        figures.flatten().chain(&self.neuron)
    }

    /// The figures that the Markdown text links to, by their names without extension.
    pub fn figures(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.captioned().map(|captioned| (captioned.file_stem.as_str(), &captioned.figure))
    }

    /// Writes the page to `path`, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<(), Error> {
        Ok(mbspike_files::write(path, |file| file.write_all(self.html().as_bytes()))?)
    }

    /// Writes the Markdown text to `path`, and its figures as PNG to the folder `figures` beside it.
    /// Returns the figures' files.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_markdown(&self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        let into = path.with_file_name("figures");
        fs_err::create_dir_all(&into)?;
        let mut files = Vec::new();
        for (file_stem, figure) in self.figures() {
            let file = into.join(format!("{file_stem}.png"));
            figure.save_as(&file)?;
            files.push(file);
        }
        mbspike_files::write(path, |file| file.write_all(self.markdown("figures").as_bytes()))?;
        Ok(files)
    }
}

/// Whether a folder is one of runs.
fn is_sweep(folder: &Path) -> Result<bool, Error> {
    let has_run = || Ok(sub_folders(folder)?.iter().any(|run| run.join(SUMMARY_FILE).is_file()));
    if folder.join(SWEEP_FILE).is_file() { Ok(true) } else { has_run() }
}

/// The folders in a folder, by name.
fn sub_folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut folders = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The same text with a capital at its start and a stop at its end.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(rest).chain(std::iter::once('.')).collect()
}
