//! Pages of folders of runs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod synthetic;

use std::path::Path;

use mbspike_figures::report::{Error, Report};
use mbspike_results::Reference;
use mbspike_results::{Identity, Plan, PlannedRun, RunSet, Status, energy, read_summary};
use serde_json::json;
use synthetic::{change_summary, neuron, write_run};

/// The text of a run's config; the swept values of [`write_run`] are not in it.
const CONFIG: &str = r#"
name = "accuracy-fashion-mnist"
seed = 1
[dataset]
name = "fashion-mnist"
path = "/home/somebody/data"
[encoder]
kind = "poisson"
time_steps = 10
[network]
arch = "28x28-8c5-2a-16c5-2a-10o"
[neuron]
bits = 1
[train]
epochs = 4
batch_size = 128
optimizer = { kind = "adam", lr = 2e-3 }
"#;

/// A sweep of 1 and 2 bits, two repeats each.
fn sweep(folder: &Path) {
    for bits in [1, 2] {
        for repeat in [1, 2] {
            write_run(folder, bits, 10, repeat, 4);
            let run = folder.join(format!("bits-{bits}_T-10_rep-{repeat:02}"));
            std::fs::write(run.join("config.toml"), CONFIG).unwrap();
        }
    }
    write_plan(folder, "accuracy-fashion-mnist");
}

/// What is planned: the runs of [`sweep`].
fn write_plan(folder: &Path, name: &str) {
    let swept = "[sweep]\nrepeats = 2\n\"neuron.bits\" = [1, 2]\n\"encoder.time_steps\" = [10]\n";
    let config = format!("{CONFIG}{swept}").replace("accuracy-fashion-mnist", name);
    let planned = |(bits, repeat): (u32, u32)| PlannedRun {
        id: format!("bits-{bits}_T-10_rep-{repeat:02}"),
        identity: Identity::of(&config.parse().unwrap(), repeat, "cpu"),
        values: [
            ("neuron.bits".to_owned(), json!(bits)),
            ("encoder.time_steps".to_owned(), json!(10)),
        ]
        .into(),
        repeat,
        device: "cpu".to_owned(),
        bits,
        layer_bits: vec![],
    };
    let runs = [(1, 1), (1, 2), (2, 1), (2, 2)].map(planned).to_vec();
    let plan = Plan { name: name.to_owned(), config: config.clone(), runs };
    plan.write(folder).unwrap();
}

/// A reference with a number and an experiment.
const REFERENCE: &str = r#"
name = "the thesis"
note = ", its target being 80 %"
[[number]]
quantity = "relative-iterations-to-target"
datasets = ["fashion-mnist"]
bits = [2]
printed = "50.00 ± 10.84 %"
source = "Section 5.1.1, Fig. 5.1b"
[[experiment]]
name = "accuracy-fashion-mnist"
source = "Section 4.1"
bits = "1 to 8"
repeats = 10
[experiment.figures]
train-accuracy = "4.2, A.1"
"#;

fn reference(folder: &Path) -> Reference {
    let path = folder.join("reference.toml");
    std::fs::write(&path, REFERENCE).unwrap();
    Reference::read(&path).unwrap()
}

fn read(folder: &Path) -> Report {
    let elsewhere = tempfile::tempdir().unwrap();
    Report::read(folder, Some(&reference(elsewhere.path())), Some(&neuron())).unwrap()
}

#[test]
fn the_numbers_that_the_config_names_are_beside_those_of_the_runs() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("publication.toml");
    std::fs::write(&path, REFERENCE).unwrap();
    let config = format!("reference = {:?}\n{CONFIG}", path.to_str().unwrap());
    std::fs::write(folder.path().join("sweep.toml"), config).unwrap();
    let html = Report::read(folder.path(), None, None).unwrap().html();
    assert!(html.contains("Section 5.1.1, Fig. 5.1b") && html.contains("In the thesis: Fig. 4.2"));
    // What is given to the program goes first.
    let given = REFERENCE.replace("Section 5.1.1", "page 7");
    std::fs::write(elsewhere.path().join("given.toml"), given).unwrap();
    let given = Reference::read(&elsewhere.path().join("given.toml")).unwrap();
    let html = Report::read(folder.path(), Some(&given), None).unwrap().html();
    assert!(html.contains("page 7, Fig. 5.1b") && !html.contains("Section 5.1.1"));
    std::fs::remove_file(&path).unwrap();
    let error = Report::read(folder.path(), None, None).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("publication.toml"), "{source}");
    assert!(error.to_string().contains("--reference"), "{error}");
}

