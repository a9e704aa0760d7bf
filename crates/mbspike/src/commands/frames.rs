use std::collections::BTreeMap;
use std::process::ExitCode;

use mbspike_data::frames::{Origin, Slicing, View, save};
use mbspike_data::{Error, read_recording};

use super::print_table;
use crate::cli::{FramesArgs, OriginName, SplitName};
use crate::printer;

pub fn frames(args: &FramesArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let slicing = slicing(args)?;
    let origin = match args.origin {
        None | Some(OriginName::FirstEvent) => Origin::FirstEvent,
        Some(OriginName::Zero) => Origin::Zero,
    };
    let events = read_recording(&args.file, args.sensor)?;
    if args.strict {
        events.require_order(&args.file)?;
    }
    let view = View::whole(events.sensor);
    let metadata = BTreeMap::from([
        ("recording", args.file.display().to_string()),
        ("slicing", serde_json::to_string(&slicing)?),
        ("origin", serde_json::to_string(&origin)?),
    ]);
    let n_frames = save(&args.out, &events, &slicing, origin, &view, &metadata)?;
    let (n, file, [height, width]) = (events.len(), args.file.display(), view.size());
    let sorted = events
        .disorder
        .map_or(String::new(), |disorder| format!(", {} out of order, sorted", disorder.n_events));
    let message = format!("{file}: {n} events{sorted} in {n_frames} frames of {height}x{width}");
    printer::say(quiet, message);
    print_table(&[vec![args.out.display().to_string()]])?;
    Ok(ExitCode::SUCCESS)
}

/// What was asked for; an option that the split needs must be there, and no other.
fn slicing(args: &FramesArgs) -> Result<Slicing, Error> {
    let wrong = |key: &str, message: &str| Error::Config {
        key: key.to_owned(),
        message: message.to_owned(),
    };
    let (needed, has_overlap) = match args.split {
        SplitName::Number | SplitName::Time => ("--time-steps", false),
        SplitName::TonicTimeBins | SplitName::TonicEventBins => ("--time-steps", true),
        SplitName::Duration => ("--us", false),
        SplitName::TonicTimeWindow => ("--us", true),
        SplitName::TonicEventCount => ("--count", true),
    };
    let given = [("--time-steps", args.time_steps), ("--us", args.us), ("--count", args.count)];
    for (option, value) in given {
        if option == needed && value.is_none() {
            return Err(wrong(option, "this split needs it"));
        }
        if option != needed && value.is_some() {
            return Err(wrong(option, "this split has no such option"));
        }
    }
    let is_window = matches!(args.split, SplitName::TonicTimeWindow | SplitName::TonicEventCount);
    if (args.overlap != 0.0 && !has_overlap) || !args.overlap.is_finite() || args.overlap < 0.0 {
        return Err(wrong("--overlap", "this split has no such overlap"));
    }
    if is_window && args.overlap.fract() != 0.0 {
        return Err(wrong("--overlap", "expected a whole number for this split"));
    }
    if args.include_incomplete && !is_window {
        return Err(wrong("--include-incomplete", "this split has no such option"));
    }
    let value = given.into_iter().find_map(|(_, value)| value).unwrap_or(0);
    let (overlap, include_incomplete) = (args.overlap, args.include_incomplete);
    let slicing = match args.split {
        SplitName::Number => Slicing::Number { n_frames: value },
        SplitName::Time => Slicing::Time { n_frames: value },
        SplitName::Duration => Slicing::Duration { us: i64::try_from(value).unwrap_or(i64::MAX) },
        SplitName::TonicTimeBins => Slicing::TonicTimeBins { n_frames: value, overlap },
        SplitName::TonicEventBins => Slicing::TonicEventBins { n_frames: value, overlap },
        SplitName::TonicTimeWindow => Slicing::TonicTimeWindow {
            us: i64::try_from(value).unwrap_or(i64::MAX),
            overlap_us: overlap as i64,
            include_incomplete,
        },
        SplitName::TonicEventCount => {
            Slicing::TonicEventCount { count: value, overlap: overlap as usize, include_incomplete }
        }
    };
    if args.origin.is_some() && !slicing.is_of_time() {
        return Err(wrong("--origin", "this split has no windows of time"));
    }
    slicing.validate().map_err(|error| match error {
        Error::Config { key, message } if key == "overlap" => wrong("--overlap", &message),
        Error::Config { message, .. } => wrong(needed, &message),
        other => other,
    })?;
    Ok(slicing)
}
