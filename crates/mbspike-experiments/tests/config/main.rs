//! Configs: what is read, what is refused, and with which words.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod base;
mod combinations;
mod sweeps;

use std::path::Path;

use mbspike_experiments::sweep::Sweep;

use base::{BASE, EVENTS, config, error_of, identity, parse, with};

#[test]
fn defaults_are_the_thesis_settings() {
    insta::assert_snapshot!(config(BASE).to_toml().unwrap());
}

#[test]
fn a_resolved_config_reads_back_as_itself() {
    let text = BASE
        .replace("bits = 2", "bits = 2\nreset = \"hard\"\nshift = 0.25\nlayer_bits = [1, 3]")
        .replace("lr = 1e-3", "lr = 1e-3, betas = [0.8, 0.9]")
        .replace("epochs = 1", "epochs = 1\nema = 0.9\nlabel_smoothing = 0.1\nmixup_alpha = 0.2\nscheduler = { kind = \"cosine\", warm_up = { epochs = 2 } }");
    for text in [BASE, &text] {
        let first = config(text);
        let again = config(&first.to_toml().unwrap());
        assert_eq!(again, first);
        assert_eq!(identity(&again), identity(&first));
    }
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let mut errors = String::new();
    for (this, by) in [
        // Unknown and misspelt keys.
        ("batch_size = 32", "batchsize = 32"),
        ("[neuron]", "[neurons]"),
        ("lr = 1e-3", "lrr = 1e-3"),
        ("epochs = 1", "epochs = 1\nzebra = 2"),
        ("lr = 1e-3", "lr = 1e-3, momentum = 0.9"),
        ("lr = 1e-3 }", "lr = 1e-3 }\nscheduler = { kind = \"cosin\" }"),
        ("lr = 1e-3 }", "lr = 1e-3 }\nscheduler = \"exponential\""),
        ("bits = 2", "bits = 2\nreset = { kind = \"soft\", v_reset = 0.0 }"),
        ("bits = 2", "bits = 2\nsurrogate = { kind = \"sigmoid\", slope = 1 }"),
        // Missing keys.
        ("seed = 7", ""),
        ("bits = 2", ""),
        ("arch = \"28x28-4c5-2a-10o\"", ""),
        // Wrong types.
        ("epochs = 1", "epochs = \"one\""),
        ("epochs = 1", "epochs = 1.5"),
        ("epochs = 1", "epochs = -1"),
        ("bits = 2", "bits = true"),
        ("lr = 1e-3", "lr = \"fast\""),
        ("[dataset]\nname = \"fashion-mnist-subset\"", "dataset = 3"),
        ("name = \"base\"", "name = 1979-05-27"),
        // Values out of range.
        ("bits = 2", "bits = 0"),
        ("bits = 2", "bits = 99"),
        ("bits = 2", "bits = 2\ntau = 0.5"),
        ("bits = 2", "bits = 2\nv_threshold = 0"),
        ("bits = 2", "bits = 2\nlayer_bits = [1, 2, 3]"),
        ("bits = 2", "bits = 2\nshift = \"middle\""),
        ("bits = 2", "bits = 2\nsurrogate = { kind = \"atan\", alpha = -1 }"),
        ("batch_size = 32", "batch_size = 0"),
        ("epochs = 1", "epochs = 0"),
        ("lr = 1e-3", "lr = 0.0"),
        ("lr = 1e-3", "lr = nan"),
        ("lr = 1e-3", "lr = 1e-3, betas = [0.9, 1.5]"),
        ("time_steps = 4", "time_steps = 0"),
        ("epochs = 1", "epochs = 1\nlabel_smoothing = 2.0"),
        ("epochs = 1", "epochs = 1\nmixup_alpha = -0.1"),
        ("epochs = 1", "epochs = 1\nlog_every = 0"),
        ("seed = 7", "seed = -7"),
        ("name = \"base\"", "name = \"../up\""),
        ("[train]", "[target]\naccuracy = 80\n[train]"),
        ("name = \"fashion-mnist-subset\"", "name = \"fashon-mnist\""),
        ("name = \"fashion-mnist-subset\"", "name = \"fashion-mnist-subset\"\ntrain_size = 7000"),
        // Architectures.
        ("28x28-4c5-2a-10o", "28x28-4c5-3a-10o"),
        ("28x28-4c5-2a-10o", "32x32x3-4c5-2a-10o"),
        ("28x28-4c5-2a-10o", "28x28-4c5-2a-11o"),
        ("arch = \"28x28-4c5-2a-10o\"", "preset = \"fashion-mnist-nett\""),
        ("arch = \"28x28-4c5-2a-10o\"", "preset = \"mnist-net\"\narch = \"28x28-10o\""),
        // Not TOML.
        ("bits = 2", "bits = "),
        ("bits = 2", "bits = 2\nbits = 3"),
        ("[neuron]", "[neuron"),
    ] {
        errors.push_str(&error_of(this, by));
        errors.push_str("\n\n");
    }
    insta::assert_snapshot!(errors);
}

