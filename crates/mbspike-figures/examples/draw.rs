//! Draws the figures and writes the report of a folder of results, without a tensor library:
//!
//! ```text
//! cargo run --release -p mbspike-figures --example draw -- runs/quickstart
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::PathBuf;

use mbspike_figures::figure::draw_all;
use mbspike_figures::report::{HTML_FILE, Report};
use mbspike_results::TargetOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("which folder of results?")?;
    let folder = PathBuf::from(folder);
    for file in draw_all(&folder, &TargetOptions::default(), None)? {
        println!("{}", file.display());
    }
    let page = folder.join(HTML_FILE);
    Report::read(&folder, None, None)?.write_html(&page)?;
    println!("{}", page.display());
    Ok(())
}
