//! Figures are drawn from saved results of every completeness.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod synthetic;

use mbspike_figures::figure::{self, Recording, draw_all};
use mbspike_results::{Bound, RunSet, Status, TargetKind, TargetOptions};
use resvg::tiny_skia::{Pixmap, PremultipliedColorU8};
use synthetic::{change_summary, neuron, write_run};

fn names(files: &[std::path::PathBuf]) -> Vec<String> {
    let name = |f: &std::path::PathBuf| f.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(name).collect()
}

#[test]
fn recordings_are_drawn_in_space_and_time() {
    let draw = |n: i64| {
        let t_us: Vec<i64> = (0..n).map(|i| 7 + i * 15).collect();
        let x: Vec<u16> = (0..n).map(|i| (i % 34) as u16).collect();
        let y: Vec<u16> = (0..n).map(|i| (i * i % 34) as u16).collect();
        let on: Vec<bool> = (0..n).map(|i| i % 3 == 0).collect();
        figure::events(&Recording { sensor: [34, 34], t_us: &t_us, x: &x, y: &y, on: &on })
    };
    assert!(draw(0).is_err(), "nothing to draw");
    draw(1).unwrap().png().unwrap();
    let svg = draw(20_001).unwrap().svg();
    assert!(svg.contains("one in 3 of 20001 events"));
    assert_eq!(svg.matches("<circle").count(), 6667);
}

#[test]
fn a_whole_sweep_gives_every_figure_as_svg_and_png() {
    let folder = tempfile::tempdir().unwrap();
    for bits in 1..=8 {
        for repeat in 1..=3 {
            write_run(folder.path(), bits, 10, repeat, 4);
        }
    }
    let files = draw_all(folder.path(), &TargetOptions::default(), Some(&neuron())).unwrap();
    for name in [
        "train-accuracy",
        "test-accuracy",
        "iterations-to-target",
        "relative-iterations-to-target",
        "relative-iterations-by-target",
        "epochs-to-target",
        "final-accuracy",
        "nonzero-rate",
        "final-nonzero-rate",
        "step-time",
        "spike-function",
        "surrogate-gradient",
    ] {
        assert!(names(&files).contains(&format!("{name}.svg")), "{name}: {:?}", names(&files));
        assert!(names(&files).contains(&format!("{name}.png")), "{name}: {:?}", names(&files));
    }
    let svg =
        |name: &str| std::fs::read_to_string(folder.path().join("figures").join(name)).unwrap();
    let accuracy = svg("train-accuracy.svg");
    for text in ["iteration", "training accuracy (%)", "8 bits, T = 10", "target 80 %"] {
        assert!(accuracy.contains(text), "{text}");
    }
    assert!(svg("nonzero-rate.svg").contains("output layer"));
    assert!(
        svg("final-nonzero-rate.svg").contains("neurons that fire in a time step, test set (%)")
    );
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "png")) {
        let pixels = Pixmap::decode_png(&std::fs::read(file).unwrap()).unwrap();
        let channels = |p: &PremultipliedColorU8| [p.red(), p.green(), p.blue()];
        let count =
            |is: fn([u8; 3]) -> bool| pixels.pixels().iter().filter(|p| is(channels(p))).count();
        let n_ink = count(|[r, g, b]| r < 60 && g < 60 && b < 60);
        let n_colour = count(|c| c.iter().max().unwrap() - c.iter().min().unwrap() > 60);
        let n_paper = count(|c| c == [255; 3]);
        let name = file.display();
        assert!(n_ink > 2_000, "{name}: {n_ink} dark pixels of text and axes");
        assert!(n_colour > 1_000, "{name}: {n_colour} coloured pixels of data");
        // Heat maps cover the paper.
        let is_map = name.to_string().contains("confusion");
        assert!(
            is_map || 2 * n_paper > pixels.pixels().len(),
            "{name}: {n_paper} pixels are paper"
        );
    }
}

#[test]
fn a_grid_has_a_panel_for_each_number_of_time_steps() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, time_steps) in [(1, 4), (2, 4), (1, 10), (2, 10)] {
        write_run(folder.path(), bits, time_steps, 1, 2);
    }
    draw_all(folder.path(), &TargetOptions::default(), Some(&neuron())).unwrap();
    let svg =
        |name: &str| std::fs::read_to_string(folder.path().join("figures").join(name)).unwrap();
    for figure in [svg("train-accuracy.svg"), svg("test-accuracy.svg")] {
        for text in ["T = 4\n", "T = 10\n", "1 bit\n", "2 bits\n"] {
            assert_eq!(figure.matches(text).count(), 1, "{text}");
        }
    }
    let rates = svg("nonzero-rate.svg");
    for (text, n) in [("T = 4\n", 1), ("T = 10\n", 1), ("output layer\n", 2), ("1 bit\n", 1)] {
        assert_eq!(rates.matches(text).count(), n, "{text}");
    }
}