#[test]
fn a_setting_from_the_command_line_overrides_and_is_named_in_errors() {
    let sweep = with(&[
        "train.epochs=3",
        "dataset.name=mnist",
        "neuron.reset.kind=hard",
        "train.optimizer={kind=\"sgd\", lr=0.1}",
    ])
    .unwrap();
    let config = &sweep.points[0].config;
    assert_eq!(config.train.epochs, 3);
    assert_eq!(config.dataset.name, mbspike_data::catalog::DatasetName::Mnist);
    assert_eq!(config.neuron.reset, mbspike_core::Reset::Hard { v_reset: 0.0 });
    assert_eq!(config.train.optimizer.lr(), 0.1);

    let mut errors = String::new();
    for setting in [
        "train.epoch=3",
        "train.epochs=0",
        "train.epochs=three",
        "train.epochs",
        "train..epochs=3",
        "name.first=x",
        "neuron.bits=[1",
        "network.arch=28x28-3c4-10o",
    ] {
        errors.push_str(&with(&[setting]).unwrap_err().to_string());
        errors.push('\n');
    }
    insta::assert_snapshot!(errors);
}

#[test]
fn the_place_of_the_data_does_not_change_a_run() {
    let hash = |settings: &[&str]| identity(&with(settings).unwrap().points[0].config);
    let mnist = |more: &[&'static str]| hash(&[&["dataset.name=mnist"], more].concat());
    assert_eq!(mnist(&["dataset.path=/elsewhere"]), mnist(&[]));
    let free =
        ["train.checkpoint_every=5", "train.memory_limit_mib=1000", "train.tensorboard=true"];
    assert_eq!(hash(&free), hash(&[]));
    let events = |more: &[&'static str]| hash(&[&EVENTS, more].concat());
    assert_eq!(events(&["dataset.frame_cache=\"/frames\""]), events(&[]));
    let error = with(&["dataset.frame_cache=3"]).unwrap_err().to_string();
    assert!(error.contains("dataset.frame_cache: expected true, false or a folder"), "{error}");
    assert_ne!(hash(&["train.batch_size=33"]), hash(&[]));
}

#[test]
fn quantization_is_for_f32_and_bf16_and_changes_the_run() {
    let config = |settings: &[&str]| with(settings).map(|mut sweep| sweep.points.remove(0).config);
    let int8 = config(&["train.quantization=int8"]).unwrap();
    assert!(int8.to_toml().unwrap().contains("quantization = \"int8\""));
    assert_ne!(identity(&int8), identity(&config(&[]).unwrap()));
    assert_eq!(config(&["train.quantization=none"]).unwrap(), config(&[]).unwrap());
    let error = config(&["train.quantization=int8", "train.precision=f64"]).unwrap_err();
    assert!(error.to_string().contains("train.quantization"), "{error}");
    let error = config(&["train.quantization=int7"]).unwrap_err().to_string();
    assert!(error.contains("int8"), "{error}");
}

#[test]
fn every_config_of_the_project_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut n_files = 0;
    for folder in [folder.clone(), folder.join("thesis")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let sweep = Sweep::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert_eq!(sweep.name, name, "{}", path.display());
                n_files += 1;
            }
        }
    }
    assert!(n_files >= 5, "{n_files} configs");
}

/// Data that must be put there first are named; the rest of the config is right in any case.
#[test]
fn every_config_of_data_that_are_not_published_with_the_program_is_right_or_names_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut n_files = 0;
    for folder in [folder.join("temporal"), folder.join("events")] {
        // Not there where the crate is on its own.
        let Ok(entries) = std::fs::read_dir(&folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let table: toml::Table = text.parse().unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(table["name"].as_str(), Some(name), "{}", path.display());
            if let Err(error) = Sweep::read(&path, &[]) {
                let (error, data) = (error.to_string(), table["dataset"]["path"].as_str().unwrap());
                assert!(error.contains(data), "{}: {error}", path.display());
            }
            n_files += 1;
        }
    }
    assert!(n_files >= 8, "{n_files} configs");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_configs_are_refused_or_read_but_never_panic(
        start in 0..BASE.len(),
        length in 0..40_usize,
        by in "[ -~\n]{0,20}|[\\[\\]{}=.,\"0-9e-]{0,12}|\\PC{0,8}",
    ) {
        let end = (start + length).min(BASE.len());
        let text = format!("{}{by}{}", &BASE[..start], &BASE[end..]);
        match parse(&text) {
            Ok(sweep) => for point in &sweep.points {
                proptest::prop_assert_eq!(&config(&point.config.to_toml().unwrap()), &point.config);
            },
            Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn a_mistake_in_a_line_of_any_length_is_shown() {
    let text = BASE.replace("seed = 7", &format!("seed = {{ {} }}", "a = 1, ".repeat(20_000)));
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.len() < 1000 && error.contains('^'), "{error}");
    let text = BASE.replace("28x28-4c5", &format!("28x28-{}-4c5", "9".repeat(70_000)));
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.contains('^'), "{}", &error[..200]);
}
