//! Datasets, event streams and spike encoders for spiking neural networks.
//!
//! A [`Dataset`] is [loaded](load()) as published; a [`Loader`] turns its samples into batches of
//! sequences `[T, B, C, H, W]`, prepared ahead of training by a thread of their own. Every random
//! choice (order, augmentation, spikes) is a function of a seed, the epoch and the sample, so that
//! no number depends on batch size, order or threads.
//!
//! ```
//! use mbspike_data::catalog::DatasetName;
//! use mbspike_data::{AugmentConfig, DatasetConfig, EncoderConfig, Loader, LoaderConfig};
//!
//! let dataset = mbspike_data::load(&DatasetConfig::new(DatasetName::FashionMnistSubset))?;
//! let config = LoaderConfig {
//!     encoder: EncoderConfig::poisson(10),
//!     augment: AugmentConfig::default(),
//!     batch_size: 128,
//!     n_classes: dataset.n_classes(),
//!     seed: 2025,
//!     shuffle: true,
//! };
//! let loader = Loader::new(dataset.train, config)?;
//! let batch = loader.epoch(0, 0).next().expect("the set is not empty")?;
//! assert_eq!(batch.dims, [10, 128, 1, 28, 28]);
//! # Ok::<(), mbspike_data::Error>(())
//! ```
#![warn(missing_docs)]

pub mod aedat;
pub mod aedat2;
pub mod aedat4;
pub mod archive;
pub mod atis;
mod augment;
mod blosc;
pub mod catalog;
pub mod cifar10;
mod config;
mod dataset;
pub mod dvs_gesture;
mod encode;
mod error;
mod event_set;
mod event_transforms;
mod events;
pub mod evt;
mod fetch;
mod frame_cache;
pub mod frames;
mod hdf5;
pub mod hdf5_events;
pub mod heidelberg;
pub mod idx;
mod import;
mod inspect;
mod load;
mod loader;
pub mod locate;
mod mnist;
mod nmnist;
mod npy;
mod order;
mod own;
mod picture;
pub mod prophesee;
mod recording;
pub mod simulate;
mod split;
mod synthetic;
mod verify;
mod zip_entry;

pub use augment::AugmentConfig;
pub use config::{DatasetConfig, FrameCachePlace, SourceName};
pub use dataset::{ArraySet, Dataset, ImageSet, SampleKind, SampleSet};
pub use encode::{EncodeKey, EncoderConfig, EncoderKind, FrameSplit, MAX_TIME_STEPS};
pub use error::{Error, Result, printable};
pub use event_set::{EventSet, Recording};
pub use event_transforms::EventTransforms;
pub use events::{Disorder, Events, MAX_PIXELS};
pub use fetch::{FetchEvent, Fetched, fetch};
pub use import::{Imported, ImportedFile, import};
pub use inspect::{
    Inspection, N_INSPECTED_RECORDINGS, N_RATES, PixelStatistics, RecordingInspection,
    RecordingStatistics, SetInspection, inspect, inspect_recording, sparkline,
};
pub use load::{Description, load};
pub use loader::{Batch, Batches, Loader, LoaderConfig};
pub use mbspike_core::InputCode;
pub use order::shuffled;
pub use own::{OwnKind, Series, parse_arff, parse_ts};
pub use picture::{contact_sheet, frame_strip};
pub use recording::{is_recording, parse_csv, read_recording, recordings_in};
pub use split::{Split, class_balanced_prefix};
pub use synthetic::SyntheticTask;
pub use verify::{FileCheck, Listing, Verdict, list, verify};
pub use zip_entry::ZipEntry;
