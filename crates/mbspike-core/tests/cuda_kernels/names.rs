//! What the kernels' comments say of the twins on the CPU.

use std::path::Path;

#[test]
fn every_twin_that_a_kernel_names_is_defined_in_the_file_that_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut n_named = 0;
    for entry in std::fs::read_dir(root.join("kernels")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap().replace("\n// ", " ");
        for (at, name) in text.match_indices("src/").filter_map(|(at, _)| {
            let end =
                at + text[at..].find(|c: char| !(c.is_alphanumeric() || "/_.".contains(c)))?;
            Some((at, text[at..end].trim_end_matches('.')))
        }) {
            let place = format!("{}: {name}", path.display());
            let source = std::fs::read_to_string(root.join(name));
            let source = source.unwrap_or_else(|error| panic!("{place}: {error}"));
            // `X in src/…` says that X is defined there, `T::f` that f is.
            let Some(item) = text[..at].strip_suffix(" in ").and_then(|t| t.split(' ').next_back())
            else {
                continue;
            };
            let item = item.rsplit("::").next().unwrap();
            let is_defined = ["fn ", "struct ", "enum ", "const "].iter().any(|what| {
                source
                    .split(&format!("{what}{item}"))
                    .skip(1)
                    .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            assert!(is_defined, "{place} defines no {item}");
            n_named += 1;
        }
    }
    assert!(n_named > 5, "{n_named}");
}
