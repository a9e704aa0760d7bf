//! Sweeps: which runs there are, and how they are called.

use std::path::Path;

use mbspike_experiments::sweep::Sweep;

use super::base::{BASE, parse};

#[test]
fn lists_multiply_points_zip_and_repeats_have_their_own_seeds() {
    let text = format!(
        "{BASE}\n[sweep]\nrepeats = 2\nneuron.bits = [1, 2]\n[[sweep.point]]\n\"encoder.time_steps\" = 4\ntrain.epochs = 2\n[[sweep.point]]\n\"encoder.time_steps\" = 10\ntrain.epochs = 1\n"
    );
    let sweep = parse(&text).unwrap();
    let ids: Vec<&str> = sweep.points.iter().map(|point| point.id.as_str()).collect();
    insta::assert_snapshot!(ids.join("\n"));
    let of = |id: &str| sweep.points.iter().find(|point| point.id.starts_with(id)).unwrap();
    let point = of("bits-2_T-10_epochs-1_rep-02");
    assert_eq!((point.config.neuron.bits, point.config.encoder.time_steps), (2, 10));
    assert_eq!((point.config.train.epochs, point.repeat), (1, 2));
    assert_eq!(point.values["neuron.bits"], 2);
    // Bit widths are compared on equal seeds, repeats differ in theirs.
    assert_eq!(of("bits-1_T-4_epochs-2_rep-02").config.seed, point.config.seed);
    assert_eq!(of("bits-2_T-10_epochs-1_rep-01").config.seed, 7);
    assert_ne!(point.config.seed, 7);
}

