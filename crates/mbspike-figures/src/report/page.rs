//! What a page consists of.

use crate::figure::Figure;

/// A page.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// One for each folder of runs.
    pub sections: Vec<Section>,
    /// The neuron that all of them share.
    pub neuron: Vec<Captioned>,
}

/// What is to be said of one folder of runs.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub name: String,
    pub parts: Vec<Part>,
}

/// A part of a section, under a heading of its own.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub title: &'static str,
    pub blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
pub(super) enum Block {
    /// What the runs come to.
    Conclusion(String),
    /// Every run, with a link to its folder.
    Runs(Vec<RunRow>),
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

/// A run that is over.
#[derive(Debug, Clone)]
pub(super) struct RunRow {
    /// Its folder, as seen from the folder that the report is of.
    pub folder: String,
    /// Its name.
    pub id: String,
    /// What is said of it, by [`RUN_HEAD`].
    pub cells: Vec<String>,
}

/// Heads of the table of runs.
pub(super) const RUN_HEAD: [&str; 6] =
    ["run", "point", "test accuracy (%)", "best (%)", "epochs", "time (s)"];

/// Cells in rows; the first of a row names it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub caption: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Whether the cells are numbers, which stand to the right.
    pub is_numeric: bool,
}

/// A figure with what is to be known about it.
#[derive(Debug, Clone)]
pub(super) struct Captioned {
    pub figure: Figure,
    /// Name of the figure's file in the Markdown text, without extension.
    pub file_stem: String,
    pub caption: String,
}

impl Page {
    /// The title: the experiments' names, or how many there are.
    pub fn title(&self) -> String {
        let names: Vec<&str> = self.sections.iter().map(|section| section.name.as_str()).collect();
        if names.len() <= 3 { names.join(", ") } else { format!("{} experiments", names.len()) }
    }

    /// The figures, in the order of the page.
    pub fn captioned(&self) -> impl Iterator<Item = &Captioned> {
        let blocks = self.sections.iter().flat_map(|s| &s.parts).flat_map(|part| &part.blocks);
        let figures = blocks.filter_map(|block| match block {
            Block::Figures(figures) => Some(figures),
            _ => None,
        });
        figures.flatten().chain(&self.neuron)
    }

    pub fn is_single(&self) -> bool {
        self.sections.len() == 1
    }
}

/// The same text with a capital at its start and a stop at its end.
pub(super) fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(rest).chain(std::iter::once('.')).collect()
}
