#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod conclusion;
pub mod conversion;
pub mod curves;
pub mod energy;
mod error;
pub mod files;
mod group;
mod holder;
mod identity;
mod label;
mod lock;
mod mark;
mod metrics;
pub mod neuron;
mod plan;
pub mod prune;
mod record;
pub mod reference;
mod repeats;
pub mod status;
pub mod table;
mod target;
pub mod tensorboard;

pub use error::{Error, Result};
pub use files::{read_json, read_summaries, read_summary, write_json};
pub use group::{Facet, Grid, Group, Groups, Run, RunGroup, RunSet};
pub use holder::{Holder, Job, RunProgress};
pub use identity::{Difference, FREE_KEYS, Identity};
pub use label::{Names, bits_in_words, value_text};
pub use lock::{Lock, Timing};
pub use mark::MetricsMark;
pub use metrics::{MetricsLog, read_metrics};
pub use plan::{Plan, PlannedRun};
pub use record::{DatasetSummary, Environment, EpochRecord, Record, Status, Summary, WindowRecord};
pub use reference::Reference;
pub use repeats::{Bound, Estimate, Measure, Repeat, Repeats, median};
pub use target::{TargetKind, TargetOptions};