#[test]
fn runs_that_diverged_are_marked_and_left_out_of_means() {
    let folder = tempfile::tempdir().unwrap();
    for repeat in 1..=3 {
        write_run(folder.path(), 1, 10, repeat, 2);
        write_run(folder.path(), 2, 10, repeat, 2);
        write_run(folder.path(), 3, 10, repeat, 2);
    }
    let diverge = |id: &str| {
        change_summary(&folder.path().join(id), |summary| {
            summary.status = Status::Diverged;
            summary.final_test_accuracy = Some(0.0);
        });
    };
    diverge("bits-2_T-10_rep-02");
    (1..=3).for_each(|repeat| diverge(&format!("bits-3_T-10_rep-{repeat:02}")));
    let runs = RunSet::read(folder.path()).unwrap();
    assert_eq!(runs.marked_labels(), ["1 bit, T = 10", "2 bits, T = 10 (1 of 3 diverged)"]);
    assert_eq!((runs.lost.len(), runs.diverged().count()), (1, 4));
    let accuracy = runs.groups[1].repeats(|run| run.summary.final_test_accuracy).measure().unwrap();
    assert!(accuracy.n == 2 && accuracy.value > 0.5, "{accuracy:?}");
    draw_all(folder.path(), &TargetOptions::default(), None).unwrap();
    let svg = std::fs::read_to_string(folder.path().join("figures/final-accuracy.svg")).unwrap();
    assert!(svg.contains("2 bits, T = 10 (1 of 3 diverged)"));
}

#[test]
fn a_reference_that_never_reached_the_target_makes_ratios_upper_bounds() {
    let folder = tempfile::tempdir().unwrap();
    for repeat in 1..=2 {
        write_run(folder.path(), 1, 10, repeat, 1);
        write_run(folder.path(), 2, 10, repeat, 4);
    }
    let runs = RunSet::read(folder.path()).unwrap();
    let times = |group: usize| {
        runs.groups[group].times_to_target(TargetKind::TrainIterations, &TargetOptions::default())
    };
    assert_eq!((times(0).n_censored(), times(1).n_censored()), (2, 0));
    assert_eq!(times(1).ratio_to(&times(0)).unwrap().bound, Bound::AtMost);
    draw_all(folder.path(), &TargetOptions::default(), None).unwrap();
    let path = folder.path().join("figures/relative-iterations-to-target.svg");
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.contains("at most: not every repeat reached it"));
}

/// Every file in a folder of figures is whole, and what its name says.
fn check_files(folder: &std::path::Path) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let (begin, end): (&[u8], &[u8]) = match path.extension().unwrap().to_str().unwrap() {
            "png" => (b"\x89PNG\r\n", b"IEND\xaeB`\x82"),
            "svg" => (b"<svg ", b"</svg>\n"),
            other => panic!("{other}: {}", path.display()),
        };
        assert!(bytes.starts_with(begin) && bytes.ends_with(end), "{}", path.display());
    }
}

#[test]
fn fifty_rounds_of_three_at_once_leave_whole_files_of_the_right_type() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), 2, 4, 1, 1);
    write_run(folder.path(), 3, 4, 1, 1);
    let figure = figure::final_accuracy(&RunSet::read(folder.path()).unwrap()).unwrap();
    let into = folder.path().join("figures");
    std::fs::create_dir(&into).unwrap();
    for _ in 0..50 {
        std::thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(|| figure.save(&into).unwrap())));
        });
        check_files(&into);
        assert_eq!(std::fs::read_dir(&into).unwrap().count(), 2);
    }
    // All figures, under the folder's lock.
    for _ in 0..2 {
        std::thread::scope(|scope| {
            let draw = || draw_all(folder.path(), &TargetOptions::default(), None).unwrap();
            (0..3).for_each(|_| drop(scope.spawn(draw)));
        });
        check_files(&into);
    }
}

#[test]
fn one_short_run_is_drawn_without_bands() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), 2, 4, 1, 1);
    let files = draw_all(folder.path(), &TargetOptions::default(), Some(&neuron())).unwrap();
    assert!(names(&files).contains(&"test-accuracy.svg".to_owned()));
    let svg = std::fs::read_to_string(folder.path().join("figures/train-accuracy.svg")).unwrap();
    assert!(!svg.contains("<polygon"), "a single repeat has no interval");
}

#[test]
fn a_target_never_reached_is_said_to_be_a_lower_bound() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), 1, 10, 1, 1);
    write_run(folder.path(), 2, 10, 1, 4);
    let options = TargetOptions { accuracy: Some(0.84), ..TargetOptions::default() };
    draw_all(folder.path(), &options, None).unwrap();
    let path = folder.path().join("figures/iterations-to-target.svg");
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(
        svg.contains("not every repeat reached it")
            && svg.contains("1 bit, T = 10 (0 of 1 reached it)")
    );
}

#[test]
fn a_run_without_epochs_gives_the_figures_that_need_none() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), 1, 10, 1, 0);
    let files = draw_all(folder.path(), &TargetOptions::default(), Some(&neuron())).unwrap();
    assert!(names(&files).contains(&"spike-function.svg".to_owned()));
    assert!(!names(&files).contains(&"test-accuracy.svg".to_owned()));
}

#[test]
fn a_folder_without_runs_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = draw_all(folder.path(), &TargetOptions::default(), Some(&neuron())).unwrap_err();

    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}
