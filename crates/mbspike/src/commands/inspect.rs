use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use mbspike_data::catalog::DatasetName;
use mbspike_data::frames::{Slicing, View, integrate};
use mbspike_data::{
    DatasetConfig, Error, Events, SampleSet, inspect_recording, printable, read_recording,
};
use mbspike_experiments::sweep::Sweep;
use mbspike_figures::figure::{self, Recording};

use super::{print_json, print_table};
use crate::cli::InspectArgs;
use crate::printer;

/// Frames in the strip of a recording.
const N_FRAMES: usize = 10;
/// Width of a frame in a strip, in pixels, about.
const FRAME_PIXELS: usize = 136;

pub fn inspect(args: &InspectArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    match args.target.parse::<DatasetName>() {
        Ok(name) => {
            let config = DatasetConfig { path: args.path.clone(), ..DatasetConfig::new(name) };
            dataset(&config, args, quiet)
        }
        Err(_) if Path::new(&args.target).extension().is_some_and(|ending| ending == "toml") => {
            let sweep = Sweep::read(Path::new(&args.target), &[])?;
            let first = sweep.points.first().context("the config has no run")?;
            dataset(&first.config.dataset, args, quiet)
        }
        Err(_) if Path::new(&args.target).is_file() => recording(args, quiet),
        Err(error) => Err(Error::Config {
            key: args.target.clone(),
            message: format!("neither a dataset nor a file: {error}"),
        }
        .into()),
    }
}

fn dataset(config: &DatasetConfig, args: &InspectArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let name = config.name;
    let dataset = mbspike_data::load(config)?;
    let inspection = mbspike_data::inspect(&dataset)?;
    if args.json {
        print_json(&inspection)?;
    } else {
        let simulated = if inspection.simulated { " (simulated)" } else { "" };
        let mut rows = vec![vec![format!(
            "{} from {}{simulated}",
            inspection.name,
            printable(&inspection.source)
        )]];
        for (split, set) in [("train", &inspection.train), ("test", &inspection.test)] {
            rows.push(vec![format!("{split}: {set}")]);
        }
        let counts = inspection.train.class_counts.iter().zip(&inspection.test.class_counts);
        for (class, (train, test)) in inspection.class_names.iter().zip(counts) {
            let class = printable(class);
            rows.push(vec![format!("  {class:<16}{train:>8}{test:>8}")]);
        }
        print_table(&rows)?;
    }
    if let Some(out) = &args.out {
        write(out, &mbspike_data::contact_sheet(&dataset.train, 12, 2)?, quiet)?;
    }
    match (&args.plot, &dataset.train) {
        (None, _) => {}
        (Some(plot), SampleSet::Events(set)) => draw(plot, &set.read(0)?, quiet)?,
        (Some(_), _) => {
            let message = format!(
                "{name} has no recordings but images or arrays, which have no time; --out draws them"
            );
            return Err(Error::Config { key: "--plot".to_owned(), message }.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn recording(args: &InspectArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let file = Path::new(&args.target);
    let events = read_recording(file, args.sensor)?;
    if args.strict {
        events.require_order(file)?;
    }
    let found = inspect_recording(&events);
    if args.json {
        print_json(&found)?;
    } else {
        print_table(&[vec![found.to_string()]])?;
    }
    if let Some(out) = &args.out {
        let slicing = Slicing::Time { n_frames: N_FRAMES };
        let frames = integrate(&events, &slicing, &View::whole(events.sensor))?;
        let scale = (FRAME_PIXELS / events.sensor[1]).max(1);
        write(out, &mbspike_data::frame_strip(&frames, events.sensor, scale)?, quiet)?;
    }
    if let Some(plot) = &args.plot {
        draw(plot, &events, quiet)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn draw(path: &Path, events: &Events, quiet: bool) -> anyhow::Result<()> {
    let recording = Recording {
        sensor: events.sensor,
        t_us: &events.t_us,
        x: &events.x,
        y: &events.y,
        on: &events.on,
    };
    figure::events(&recording)?.save_as(path)?;
    say(path, quiet);
    Ok(())
}

fn write(path: &Path, picture: &[u8], quiet: bool) -> anyhow::Result<()> {
    mbspike_files::write(path, |file| file.write_all(picture))?;
    say(path, quiet);
    Ok(())
}

fn say(path: &Path, quiet: bool) {
    printer::say(quiet, format_args!("wrote {}", path.display()));
}