#[test]
fn a_page_has_everything_and_asks_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    let html = read(folder.path()).html();
    for text in [
        "<!DOCTYPE html>",
        "<title>accuracy-fashion-mnist</title>",
        "name=\"viewport\"",
        "prefers-color-scheme: dark",
        "60000 training and 10000 test samples",
        "28x28-8c5-2a-16c5-2a-10o",
        "2 bits, T = 10",
        "iterations to 80 % training accuracy",
        "50.00 ± 10.84 %",
        "Section 5.1.1, Fig. 5.1b",
        "In the thesis: Fig. 4.2, A.1.",
        "training, time steps × iterations",
        "repeats = 2",
        "vector instructions",
    ] {
        assert!(html.contains(text), "{text}");
    }
    for outside in ["<script src", "src=", "@import", "url(", "href=\"http", "/home/somebody"] {
        assert!(!html.contains(outside), "{outside}");
    }
    // Each figure has a name.
    assert_eq!(html.matches("<svg ").count(), html.matches("<title>").count() - 1);
    assert!(html.matches("<svg ").count() >= 13, "{}", html.matches("<svg ").count());
    let ids: Vec<&str> =
        html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for link in html.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(ids.iter().filter(|id| **id == link).count(), 1, "{link}");
    }
}

#[test]
fn means_and_intervals_are_those_of_the_summaries() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    for (repeat, accuracy) in [(1, 0.82), (2, 0.8)] {
        let run = folder.path().join(format!("bits-2_T-10_rep-{repeat:02}"));
        change_summary(&run, |summary| summary.final_test_accuracy = Some(accuracy));
    }
    // 80 and 82: mean 81, sd √2, t(1) = 12.706, half-width 12.706 · √2 / √2.
    let html = read(folder.path()).html();
    assert!(html.contains("<td>81.00 ± 12.71</td>"));
}

#[test]
fn converted_runs_have_their_accuracies_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    assert!(!read(folder.path()).html().contains("mbspike quantize"));
    for (repeat, integer) in [(1, 0.79), (2, 0.81)] {
        let variants = format!(
            r#"[{{"kind": "as-trained", "precision": "f32", "test_accuracy": 0.8}},
                {{"kind": "integer", "precision": null, "test_accuracy": {integer}}}]"#
        );
        let run = folder.path().join(format!("bits-2_T-10_rep-{repeat:02}"));
        std::fs::write(run.join("quantized.json"), variants).unwrap();
    }
    let text = read(folder.path()).markdown("figures");
    assert!(text.contains("|  | converted | as trained (%) | integers throughout (%) |"), "{text}");
    assert!(text.contains("| 1 bit, T = 10 | 0 | – | – |"), "{text}");
    // 79 and 81: mean 80, half-width 12.706 · √2 / √2.
    assert!(text.contains("| 2 bits, T = 10 | 2 | 80.00 ± 0.00 | 80.00 ± 12.71 |"), "{text}");

    std::fs::write(folder.path().join("bits-2_T-10_rep-02/quantized.json"), "[{").unwrap();
    let error = Report::read(folder.path(), None, None).unwrap_err().to_string();
    assert!(error.contains("bits-2_T-10_rep-02") && error.contains("quantized.json:1"), "{error}");
}

#[test]
fn runs_that_did_not_end_well_are_named_and_text_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    change_summary(&folder.path().join("bits-2_T-10_rep-02"), |summary| {
        summary.status = Status::Diverged;
        summary.cause = Some("the loss is <script>alert(1)</script> & more".to_owned());
    });
    std::fs::remove_file(folder.path().join("bits-2_T-10_rep-01/summary.json")).unwrap();
    std::fs::remove_dir_all(folder.path().join("bits-1_T-10_rep-02")).unwrap();
    write_run(folder.path(), 3, 10, 1, 4);
    std::fs::write(folder.path().join("bits-3_T-10_rep-01/config.toml"), CONFIG).unwrap();
    change_summary(&folder.path().join("bits-3_T-10_rep-01"), |summary| {
        summary.values.remove("encoder.time_steps");
        summary.values.insert("a|b".to_owned(), json!("<i>&"));
    });

    let report = read(folder.path());
    let html = report.html();
    for text in [
        "bits-2_T-10_rep-02 diverged: the loss is &lt;script&gt;alert(1)&lt;/script&gt; &amp; more",
        "bits-2_T-10_rep-01 (4 epochs done)",
        "A point with a single repeat has no interval.",
        "Not begun: bits-1_T-10_rep-02.",
        "3 bits, a|b &lt;i&gt;&amp;",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("<script>alert") && !html.contains("<i>"));
    assert!(html.contains("2 bits, T = 10 (1 of 1 diverged)</th><td>0</td><td>–</td>"), "no means");
    assert!(report.markdown("figures").contains(r"| 3 bits, a\|b \<i\>& |"));
}

