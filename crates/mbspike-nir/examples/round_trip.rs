//! Reads a NIR file, lists its nodes with their shapes, and writes it again if a second file is
//! named.
//!
//! ```sh
//! cargo run -p mbspike-nir --example round_trip -- network.nir again.nir
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: round_trip FILE [AGAIN]")?;
    let graph = mbspike_nir::read(&file)?;
    let shapes = graph.shapes()?;
    for (name, node) in &graph.nodes {
        let targets: Vec<&str> = graph.targets(name).collect();
        let kind = node.kind.tag();
        println!("{name}: {kind} {:?} → {}", shapes[name].output, targets.join(", "));
    }
    if let Some(again) = arguments.next() {
        mbspike_nir::write(again, &graph)?;
    }
    Ok(())
}
