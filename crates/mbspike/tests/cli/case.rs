//! A folder with a config, the program in it, and what it says.

use std::path::PathBuf;
use std::process::Output;

pub use crate::support::{Case, stderr};

pub const TINY: &str = r#"
name = "tiny"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 400
test_size = 50
[encoder]
kind = "poisson"
time_steps = 4
[network]
arch = "28x28-2c3-4a-10o"
[neuron]
bits = 2
[train]
epochs = 6
batch_size = 20
optimizer = { kind = "adam", lr = 5e-3 }
checkpoint_every = 3
[sweep]
"neuron.bits" = [1, 2]
"#;

impl Case {
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The folder of the run whose name starts with `id`.
    pub fn run_folder(&self, out: &str, id: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.path(out).join("tiny")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(id)).unwrap()
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", stderr(output)))
}

/// The bytes that must not depend on interruptions.
pub fn weights(case: &Case, out: &str) -> [Vec<u8>; 2] {
    ["bits-1", "bits-2"]
        .map(|id| std::fs::read(case.run_folder(out, id).join("checkpoint.safetensors")).unwrap())
}
