//! A folder with a config, and the program in it. Each test file adds what it asks of them.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::process::{Command, Output};

/// A folder with `tiny.toml` in it.
pub struct Case {
    pub folder: tempfile::TempDir,
}

impl Case {
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.toml"), config).unwrap();
        Self { folder }
    }

    /// The program in the folder, as if there were no Slurm around it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mbspike"));
        command.args(arguments).current_dir(self.folder.path());
        for variable in std::env::vars_os().map(|(name, _)| name) {
            if variable.to_string_lossy().starts_with("SLURM_") {
                command.env_remove(variable);
            }
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
