//! Texts of figures: whole, apart, and in words, whatever is drawn.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod synthetic;

use std::path::Path;

use mbspike_figures::figure::{Figure, Theme, figures, neuron_figures};
use mbspike_results::{RunSet, TargetOptions};
use serde_json::json;
use synthetic::{change_summary, neuron, write_run};

/// What labels are made of where configs are long.
const LONG: &str = "train.quantization-aware-training.of-the-second-convolution";

/// A folder of `n` points with so many repeats, of bits or of things of different kinds.
fn sweep(folder: &Path, n: u32, repeats: u32, kinds: bool) -> RunSet {
    for bits in 1..=n {
        for repeat in 1..=repeats {
            write_run(folder, bits, 10, repeat, 3);
            let run = folder.join(format!("bits-{bits}_T-10_rep-{repeat:02}"));
            change_summary(&run, |summary| {
                summary.values.remove("encoder.time_steps");
                if kinds {
                    summary.values.clear();
                    let key = format!("{LONG}-{}", bits % 3);
                    summary
                        .values
                        .insert(key, json!(format!("a rather long value, number {bits}")));
                }
            });
        }
    }
    RunSet::read(folder).unwrap()
}

fn drawn(runs: &RunSet) -> Vec<Figure> {
    let figures = figures(runs, &TargetOptions::default()).into_iter();
    figures.chain(neuron_figures(&neuron())).filter_map(Result::ok).collect()
}

/// Where `MBSPIKE_SHEETS` names a folder, figures are put there to be looked at.
fn show(figure: &Figure, of: &str) {
    let Some(folder) = std::env::var_os("MBSPIKE_SHEETS") else { return };
    for (theme, name) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
        let file = Path::new(&folder).join(format!("{of}-{}-{name}.png", figure.name()));
        std::fs::write(file, figure.png_for(theme).unwrap()).unwrap();
    }
}

