//! Simulated recordings of event cameras, in the published formats and folder layouts.
//!
//! [`simulate_nmnist`] moves MNIST digits along N-MNIST's three saccades, [`simulate_dvs_gesture`]
//! draws people who make DVS128 Gesture's gestures; both look at the scene through one
//! [`Camera`], an event camera with its imperfections. What they write is read by the loaders of the
//! real datasets, and says by a file [`MARKER`] that it is simulated.
//!
//! Recordings are made in parallel. Each draws its random numbers from counter-based streams keyed
//! by what it is (Philox), so that one machine writes the same bytes with any number of threads.

mod camera;
mod config;
mod folder;
mod gesture;
mod nmnist;

use std::path::PathBuf;

use mbspike_core::philox::{Domain, Place, Stream};

pub use camera::{Camera, CameraConfig, Exposure};
pub use folder::{MARKER, is_simulated};
pub use gesture::{GestureSimulation, Light, Lights, SceneConfig, simulate_dvs_gesture};
pub use nmnist::{NmnistSimulation, SaccadeConfig, simulate_nmnist};

/// Which events a config and a seed lead to; a change of the model counts it up, so that a folder is
/// never continued by another model.
const MODEL_VERSION: u32 = 1;

/// How many recordings to simulate, where to put them, from which seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The folder to write: absent, empty, or one that the same simulation was writing.
    pub out: PathBuf,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Size of the training set: recordings of N-MNIST, people of DVS Gesture.
    pub n_train: usize,
    /// Size of the test set.
    pub n_test: usize,
}

/// What a simulation came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Simulated {
    /// The folder.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// Files of recordings in it.
    pub n_files: usize,
    /// Those that were there before, from an interrupted simulation.
    pub n_found: usize,
}

/// Told of the files that are done and of all there will be.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What a random stream is for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// Thresholds of the camera's pixels.
    Mismatch = 0,
    /// Background events of one pixel.
    Noise = 1,
    /// The scene of one recording.
    Scene = 2,
    /// A person, the same in all their recordings.
    Person = 3,
}

fn stream(seed: u64, purpose: Purpose, number: u32, step: u32) -> Stream {
    let place = Place { epoch: purpose as u32, sample: number, step };
    Stream::new(seed, Domain::Simulate, place)
}
