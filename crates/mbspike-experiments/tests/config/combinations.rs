//! What runs alone, but not together, or not in these numbers.

use std::path::Path;

use mbspike_core::DeviceName;
use mbspike_experiments::machine::Machine;
use mbspike_experiments::sweep::Sweep;

use super::base::{BASE, EVENTS, identity, refused, with};

#[test]
fn combinations_that_cannot_run_are_errors_of_the_config() {
    for (settings, key) in [
        (&["network.execution=fused", "network.arch=28x28-4c5-bn-2a-10o"][..], "network.execution"),
        (&["network.execution=fused", "train.precision=f64"], "network.execution"),
        (&["network.execution=fused", "neuron.learnable_tau=true"], "network.execution"),
        (&["network.execution=fused", "network.arch=28x28-4c9-10o"], "network.execution"),
        (&["network.checkpoint_steps=2", "network.execution=layered"], "network.checkpoint_steps"),
        (&["network.checkpoint_steps=2", "neuron.learnable_tau=true"], "network.checkpoint_steps"),
        (&["network.checkpoint_steps=2", "train.precision=f64"], "network.checkpoint_steps"),
        (
            &["network.checkpoint_steps=2", "network.arch=28x28-4c5-bn-2a-10o"],
            "network.checkpoint_steps",
        ),
        (&["network.execution=batch", "train.precision=f64"], "network.execution"),
        (&["network.execution=batch", "network.checkpoint_steps=2"], "network.checkpoint_steps"),
        (&["train.quantization=int8", "train.precision=f64"], "train.quantization"),
        (&["dataset.name=nmnist", "network.arch=34x34x2-10o"], "encoder.kind"),
        (&["dataset.name=dvs-gesture", "encoder.kind=direct"], "encoder.kind"),
        (&["encoder.kind=event-frame", "encoder.split=number"], "encoder.kind"),
        (&["dataset.name=cifar10"], "network.arch"),
        (&["network.arch=28x28-4c5-2a-9o"], "network.arch"),
        (&["network.arch=28x28-20o-vote4"], "network.arch"),
        (&["dataset.test_size=1001"], "dataset.test_size"),
        (&["dataset.train_size=0"], "dataset.train_size"),
        // A single value has no variance; 6,000 samples leave one for the last batch of 5,999.
        (
            &["network.arch=28x28-28m-4c1-bn-10o", "encoder.time_steps=1", "train.batch_size=1"],
            "network.arch",
        ),
        (
            &["network.arch=28x28-28m-4c1-bn-10o", "encoder.time_steps=1", "train.batch_size=5999"],
            "network.arch",
        ),
        (&["train.random_crop=28"], "train.random_crop"),
        (&["train.random_crop=9223372036854775807"], "train.random_crop"),
        (&["train.mixup_alpha=0.2", "train.batch_size=1"], "train.mixup_alpha"),
        (&["train.cutmix_alpha=1", "dataset.train_size=1"], "train.cutmix_alpha"),
    ] {
        let error = refused(settings);
        assert!(error.contains(&format!(": {key}: ")), "{settings:?}: {error}");
    }
}

#[test]
fn keys_without_effect_are_errors_and_their_defaults_are_not() {
    let staircase = "neuron.surrogate=staircase";
    for (settings, key) in [
        (&[staircase, "neuron.shift=0.25"][..], "neuron.shift"),
        (&[staircase, "neuron.shift=unshifted"], "neuron.shift"),
        (&["neuron.reset=none", "neuron.detach_reset=true"], "neuron.detach_reset"),
        (&["neuron.beta=0.5", "neuron.tau=3"], "neuron.tau"),
        (&["neuron.levels=5", "neuron.bits=3", "neuron.layer_bits=[1, 2]"], "neuron.levels"),
        (&["neuron.reset={kind=\"none\", v_reset=0.5}"], "neuron.reset.v_reset"),
        (&["dataset.frame_cache=true"], "dataset.frame_cache"),
        (&["dataset.frame_cache=\"/frames\""], "dataset.frame_cache"),
        (&["dataset.path=/elsewhere"], "dataset.path"),
        (&["dataset.name=mnist", "dataset.path=\"\""], "dataset.path"),
        (&["train.optimizer.betas=[0.9, 0.99, 0.999]"], "train.optimizer.betas"),
        (&["train.optimizer.momentum=0.9"], "train.optimizer.momentum"),
        (&["train.scheduler={kind=\"none\", min_lr=1e-4}"], "train.scheduler.min_lr"),
        (&["train.scheduler={kind=\"cosine\", gamma=0.1}"], "train.scheduler.gamma"),
        (
            &["train.scheduler={kind=\"none\", warm_up={epochs=0}}"],
            "train.scheduler.warm_up.epochs",
        ),
        (&["train.ema=0"], "train.ema"),
        (&["encoder.binary=true"], "encoder.binary"),
        (&["encoder.mean=[0.5]"], "encoder.mean"),
        (&["encoder.transforms.drop=0.1"], "encoder.transforms"),
        (&["neuron.surrogate={kind=\"straight-through\", alpha=2}"], "neuron.surrogate.alpha"),
    ] {
        let error = refused(settings);
        assert!(error.contains(key), "{settings:?}: {error}");
    }
    // As a resolved config says them.
    for settings in [
        &[staircase, "neuron.shift=centred"][..],
        &["neuron.reset=none", "neuron.detach_reset=false"],
        &["neuron.beta=0.5", "neuron.tau=2"],
        &["dataset.frame_cache=false", "train.mixup_alpha=0", "encoder.binary=false"],
    ] {
        with(settings).unwrap_or_else(|error| panic!("{settings:?}: {error}"));
    }
}

