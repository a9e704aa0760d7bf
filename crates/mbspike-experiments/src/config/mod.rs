//! The config of an experiment: one TOML file.
//!
//! | table | keys |
//! |---|---|
//! | | `name`, `seed`, `reference` (of the whole sweep) |
//! | `[dataset]` | `name`, `path`, `train_size`, `test_size`, `frame_cache` |
//! | `[encoder]` | `kind`, `time_steps`, … |
//! | `[network]` | `arch`, `preset`, or `input` and `[[network.layer]]`; `readout`, `bias`, `execution`, `checkpoint_steps` |
//! | `[neuron]` | `bits` or `levels`, `preset`, `layer_bits`, `tau` or `beta`, `learnable_tau`, `v_threshold`, `learnable_threshold`, `learned_by`, `signed`, `rounding`, `output`, `tau_syn`, `adaptation`, `reset`, `detach_reset`, `decay_input`, `surrogate`, `shift` |
//! | `[train]` | `epochs`, `batch_size`, `optimizer`, `scheduler`, `precision`, `quantization`, `loss`, `label_smoothing`, `mixup_alpha`, `cutmix_alpha`, `random_erasing`, `random_crop`, `horizontal_flip`, `ema`, `clip_grad_norm`, `log_every`, `tensorboard`, `checkpoint_every`, `checkpoint_every_s`, `memory_limit_mib` |
//! | `[target]` | `accuracy` |
//! | `[sweep]` | see [`crate::sweep`] |
//!
//! Only what the thesis fixes has a default. Unknown keys, wrong types, values out of range (of the
//! precision that is computed in), keys without effect, combinations that cannot run and runs that need
//! more memory than there is are errors that name file, line, column and the nearest known key.

mod de;
pub(crate) mod document;
pub(crate) mod origin;
mod read;
mod settings;
mod template;
mod validate;
mod wire;

pub use origin::ConfigError;
pub(crate) use read::{read, read_table};
pub use settings::{Config, LOG_EVERY, NetworkSettings, TargetConfig, TrainConfig};
pub use template::{TEMPLATE, template_as_markdown, template_as_schema};
