//! A report as Markdown: tables and links to figures.

use std::fmt::Write as _;

use super::page::{Block, Captioned, Page, RUN_HEAD, RunRow, Table};

/// The text; `figures` is the folder of its figures, as seen from where the text will be.
pub(super) fn text(page: &Page, figures: &str) -> String {
    let single = page.is_single();
    let mut text = format!("# {}\n", escape(&page.title()));
    for section in &page.sections {
        let level = if single { "##" } else { "###" };
        if !single {
            let _ = write!(text, "\n## {}\n", escape(&section.name));
        }
        for part in &section.parts {
            let _ = write!(text, "\n{level} {}\n", part.title);
            for block in &part.blocks {
                text.push('\n');
                match block {
                    Block::Conclusion(conclusion) => {
                        let _ = writeln!(text, "{}", escape(conclusion));
                    }
                    Block::Runs(runs) => push_table(&mut text, &table_of(runs)),
                    Block::Notes(notes) => {
                        text.extend(notes.iter().map(|note| format!("* {}\n", escape(note))));
                    }
                    Block::Table(table) => push_table(&mut text, table),
                    Block::Figures(all) => push_figures(&mut text, all, figures),
                    Block::Code { caption, text: code } => {
                        let _ = write!(text, "{}\n\n```toml\n{}```\n", escape(caption), code);
                    }
                }
            }
        }
    }
    if !page.neuron.is_empty() {
        text.push_str("\n## The neuron\n\n");
        push_figures(&mut text, &page.neuron, figures);
    }
    text
}

fn table_of(runs: &[RunRow]) -> Table {
    let row = |run: &RunRow| std::iter::once(run.id.clone()).chain(run.cells.clone()).collect();
    Table {
        caption: "Every run.".to_owned(),
        head: RUN_HEAD.map(str::to_owned).to_vec(),
        rows: runs.iter().map(row).collect(),
        is_numeric: true,
    }
}

fn push_table(text: &mut String, table: &Table) {
    let row = |cells: &[String]| {
        let cells = cells.iter().map(|cell| format!(" {} |", escape(cell)));
        format!("|{}\n", cells.collect::<String>())
    };
    let _ = write!(text, "{}\n\n", escape(&table.caption));
    text.push_str(&row(&table.head));
    let right = if table.is_numeric { "---:|" } else { "---|" };
    let _ = writeln!(text, "|---|{}", right.repeat(table.head.len().saturating_sub(1)));
    text.extend(table.rows.iter().map(|cells| row(cells)));
}

fn push_figures(text: &mut String, figures: &[Captioned], folder: &str) {
    for (i, Captioned { figure, file_stem, caption }) in figures.iter().enumerate() {
        let gap = if i == 0 { "" } else { "\n" };
        let title = escape(figure.title());
        let _ = write!(text, "{gap}![{title}]({folder}/{file_stem}.png)\n\n{}\n", escape(caption));
    }
}

/// Text whose characters stand for themselves.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if r"\`*_<>[]|#".contains(c) {
            escaped.push('\\');
        }
        if c == '\n' {
            escaped.push_str("<br>");
        } else {
            escaped.push(c);
        }
    }
    escaped
}