#[test]
fn no_text_is_cut_or_touches_another() {
    let mut all = Vec::new();
    for (n, repeats, kinds) in [
        (1, 1, false),
        (2, 3, false),
        (8, 2, false),
        (16, 10, false),
        (2, 1, true),
        (8, 3, true),
        (16, 3, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let runs = sweep(folder.path(), n, repeats, kinds);
        let drawn = drawn(&runs);
        assert!(drawn.len() >= 3, "{n} {repeats} {kinds}: {}", drawn.len());
        for figure in drawn {
            let of = format!("{n}-{repeats}{}", if kinds { "-kinds" } else { "" });
            show(&figure, &of);
            let faults = figure.text_faults().unwrap();
            all.extend(faults.iter().map(|fault| format!("{of} {}: {fault}", figure.name())));
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn a_grid_of_bits_and_time_steps_is_a_heat_map() {
    let folder = tempfile::tempdir().unwrap();
    for bits in [1, 2, 4, 8] {
        for time_steps in [2, 4, 10] {
            (1..=3).for_each(|repeat| write_run(folder.path(), bits, time_steps, repeat, 2));
            for repeat in 1..=3 {
                let run = folder.path().join(format!("bits-{bits}_T-{time_steps}_rep-{repeat:02}"));
                change_summary(&run, |summary| {
                    let accuracy = summary.final_test_accuracy.as_mut().unwrap();
                    *accuracy -= 0.4 / time_steps as f64;
                });
            }
        }
    }
    let runs = RunSet::read(folder.path()).unwrap();
    let drawn = drawn(&runs);
    let names: Vec<&str> = drawn.iter().map(Figure::name).collect();
    assert!(names.contains(&"accuracy-grid"), "{names:?}");
    let mut all = Vec::new();
    for figure in &drawn {
        show(figure, "grid");
        let faults = figure.text_faults().unwrap();
        all.extend(faults.iter().map(|fault| format!("{}: {fault}", figure.name())));
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn figures_are_in_words_and_of_two_widths() {
    let folder = tempfile::tempdir().unwrap();
    for figure in drawn(&sweep(folder.path(), 3, 3, false)) {
        let svg = figure.svg();
        for short in ["nnz", "lif1", "eq. 5", "loihi2", "2 bit\n", "2 bit<"] {
            assert!(!svg.contains(short), "{}: {short}", figure.name());
        }
        let width = figure.width_in();
        assert!(width == 3.3 || width == 6.9, "{}: {width}", figure.name());
    }
}

#[test]
fn an_interval_is_drawn_from_three_repeats_on_and_says_what_it_is() {
    for (repeats, has_intervals) in [(1, false), (2, false), (3, true), (10, true)] {
        let folder = tempfile::tempdir().unwrap();
        for figure in drawn(&sweep(folder.path(), 2, repeats, false)) {
            if ["final-accuracy", "train-accuracy", "iterations-to-target"].contains(&figure.name())
            {
                let says = figure.svg().contains("95 % interval of the mean");
                assert_eq!(says, has_intervals, "{repeats} {}", figure.name());
            }
        }
    }
}

#[test]
fn an_interval_that_an_axis_cuts_ends_in_an_arrow() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = sweep(folder.path(), 2, 3, false);
    let count = |runs: &RunSet| {
        let figure = mbspike_figures::figure::final_accuracy(runs).unwrap();
        figure.svg().matches("<polygon").count()
    };
    assert_eq!(count(&runs), 0);
    for (run, accuracy) in runs.groups[0].runs.iter_mut().zip([0.01, 0.02, 0.4]) {
        run.summary.final_test_accuracy = Some(accuracy);
    }
    assert_eq!(count(&runs), 1, "the lower end lies below 0");
}

#[test]
fn what_nobody_reached_is_an_open_arrow_at_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let runs = sweep(folder.path(), 3, 3, false);
    let options = TargetOptions { accuracy: Some(0.99), ..TargetOptions::default() };
    let figures: Vec<_> = figures(&runs, &options).into_iter().filter_map(Result::ok).collect();
    let to_target = figures.iter().find(|figure| figure.name() == "iterations-to-target").unwrap();
    assert!(to_target.svg().contains("at least: not every repeat reached it"));
    assert!(to_target.svg().contains("0 of 3 reached it"));
}

#[test]
fn a_figure_that_says_nothing_is_not_drawn() {
    let names = |n, repeats| {
        let folder = tempfile::tempdir().unwrap();
        let runs = sweep(folder.path(), n, repeats, false);
        drawn(&runs).iter().map(|figure| figure.name().to_owned()).collect::<Vec<_>>()
    };
    let one = names(1, 1);
    for name in [
        "final-accuracy",
        "relative-iterations-to-target",
        "accuracy-difference",
        "relative-iterations-by-target",
    ] {
        assert!(!one.contains(&name.to_owned()), "{name}");
    }
    assert!(names(2, 3).contains(&"accuracy-difference".to_owned()));
}

#[test]
fn groups_of_different_kinds_are_sorted_by_what_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let runs = sweep(folder.path(), 4, 3, true);
    let svg = mbspike_figures::figure::final_accuracy(&runs).unwrap().svg();
    let places: Vec<usize> = {
        let mut groups: Vec<_> = runs.groups.iter().collect();
        let accuracy = |group: &mbspike_results::RunGroup| {
            group.repeats(|run| run.summary.final_test_accuracy).measure().unwrap().value
        };
        groups.sort_by(|a, b| accuracy(b).total_cmp(&accuracy(a)));
        groups.iter().map(|group| svg.find(&format!("number {}", group.bits())).unwrap()).collect()
    };
    assert!(places.is_sorted(), "{places:?}");
    assert!(svg.contains("reference"));
}

#[test]
fn a_page_in_the_dark_has_dark_figures() {
    let folder = tempfile::tempdir().unwrap();
    let figure = &drawn(&sweep(folder.path(), 2, 3, false))[0];
    assert!(figure.svg().contains("prefers-color-scheme:dark"));
    let corner = |theme| {
        let png = figure.png_for(theme).unwrap();
        png.len()
    };
    assert_ne!(corner(Theme::Light), corner(Theme::Dark));
}

#[test]
fn steps_that_were_timed_under_other_load_are_not_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = sweep(folder.path(), 2, 3, false);
    assert!(mbspike_figures::figure::step_time(&runs).is_ok());
    runs.groups[0].runs[0].summary.last_steps_median_s = Some(0.09);
    assert!(mbspike_figures::figure::step_time(&runs).is_err());
}