#[test]
fn a_run_has_one_name_in_whatever_order_its_values_are_swept() {
    let (bits, tau) = ("\"neuron.bits\" = [1, 2]\n", "\"neuron.tau\" = [2.0, 3.0]\n");
    let points = r#"
        [[sweep.point]]
        "neuron.surrogate" = { kind = "staircase" }
        "neuron.detach_reset" = true
        [[sweep.point]]
        "encoder.time_steps" = 4
    "#;
    let ids = |sweep: &Sweep| {
        sweep.points.iter().map(|point| point.id.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let sweep = parse(&format!("{BASE}\n[sweep]\n{bits}{tau}{points}")).unwrap();
    let expected = ids(&sweep);
    assert_eq!(expected.len(), 8);
    assert!(expected.iter().any(|id| id.starts_with("bits-2_T-4_tau-3_rep-01_")), "{expected:?}");
    let turned = parse(&format!("{BASE}\n[sweep]\n{tau}{bits}{points}")).unwrap();
    assert_eq!(ids(&turned), expected);
    // As saved beside the runs, where tables come last.
    let saved = parse(&toml::to_string(&sweep.resolved).unwrap()).unwrap();
    assert_eq!(ids(&saved), expected);
}

#[test]
fn a_swept_key_cannot_be_set_beside_its_list() {
    let text = format!("{BASE}\n[sweep]\n\"neuron.bits\" = [1, 2]\n");
    let path = Path::new("experiment.toml");
    let parse = |setting: &str| Sweep::parse(path, &text, &[setting.to_owned()]);
    let error = parse("neuron.bits=3").unwrap_err().to_string();
    assert!(error.contains("--set neuron.bits=3: neuron.bits is swept"), "{error}");
    assert_eq!(parse("sweep.neuron.bits=[3]").unwrap().points.len(), 1);
}

#[test]
fn a_key_may_stand_in_quotes_on_the_command_line_as_in_a_file() {
    let text = format!("{BASE}\n[sweep]\n\"neuron.bits\" = [1, 2]\n");
    let points = |setting: &str| {
        let path = Path::new("experiment.toml");
        Sweep::parse(path, &text, &[setting.to_owned()]).map(|sweep| sweep.points.len())
    };
    for key in ["sweep.\"neuron.bits\"", "sweep . 'neuron.bits'", "\"sweep\".neuron.\"bits\""] {
        assert_eq!(points(&format!("{key}=[1, 2, 3]")).unwrap(), 3, "{key}");
    }
    assert_eq!(points("'train'.\"epochs\" = 3").unwrap(), 2);
    let swept = points("neuron.\"bits\"=3").unwrap_err().to_string();
    assert!(swept.contains("neuron.bits is swept"), "{swept}");
    let open = points("sweep.\"neuron.bits=[3]").unwrap_err().to_string();
    assert!(open.contains("unknown") || open.contains("not a dotted key"), "{open}");
}

#[test]
fn a_run_keeps_its_name_when_the_sweep_around_it_grows() {
    let sweep = |list: &str, repeats: u32| {
        parse(&format!("{BASE}\n[sweep]\nrepeats = {repeats}\n\"neuron.bits\" = {list}\n")).unwrap()
    };
    let (small, large) = (sweep("[1, 2]", 1), sweep("[1, 2, 3]", 3));
    for point in &small.points {
        assert!(large.points.contains(point), "{}", point.id);
    }
}

#[test]
fn wrong_sweeps_are_refused() {
    let mut errors = String::new();
    for sweep in [
        "[sweep]\n\"neuron.bits\" = 2",
        "[sweep]\n\"neuron.bits\" = []",
        "[sweep]\n\"neuron.bit\" = [1, 2]",
        "[sweep]\n\"neuron.bits\" = [1, 99]",
        "[sweep]\n\"neuron.bits\" = [1, 1]",
        "[sweep]\nrepeats = 0",
        "[sweep]\nname = [\"a\", \"b\"]",
        "[sweep]\n\"neuron.bits\" = [1, 2]\n[[sweep.point]]\n\"neuron.bits\" = 3",
    ] {
        let error = parse(&format!("{BASE}\n{sweep}\n")).map(|sweep| sweep.points.len());
        errors.push_str(&error.unwrap_err().to_string());
        errors.push_str("\n\n");
    }
    insta::assert_snapshot!(errors);
}

#[test]
fn each_point_of_a_sweep_is_checked_before_the_first_runs_at_the_value_that_makes_it_wrong() {
    let text = format!(
        "{BASE}\n[sweep]\n\"network.execution\" = [\"auto\", \"fused\"]\n\"train.precision\" = [\"f32\", \"f64\"]\n"
    );
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.starts_with("base.toml:23:32: network.execution: "), "{error}");
    let (line, carets) = error.split_once("[\"auto\", ").unwrap();
    let column = line.lines().last().unwrap().len() + "[\"auto\", ".len();
    let (_, carets) = carets.split_once('\n').unwrap();
    assert_eq!((carets.find('^'), carets.matches('^').count()), (Some(column), 7), "{error}");
}

#[test]
fn one_network_by_two_labels_is_one_run_too_many() {
    let direct = BASE.replace("kind = \"poisson\"", "kind = \"direct\"");
    for sweep in [
        "\"neuron.layer_bits\" = [[2, 2], [2, 4], [2, 4]]",
        "[[sweep.point]]\n\"neuron.layer_bits\" = [2, 2]\n[[sweep.point]]\n\"neuron.bits\" = 2",
        "\"neuron\" = [{ bits = 1, layer_bits = [1, 2] }, { bits = 2, layer_bits = [1, 2] }]",
        "\"neuron\" = [{ bits = 1, beta = 0.5 }, { bits = 1, beta = 0.5, tau = 2.0 }]",
        "\"neuron\" = [{ bits = 2 }, { levels = 3 }]",
        "\"neuron\" = [{ bits = 2 }, { bits = 2, preset = \"lif\" }]",
        "\"encoder\" = [{ kind = \"direct\", time_steps = 4 }, { kind = \"direct\", time_steps = 4, mean = [0.0] }]",
        "\"encoder\" = [{ kind = \"direct\", time_steps = 4, std = [1.0] }, { kind = \"direct\", time_steps = 4 }]",
        "\"train.optimizer\" = [{ kind = \"adam\", lr = 1e-3 }, { kind = \"adam\", lr = 1e-3, eps = 1e-8 }]",
    ] {
        let error = parse(&format!("{direct}\n[sweep]\n{sweep}\n")).map(|sweep| sweep.points.len());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("is the same run"), "{sweep}: {error}");
    }
    let other = "[sweep]\n\"neuron.layer_bits\" = [[2, 2], [2, 4], [4, 2]]";
    assert_eq!(parse(&format!("{BASE}\n{other}\n")).unwrap().points.len(), 3);
}
