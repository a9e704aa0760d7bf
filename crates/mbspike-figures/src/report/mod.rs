//! A folder of runs as one page, from saved records alone: what was run and how it ended, results
//! with 95 % intervals, reference values beside them, figures, energy, config and environment.
//!
//! [`Report::read`] takes a folder of runs, or a folder of such folders, which then are the sections
//! of one page. [`Report::html`] is a page that needs nothing but itself, [`Report::markdown`] a text
//! that links to its [figures](Report::figures).

mod error;
mod html;
mod markdown;
mod page;
mod read;
mod section;
mod tables;

pub use error::Error;
pub use read::{HTML_FILE, MARKDOWN_FILE, Report};
