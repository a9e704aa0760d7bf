//! `mbspike energy`.

use super::case::{Case, TINY, code, stderr, stdout};

#[test]
fn energy_is_printed_saved_and_drawn() {
    let case = Case::new(TINY);
    let train = ["run", "tiny.toml", "--set", "train.epochs=1", "--no-figures", "--quiet"];
    assert_eq!(code(&case.run(&train)), 0);
    let output = case.run(&["energy", "runs/tiny"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let table = stdout(&output);
    for text in ["1 bit", "2 bits", "eq. 5.3", "chip, loihi2", "numbers are those of loihi1"] {
        assert!(table.contains(text), "{text}: {table}");
    }
    for file in ["energy.csv", "operations.csv", "figures/energy-models-normalized.png"] {
        assert!(case.path("runs/tiny").join(file).metadata().unwrap().len() > 0, "{file}");
    }

    // As JSON, of one run and a few samples, with a table of one's own.
    let table = "title = \"mine\"\n[spiking.synaptic_event_pj]\nvalue = 2.0\n\
                 source = \"a test\"\nprocess_node = \"none\"\n";
    std::fs::write(case.path("mine.toml"), table).unwrap();
    let run = case.run_folder("runs", "bits-2");
    let run = run.to_str().unwrap();
    let arguments = ["energy", run, "--hardware", "mine.toml", "--samples", "20", "--json"];
    let output = case.run(&arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &report["groups"][0]["runs"][0];
    assert_eq!(run["counts"]["n_samples"], 20);
    let layers = run["counts"]["layers"].as_array().unwrap();
    let events: u64 = layers.iter().map(|l| l["synaptic_events"].as_u64().unwrap()).sum();
    let energy = run["estimates"][0]["total"].as_f64().unwrap();
    assert!((energy - 2.0 * events as f64 / 20.0).abs() < 1e-6 * energy);
}

#[test]
fn wrong_tables_of_hardware_are_named_with_their_place() {
    let case = Case::new(TINY);
    let output = case.run(&["energy", "runs", "--hardware", "loihi3"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("no hardware `loihi3`; there are cmos-45nm"));
    std::fs::write(case.path("mine.toml"), "title = \"mine\"\n[spiking.hop_jp]\n").unwrap();
    let output = case.run(&["energy", "runs", "--hardware", "mine.toml"]);
    assert_eq!(code(&output), 2);
    let message = stderr(&output);
    assert!(message.contains("mine.toml:2:"), "{message}");
    assert!(message.contains("did you mean `spiking.hop_pj`?"), "{message}");
    let output = case.run(&["energy", "nowhere"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("nowhere"));
}