#[test]
fn numbers_that_are_others_in_single_precision_are_errors_and_taken_in_double() {
    let sgd = "train.optimizer={kind=\"sgd\", lr=0.1, ";
    let rms = "train.optimizer={kind=\"rmsprop\", lr=0.1, ";
    let momentum = [format!("{sgd}momentum=2}}"), format!("{sgd}momentum=1}}")];
    let almost = format!("{sgd}momentum=0.9999999999}}");
    let decay = format!("{sgd}weight_decay=1e300}}");
    let alpha = format!("{rms}alpha=1.5}}");
    // Out of range in any precision.
    for setting in [
        momentum[0].as_str(),
        &momentum[1],
        &alpha,
        "train.optimizer.lr=-0.0",
        "train.optimizer.lr=inf",
        "train.optimizer.lr=nan",
        "train.optimizer.betas=[1.0, 0.9]",
        "train.scheduler={kind=\"cosine\", min_lr=1}",
        "train.scheduler={kind=\"cosine\", min_lr=-1e-4}",
        "train.scheduler={kind=\"exponential\", gamma=inf}",
        "train.clip_grad_norm=0",
        "train.clip_grad_norm=-0.0",
        "train.ema=1",
        "train.ema=nan",
        "train.mixup_alpha=1e-12",
        "train.cutmix_alpha=1e300",
        "train.label_smoothing=nan",
        "train.random_erasing=1.5",
        "train.horizontal_flip=-1",
        "train.checkpoint_every_s=nan",
        "neuron.tau=nan",
        "neuron.tau=0.999",
        "neuron.v_threshold=-0.0",
        "neuron.v_threshold=inf",
        "neuron.reset={kind=\"hard\", v_reset=nan}",
        "neuron.shift=inf",
        "target.accuracy=nan",
        "target.accuracy=-0.0",
        "target.accuracy=1.01",
    ] {
        for precision in ["train.precision=f32", "train.precision=f64"] {
            let error = refused(&[setting, precision]);
            let key = setting.split(['=', '{']).next().unwrap();
            assert!(error.contains(key), "{setting}: {error}");
        }
    }
    // Infinite, zero or one in single precision.
    for setting in [
        "train.optimizer.lr=1e300",
        "train.optimizer.lr=1e-50",
        "train.optimizer.eps=1e-50",
        "train.optimizer.betas=[0.9, 0.9999999999]",
        "train.optimizer.weight_decay=1e-60",
        &almost,
        &decay,
        "train.clip_grad_norm=1e-60",
        "train.ema=0.9999999999",
        "train.scheduler={kind=\"cosine\", min_lr=1e-60}",
        "train.scheduler={kind=\"exponential\", gamma=1e-60}",
        "neuron.v_threshold=1e39",
        "neuron.v_threshold=1e-308",
        "neuron.tau=1e300",
        "neuron.reset={kind=\"hard\", v_reset=1e40}",
        "neuron.shift=1e-40",
        "neuron.surrogate={kind=\"atan\", alpha=1e39}",
    ] {
        refused(&[setting]);
        with(&[setting, "train.precision=f64"])
            .unwrap_or_else(|error| panic!("{setting}: {error}"));
    }
    // Numbers that are of single precision in any case.
    for setting in [
        "train.label_smoothing=1e-50",
        "train.random_erasing=1e-50",
        "encoder={kind=\"direct\", time_steps=4, mean=[1e39]}",
        "encoder={kind=\"direct\", time_steps=4, std=[1e-39]}",
        "encoder={kind=\"direct\", time_steps=4, mean=[1e30], std=[1e-30]}",
    ] {
        let error = refused(&[setting]);
        assert!(error.contains(setting.split('=').next().unwrap()), "{setting}: {error}");
    }
    for setting in [
        "encoder.transforms.jitter_px=1e38",
        "encoder.transforms.jitter_us=1e38",
        "encoder.transforms.drop=1",
    ] {
        let error = refused(&[&EVENTS, &[setting][..]].concat());
        assert!(error.contains(setting.split('=').next().unwrap()), "{setting}: {error}");
    }
    // Minus zero is zero, and the same run.
    let hash = |setting: &str| identity(&with(&[setting]).unwrap().points[0].config);
    assert_eq!(hash("train.label_smoothing=-0.0"), hash("train.label_smoothing=0"));
    assert_eq!(hash("neuron.shift=-0.0"), hash("neuron.shift=0"));
}

