//! One file per command: what was typed in, a library's answer out.

pub mod bench;
pub mod data;
pub mod energy;
pub mod eval;
mod fetch;
mod frames;
pub mod info;
mod inspect;
pub mod migrate;
pub mod plot;
pub mod quantize;
pub mod report;
pub mod run;
pub mod simulate;

use std::io::Write;

/// The commit of this build, where `build.rs` could find it.
const COMMIT: Option<&str> = option_env!("MBSPIKE_COMMIT");

/// Prints JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, value)?;
    writeln!(stdout)?;
    Ok(())
}

/// Prints rows of cells in columns on stdout: the first column to the left, the others to the
/// right.
fn print_table(rows: &[Vec<String>]) -> anyhow::Result<()> {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..n_columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut stdout = std::io::stdout().lock();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> = cells
            .map(
                |(i, (cell, &width))| {
                    if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        writeln!(stdout, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}
