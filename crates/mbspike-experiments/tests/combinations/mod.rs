//! Draws configs and starts them, on made-up data. Shared with the fuzz target `config_combinations`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use mbspike_core::philox::Place;
use mbspike_data::{EncodeKey, EncoderKind, Split};
use mbspike_experiments::config::Config;
use mbspike_experiments::machine::Machine;
use mbspike_experiments::memory;
use mbspike_experiments::sweep::Sweep;
use mbspike_lif::optim::{Ema, Optimizer, clip_grad_norm};
use mbspike_lif::{Network, StepKey};

/// What became of a config.
pub enum Outcome {
    /// A training step and an evaluation went through.
    Started,
    /// It was refused when it was read, with this message.
    Refused(String),
}

/// A key with values that it may have; an empty value leaves the key out.
type Choice<'a> = (&'a str, &'a [&'a str]);

/// Samples of the made-up training set.
const N_TRAIN: usize = 5;

const DATASETS: &[&str] = &[
    "\"fashion-mnist-subset\"",
    "\"fashion-mnist-subset\"",
    "\"mnist\"",
    "\"nmnist\"",
    "\"nmnist\"",
];
const ENCODER: &[Choice<'_>] = &[
    ("time_steps", &["1", "2", "3", "0", "1000000000"]),
    ("binary", &["", "", "true", "false"]),
    ("crop", &["", "", "", "[28, 28]", "[99, 1]"]),
    ("downsample", &["", "", "", "2", "40"]),
    ("mean", &["", "", "", "[0.5]", "[0.5, 0.5]", "[1e39]"]),
    ("std", &["", "", "", "[0.25]", "[0.0]", "[1e-30]"]),
    ("transforms", &["", "", "{ drop = 0.5 }", "{ jitter_px = 1e9 }"]),
];
const LAYERS: &[&str] = &[
    "2c3-2a",
    "2c3-bn-2a",
    "2c3-bn-2m",
    "2c9",
    "2c3v-dp0.5",
    "2m-2c5",
    "12-dp0.2",
    "7",
    "14a-2c1-bn",
];
const OUTPUTS: &[&str] = &["10o", "10o", "20o-vote2", "11o"];
const NETWORK: &[Choice<'_>] = &[
    ("readout", &["", "", "\"mean-spike\"", "\"last-membrane\"", "\"max-membrane\""]),
    ("bias", &["", "true"]),
    ("execution", &["", "", "\"auto\"", "\"fused\"", "\"layered\"", "\"batch\""]),
    ("checkpoint_steps", &["", "", "", "1", "2", "0"]),
];
const NEURON: &[Choice<'_>] = &[
    ("bits", &["1", "2", "3", "8", "16", "17"]),
    ("layer_bits", &["", "", "", "", "[1, 2]", "[4]"]),
    ("tau", &["", "", "1.0", "2.5", "1e20", "1e300"]),
    ("learnable_tau", &["", "", "", "true"]),
    ("v_threshold", &["", "", "0.3", "1e30", "1e39", "1e-36"]),
    (
        "reset",
        &[
            "",
            "\"hard\"",
            "{ kind = \"hard\", v_reset = -0.5 }",
            "\"none\"",
            "{ kind = \"hard\", v_reset = 1e38 }",
        ],
    ),
    ("detach_reset", &["", "", "true"]),
    ("decay_input", &["", "", "true"]),
    (
        "surrogate",
        &[
            "",
            "\"staircase\"",
            "\"atan\"",
            "\"straight-through\"",
            "\"triangle\"",
            "{ kind = \"fast-sigmoid\", alpha = 1e20 }",
            "{ kind = \"sigmoid\", alpha = 1e38 }",
        ],
    ),
    ("shift", &["", "", "", "\"unshifted\"", "0.25", "1e38"]),
];
const TRAIN: &[Choice<'_>] = &[
    ("batch_size", &["1", "2", "3", "5", "9223372036854775807"]),
    ("precision", &["", "", "", "\"bf16\"", "\"f64\""]),
    ("quantization", &["", "", "", "\"int8\""]),
    ("loss", &["", "\"mse\""]),
    ("label_smoothing", &["", "", "0.1", "1.0"]),
    ("mixup_alpha", &["", "", "0.2", "1e-3", "1e6"]),
    ("cutmix_alpha", &["", "", "1.0", "1e-9"]),
    ("random_erasing", &["", "", "1.0"]),
    ("random_crop", &["", "", "3", "27", "28"]),
    ("horizontal_flip", &["", "", "0.5"]),
    ("clip_grad_norm", &["", "", "1.0", "1e-30"]),
    ("ema", &["", "", "0.9", "1.0"]),
    ("memory_limit_mib", &["", "", "", "", "4096"]),
    (
        "optimizer",
        &[
            "{ kind = \"adam\", lr = 1e-3 }",
            "{ kind = \"adamw\", lr = 1e-3, eps = 1e-30 }",
            "{ kind = \"sgd\", lr = 1e-2, momentum = 0.9, nesterov = true }",
            "{ kind = \"sgd\", lr = 1e-2, nesterov = true }",
            "{ kind = \"rmsprop\", lr = 1e-3, momentum = 0.5, weight_decay = 1e30 }",
            "{ kind = \"adam\", lr = 1e-3, momentum = 0.9 }",
        ],
    ),
    (
        "scheduler",
        &[
            "",
            "\"cosine\"",
            "{ kind = \"cosine\", min_lr = 1 }",
            "{ kind = \"step\", step_size = 1 }",
            "{ kind = \"exponential\", gamma = 0.5, warm_up = { epochs = 2 } }",
            "{ kind = \"exponential\", gamma = 1e30 }",
        ],
    ),
];