#[test]
fn a_folder_of_folders_is_a_page_with_a_section_for_each() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        sweep(&folder.path().join(name));
        write_plan(&folder.path().join(name), name);
    }
    let report = read(folder.path());
    let html = report.html();
    assert!(html.contains("<h1>one, two</h1>"));
    assert!(html.contains("<a href=\"#section-2\">two</a>"));
    assert!(html.contains("<section id=\"section-2\"><h2>two</h2>"));
    assert_eq!(html.matches("<h2>The neuron</h2>").count(), 1);

    let path = folder.path().join("results.md");
    let files = report.write_markdown(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let links: Vec<&str> =
        text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert_eq!(links.len(), files.len());
    for link in links {
        assert!(folder.path().join(link).is_file(), "{link}");
    }
}

#[test]
fn the_points_of_a_sweep_that_no_other_beats_are_named() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    write_run(folder.path(), 3, 10, 1, 4);
    let run = folder.path().join("bits-3_T-10_rep-01");
    std::fs::write(run.join("config.toml"), CONFIG).unwrap();
    change_summary(&run, |summary| summary.final_test_accuracy = Some(1.0));
    let text = read(folder.path()).markdown("figures");
    // All points train for as long, and the third is right about all samples.
    let training = "over training, time steps times iterations (10³): 3 bits, T = 10.";
    assert!(text.contains(training), "{text}");
}

#[test]
fn bits_of_layers_are_compared_by_their_mean() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, layer_bits) in [(1, [8, 8, 8]), (2, [1, 2, 1]), (3, [1, 1, 8])] {
        write_run(folder.path(), bits, 10, 1, 1);
        let run = folder.path().join(format!("bits-{bits}_T-10_rep-01"));
        change_summary(&run, |summary| {
            summary.values = [("neuron.layer_bits".to_owned(), json!(layer_bits))].into();
            (summary.bits, summary.layer_bits) = (4, layer_bits.to_vec());
        });
    }
    let runs = RunSet::read(folder.path()).unwrap();
    assert_eq!(runs.groups.len(), 3);
    for group in &runs.groups {
        assert_eq!(runs.reference(group).first().layer_bits, [1, 2, 1], "{}", group.label);
    }
}

#[test]
fn tables_of_energy_say_which_runs_diverged() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    let run = |name: &str| folder.path().join(name);
    let (well, ill) = (run("bits-1_T-10_rep-01"), run("bits-1_T-10_rep-02"));
    change_summary(&ill, |summary| summary.status = Status::Diverged);
    let estimate = |run: &Path| {
        let summary = read_summary(&run.join("summary.json")).unwrap();
        let layers = vec![mbspike_energy::LayerCounts::default()];
        let counts = mbspike_energy::OperationCounts { time_steps: 10, n_samples: 1, layers };
        energy::estimate_run(run, summary, counts, &[]).unwrap()
    };
    let tables = energy::save(folder.path(), &[estimate(&well), estimate(&ill)]).unwrap();
    for table in tables {
        let text = std::fs::read_to_string(&table).unwrap();
        let (header, rows) = text.split_once('\n').unwrap();
        assert!(header.starts_with("id,status,bits,"), "{header}");
        for row in rows.lines() {
            let is_ill = row.starts_with("bits-1_T-10_rep-02,diverged,");
            assert!(is_ill || row.starts_with("bits-1_T-10_rep-01,finished,"), "{row}");
        }
        assert!(rows.contains("diverged") && rows.contains("finished"), "{rows}");
    }
}

#[test]
fn a_sweep_that_nobody_has_begun_says_so() {
    let folder = tempfile::tempdir().unwrap();
    sweep(folder.path());
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let html = read(folder.path()).html();
    assert!(html.contains("0 of 4 are over") && html.contains("Not begun: "));
}

#[test]
fn a_folder_without_runs_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = Report::read(folder.path(), None, None).unwrap_err();
    assert!(matches!(error, Error::NoRuns(_)), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}