#[test]
fn sizes_beyond_the_memory_are_errors_at_the_key_that_asks_for_them() {
    let machine = Machine { memory_bytes: Some(4 << 30), ..Machine::default() };
    let read = |settings: &[&str], machine: &Machine| {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        Sweep::parse_for(Path::new("base.toml"), BASE, &settings, machine)
    };
    let largest = i64::MAX;
    for (setting, key) in [
        ("encoder.time_steps=60000".to_owned(), "encoder.time_steps"),
        ("network.arch=28x28-20000-20000-10o".to_owned(), "network.arch"),
        ("network.arch=28x28-2000c5-2000c5-10o".to_owned(), "network.arch"),
    ] {
        let error = read(&[&setting], &machine).unwrap_err().to_string();
        assert!(error.contains(&format!("{setting}: {key}: the run needs about ")), "{error}");
        assert!(error.contains("there are 4.0 GiB; `train.memory_limit_mib` overrides"), "{error}");
        // The key allows it, and says so where it does not.
        read(&[&setting, "train.memory_limit_mib=1000000000"], &machine).unwrap();
        let less = read(&[&setting, "train.memory_limit_mib=1"], &machine).unwrap_err();
        assert!(less.to_string().contains("train.memory_limit_mib allows 1.0 MiB"), "{less}");
    }
    // Sizes that no machine has, whether or not its memory is known.
    for machine in [machine, Machine::default()] {
        let error = read(&[&format!("encoder.time_steps={largest}")], &machine).unwrap_err();
        assert!(error.to_string().contains(": encoder.time_steps: "), "{error}");
    }
    let time_steps = "encoder.time_steps=20000";
    let error = read(&[time_steps, "train.batch_size=6000"], &machine).unwrap_err().to_string();
    assert!(error.contains("encoder.time_steps: "), "{error}");
    // A batch has no more samples than there are.
    read(&[&format!("train.batch_size={largest}")], &machine).unwrap();
    read(&["train.epochs=4294967295"], &machine).unwrap();
    let repeats = read(&[&format!("sweep.repeats={largest}")], &machine).unwrap_err().to_string();
    assert!(repeats.contains("sweep.repeats: must be an integer in 1..=100000"), "{repeats}");
}

#[test]
fn a_machine_with_a_gpu_takes_other_combinations() {
    let gpu = Machine { device: DeviceName::Cuda(0), ..Machine::default() };
    let read =
        |setting: &str| Sweep::parse_for(Path::new("base.toml"), BASE, &[setting.to_owned()], &gpu);
    read("neuron.bits=3").unwrap();
    for setting in [
        "train.precision=f64",
        "train.quantization=int8",
        "network.execution=fused",
        "network.checkpoint_steps=2",
    ] {
        let error = read(setting).unwrap_err().to_string();
        assert!(error.contains(setting.split('=').next().unwrap()), "{setting}: {error}");
    }
}

#[test]
fn an_error_of_two_numbers_names_one_that_is_wrong() {
    for (settings, key) in [
        (&["neuron.v_threshold=3e38", "neuron.bits=1"][..], "neuron.v_threshold"),
        (&["neuron.shift=3e38"], "neuron.shift"),
        (&["neuron.surrogate={kind=\"sigmoid\", alpha=3e38}"], "neuron.surrogate.alpha"),
    ] {
        let error = refused(settings);
        assert!(error.contains(&format!(": {key}: ")), "{settings:?}: {error}");
    }
}

#[test]
fn lists_are_no_tables_and_names_no_blanks() {
    for (setting, message) in [
        ("target=[0.5]", "target: expected a table, found an array"),
        ("train=[]", "train: expected a table, found an array"),
        ("train.scheduler=[\"cosine\"]", "train.scheduler: expected a table, found an array"),
        ("train.epochs=4294967296", "train.epochs: expected an integer in 0..=4294967295"),
        ("name=\" \"", "name: must be usable as a folder's name"),
        ("name=\"a \"", "name: must be usable as a folder's name"),
    ] {
        let error = refused(&[setting]);
        assert!(error.contains(message), "{setting}: {error}");
    }
}
