//! The parts of a config that this crate defines: what is read, what is refused.

use mbspike_lif::optim::OptimizerConfig;
use mbspike_lif::schedule::{Schedule, WarmUp, WarmUpKind};
use mbspike_lif::{Arch, Loss, Readout};
use serde_json::{from_value, json, to_value};

#[test]
fn optimizers_have_the_defaults_of_pytorch() {
    let adam = from_value::<OptimizerConfig>(json!({"kind": "adam", "lr": 2e-3})).unwrap();
    assert_eq!(adam, OptimizerConfig::adam(2e-3));
    let adamw = from_value::<OptimizerConfig>(json!({"kind": "adamw", "lr": 0.1})).unwrap();
    let defaults =
        OptimizerConfig::AdamW { lr: 0.1, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01 };
    assert_eq!(adamw, defaults);
    assert_eq!(from_value::<OptimizerConfig>(to_value(adamw).unwrap()).unwrap(), adamw);
}

#[test]
fn unknown_and_missing_settings_are_refused() {
    let cases = [
        (json!({"kind": "adam", "lr": 0.1, "momentum": 0.9}), "momentum"),
        (json!({"kind": "adam"}), "lr"),
        (json!({"kind": "lion", "lr": 0.1}), "lion"),
    ];
    for (config, named) in cases {
        let error = from_value::<OptimizerConfig>(config).unwrap_err().to_string();
        assert!(error.contains(named), "no {named} in {error}");
    }
    let error = from_value::<Schedule>(json!({"kind": "cosine", "gamma": 0.1})).unwrap_err();
    assert!(error.to_string().contains("gamma"), "{error}");
    let error = from_value::<Loss>(json!({"smoothing": 0.1})).unwrap_err();
    assert!(error.to_string().contains("label_smoothing"), "{error}");
}

#[test]
fn optimizer_settings_outside_their_range_are_refused() {
    let bad = [
        json!({"kind": "adam", "lr": -1.0}),
        json!({"kind": "adam", "lr": 0.1, "betas": [0.9, 1.0]}),
        json!({"kind": "adamw", "lr": 0.1, "eps": -1e-8}),
        json!({"kind": "sgd", "lr": 0.1, "nesterov": true}),
        json!({"kind": "sgd", "lr": 0.1, "momentum": -0.9}),
        json!({"kind": "sgd", "lr": 0.1, "momentum": 2.0}),
        json!({"kind": "rmsprop", "lr": 0.1, "weight_decay": -0.1}),
        json!({"kind": "rmsprop", "lr": 0.1, "alpha": 1.5}),
        json!({"kind": "rmsprop", "lr": 0.1, "momentum": 1.0}),
    ];
    for config in bad {
        let optimizer: OptimizerConfig = from_value(config.clone()).unwrap();
        assert!(optimizer.validate().is_err(), "{config}");
    }
}

#[test]
fn schedules_are_read_with_their_warm_up() {
    let schedule: Schedule =
        from_value(json!({"kind": "cosine", "warm_up": {"epochs": 5}})).unwrap();
    let warm_up = WarmUp { kind: WarmUpKind::Linear, epochs: 5, factor: 0.01 };
    assert_eq!(schedule, Schedule::Cosine { min_lr: 0.0, warm_up: Some(warm_up) });
    assert_eq!(schedule.lr(1.0, 0, 20), 0.01);
    assert_eq!(schedule.lr(1.0, 5, 20), 1.0);
    assert_eq!(from_value::<Schedule>(json!({"kind": "none"})).unwrap(), Schedule::default());
}

#[test]
fn a_warm_up_longer_than_training_stays_finite() {
    let warm_up = Some(WarmUp { kind: WarmUpKind::Constant, epochs: 5, factor: 0.1 });
    let schedule = Schedule::Cosine { min_lr: 0.0, warm_up };
    for position in 0..10 {
        let lr = schedule.lr(1.0, position, 3);
        assert!((0.0..=1.0).contains(&lr), "{lr} at {position}");
    }
}

#[test]
fn schedule_settings_outside_their_range_are_refused() {
    let bad = [
        json!({"kind": "cosine", "min_lr": -0.1}),
        json!({"kind": "step", "step_size": 0}),
        json!({"kind": "exponential", "gamma": 0.0}),
        json!({"kind": "none", "warm_up": {"epochs": 1, "factor": 2.0}}),
        json!({"kind": "none", "warm_up": {"epochs": 0}}),
    ];
    for config in bad {
        assert!(from_value::<Schedule>(config.clone()).unwrap().validate().is_err(), "{config}");
    }
}

#[test]
fn an_architecture_is_its_notation_and_a_readout_its_name() {
    let arch: Arch = from_value(json!("28x28-8c5-2a-10o")).unwrap();
    assert_eq!(to_value(&arch).unwrap(), json!("28x28-8c5-2a-10o"));
    let error = from_value::<Arch>(json!("28x28-8c5-3a-10o")).unwrap_err().to_string();
    assert!(error.contains("divides 28"), "{error}");
    assert_eq!(to_value(Readout::MaxMembrane).unwrap(), json!("max-membrane"));
}
