//! Names in words, where records have short ones.

use mbspike_results::energy::Model;

/// Names of the measuring positions: the input, the layers of neurons from the first on, the last being
/// the output. Layers that were named by the user keep their names.
pub(super) fn positions(names: &[String]) -> Vec<String> {
    let last = names.len().saturating_sub(1);
    let name = |(i, name): (usize, &String)| match name.strip_prefix("lif") {
        Some(number) if number.parse() == Ok(i) && i == last => "output layer".to_owned(),
        Some(number) if number.parse() == Ok(i) => format!("layer {i}"),
        _ => name.clone(),
    };
    names.iter().enumerate().map(name).collect()
}

/// A table of hardware by its name; one of the user's keeps the name of its file.
pub(crate) fn hardware(name: &str) -> String {
    match name {
        "cmos-45nm" => "CMOS, 45 nm".to_owned(),
        "loihi1" => "Loihi".to_owned(),
        "loihi2" => "Loihi 2".to_owned(),
        "truenorth" => "TrueNorth".to_owned(),
        name => name.to_owned(),
    }
}

/// A model on some hardware.
pub(crate) fn model(model: Model, on: &str) -> String {
    let of = match model {
        Model::Arithmetic => "arithmetic",
        Model::MemoryAware => "arithmetic and memory",
        Model::Chip => "chip",
    };
    format!("{}, {of}", hardware(on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_and_own_names_are_kept() {
        let of =
            |names: &[&str]| positions(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["input", "lif1", "lif2"]), ["input", "layer 1", "output layer"]);
        assert_eq!(of(&["input", "stem", "lif5"]), ["input", "stem", "lif5"]);
    }
}