/// A config being drawn.
struct Drawing<'a> {
    choose: &'a mut dyn FnMut(usize) -> usize,
    text: String,
}

impl Drawing<'_> {
    fn pick(&mut self, values: &[&'static str]) -> &'static str {
        values[(self.choose)(values.len())]
    }

    /// Each key with its first value, the harmless one, or, once in `rarely` times, any.
    fn keys(&mut self, choices: &[Choice<'static>], rarely: usize) {
        for (key, values) in choices {
            let value = if (self.choose)(rarely) == 0 { self.pick(values) } else { values[0] };
            if !value.is_empty() {
                self.add(&format!("{key} = {value}"));
            }
        }
    }

    fn add(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// A config; `choose(n)` gives a number below `n`.
pub fn text(choose: &mut dyn FnMut(usize) -> usize) -> String {
    let mut drawing = Drawing { choose, text: String::new() };
    let dataset = drawing.pick(DATASETS);
    drawing.add(&format!("name = \"drawn\"\nseed = 7\n[dataset]\nname = {dataset}"));
    drawing.add(&format!("train_size = {N_TRAIN}\ntest_size = 3\n[encoder]"));
    let is_events = dataset == "\"nmnist\"";
    // Mostly what fits, so that combinations are not all refused for the same reason.
    let (time, number) =
        ("\"event-frame\"\nsplit = \"time\"", "\"event-frame\"\nsplit = \"number\"");
    let kind = if is_events {
        drawing.pick(&[time, number, time, number, "\"poisson\""])
    } else {
        drawing.pick(&["\"poisson\"", "\"direct\"", "\"poisson\"", "\"direct\"", time])
    };
    drawing.add(&format!("kind = {kind}"));
    drawing.keys(ENCODER, 4);
    let input = match is_events {
        true if drawing.text.contains("crop = [28, 28]") => "28x28x2",
        true => "34x34x2",
        false => "28x28",
    };
    let n_layers = (drawing.choose)(3);
    let mut arch = vec![input];
    arch.extend((0..n_layers).map(|_| drawing.pick(LAYERS)));
    arch.push(drawing.pick(OUTPUTS));
    drawing.add(&format!("[network]\narch = \"{}\"", arch.join("-")));
    drawing.keys(NETWORK, 3);
    drawing.add("[neuron]");
    drawing.keys(NEURON, 4);
    drawing.add("[train]\nepochs = 2");
    drawing.keys(TRAIN, 4);
    drawing.text
}

/// Reads a config and, if it is taken, trains and evaluates one batch of made-up samples.
pub fn start(text: &str) -> Outcome {
    let machine = Machine { memory_bytes: Some(2 << 30), ..Machine::default() };
    match Sweep::parse_for(Path::new("drawn.toml"), text, &[], &machine) {
        Err(error) => Outcome::Refused(error.to_string()),
        Ok(sweep) => {
            let config = &sweep.points[0].config;
            memory::estimate(
                config,
                &config.dataset.describe().expect("they are described"),
                &machine,
            )
            .expect("its memory was estimated");
            step(config)
                .unwrap_or_else(|error| panic!("was read, but does not start: {error}\n{text}"));
            Outcome::Started
        }
    }
}

fn step(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let n = config.train.batch_size.min(N_TRAIN);
    let input = config.network.arch.input;
    let shape = [input.channels, input.height, input.width];
    let n_steps = config.encoder.time_steps;
    let samples: Vec<u32> = (0..n as u32).collect();
    let is_events = config.encoder.kind == EncoderKind::EventFrame;
    let planes = if is_events { n_steps } else { 1 } * input.n_elements();
    let mut values: Vec<f32> = (0..n * planes).map(|i| ((i * 37) % 11) as f32 / 10.0).collect();
    let augment = config.augment();
    let size = [input.height, input.width];
    for (sample, values) in values.chunks_exact_mut(planes).enumerate() {
        augment.sample(values, size, 7, Place { epoch: 0, sample: sample as u32, step: 0 });
    }
    let n_classes = config.network.arch.n_classes();
    let labels: Vec<u8> = (0..n).map(|i| (i % n_classes) as u8).collect();
    let mut targets = vec![0.0; n * n_classes];
    augment.targets(&mut targets, &labels, n_classes);
    augment.mix(&mut values, &mut targets, size, n, 7, [0, 0])?;
    let mut x_seq = vec![0.0; n_steps * n * input.n_elements()];
    let key = EncodeKey { seed: 7, epoch: 0, split: Split::Train };
    config.encoder.encode_into(&mut x_seq, &values, shape, &samples, key)?;
    assert!(x_seq.iter().chain(&targets).all(|x| x.is_finite()), "encoded to what is no number");

    let device = Device::Cpu;
    let dims = (n_steps, n, input.channels, input.height, input.width);
    let x_seq = Tensor::from_vec(x_seq, dims, &device)?;
    let targets = Tensor::from_vec(targets, (n, n_classes), &device)?.to_dtype(DType::F32)?;
    let mut network = Network::new(&config.network_config(), config.seed, &device)?;
    let mut optimizer = Optimizer::new(config.train.optimizer, network.parameters())?;
    let mut ema = config.train.ema.map(|d| Ema::new(d, network.parameters())).transpose()?;
    let key = StepKey { seed: config.seed, iteration: 0 };
    let mut step = network.train_step(&x_seq, &targets, config.loss(), key)?;
    if let Some(norm) = config.train.clip_grad_norm {
        clip_grad_norm(&mut step.gradients, norm)?;
    }
    let lr = config.train.scheduler.lr(config.train.optimizer.lr(), 0, 2);
    optimizer.step(&step.gradients, lr)?;
    if let Some(ema) = &mut ema {
        ema.update()?;
    }
    network.predict(&x_seq)?;
    Ok(())
}
