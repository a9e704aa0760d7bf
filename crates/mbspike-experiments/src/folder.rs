//! Which folder a run is in, and whether what is there belongs to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use mbspike_core::DeviceName;
use mbspike_results::files::{CONFIG_FILE, RUN_FILE, STATE_FILE, SUMMARY_FILE, SWEEP_FILE};
use mbspike_results::files::{read_toml, sub_folders};
use mbspike_results::{
    Difference, Identity, Lock, Plan, PlannedRun, read_json, read_summary, write_json,
};

use crate::checkpoint::checksum_of_weights;
use crate::error::Error;
use crate::sweep::{Point, Sweep};
use crate::train::Learner;

/// A run and the folder that it is in, or will be.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The run; its `id` is the name of the folder.
    pub point: Point,
    /// The folder.
    pub folder: PathBuf,
    /// Which run it is.
    pub identity: Identity,
    /// The kind of device that it is computed on.
    pub device: &'static str,
}

/// The kind of a device: those of one kind compute the same bits.
pub(crate) fn kind(device: DeviceName) -> &'static str {
    match device {
        DeviceName::Cpu => "cpu",
        DeviceName::Cuda(_) => "cuda",
    }
}

impl Place {
    /// What `run.json` holds.
    pub(crate) fn planned(&self) -> PlannedRun {
        let Point { id, values, repeat, config, .. } = &self.point;
        PlannedRun {
            id: id.clone(),
            identity: self.identity.clone(),
            values: values.clone(),
            repeat: *repeat,
            device: self.device.to_owned(),
            bits: config.neuron.bits,
            layer_bits: config.neuron.layer_bits.clone().unwrap_or_default(),
        }
    }

    /// Whether the run is over.
    ///
    /// # Errors
    /// If its config is not what it was, or it was interrupted and is not to be resumed.
    pub(crate) fn is_over(&self, resume: bool) -> Result<bool, Error> {
        let is_started = self.folder.join(STATE_FILE).exists();
        let is_over = self.folder.join(SUMMARY_FILE).exists();
        if is_started || is_over {
            check_config(&self.folder)?;
        }
        if is_started && !is_over && !resume && !is_at_work(&self.folder)? {
            return Err(Error::Interrupted(self.folder.clone()));
        }
        Ok(is_over)
    }

    /// Takes what was swept now into the record of a run that is over: it may have been started alone.
    fn adopt(&self) -> Result<(), Error> {
        let file = self.folder.join(SUMMARY_FILE);
        if !file.exists() {
            return Ok(());
        }
        let before = read_summary(&file)?;
        let mut after = before.clone();
        after.values.extend(self.point.values.clone());
        after.group.clone_from(&self.identity.group);
        after.id.clone_from(&self.point.id);
        if after != before {
            let _lock = Lock::try_lock(&self.folder)?;
            write_json(&file, &after)?;
        }
        Ok(())
    }
}

/// The places of a sweep's runs in its folder: those where they are already, whatever they are called
/// there, or new ones. To be called under the folder's lock.
pub(crate) fn find(
    folder: &Path,
    sweep: &Sweep,
    device: &'static str,
) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    for point in &sweep.points {
        let identity = point.identity(device)?;
        let mut point = point.clone();
        point.id = point.id_of(&identity);
        places.push(Place { folder: folder.join(&point.id), point, identity, device });
    }
    let mut there = Existing::read(folder)?;
    if places.iter().any(|place| !there.by_run.contains_key(&place.identity.run)) {
        there.resolve_again();
    }
    for place in &mut places {
        if let Some(folder) = there.by_run.get(&place.identity.run) {
            place.point.id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            place.folder.clone_from(folder);
            place.adopt()?;
        } else if let Some(run) = there.folders.get(&place.folder) {
            return Err(Error::OtherConfig {
                path: place.folder.join(CONFIG_FILE),
                key: "run".to_owned(),
                there: run.clone(),
                here: place.identity.run.clone(),
            });
        }
    }
    Ok(places)
}

/// Refuses to go on with a sweep of which a run was begun on another kind of device and is not over.
///
/// # Errors
/// If there is such a run, or a record in the folder cannot be read.
pub(crate) fn check_devices(
    folder: &Path,
    sweep: &Sweep,
    device: &'static str,
) -> Result<(), Error> {
    if !folder.is_dir() {
        return Ok(());
    }
    let there = Existing::read(folder)?;
    let mut others: Vec<&String> = there.repeats.values().map(|(_, other)| other).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|other| *other != device);
    for (other, point) in others.iter().flat_map(|o| sweep.points.iter().map(move |p| (*o, p))) {
        let begun = there.by_run.get(&point.identity(other)?.run);
        let is_over = |run: &PathBuf| run.join(SUMMARY_FILE).is_file();
        if let Some(run) = begun.filter(|run| !is_over(run))
            && !there.by_run.contains_key(&point.identity(device)?.run)
        {
            return Err(Error::OtherDevice {
                run: run.clone(),
                there: other.clone(),
                here: device,
            });
        }
    }
    Ok(())
}

/// The places of some of a sweep's runs, by the names that the plan in its folder gives them: without
/// looking at the others, so that a thousand processes with a run each look at a thousand folders and not
/// at a million. Needs no lock.
///
/// # Errors
/// If there is no plan, it is of another config, or has no run of a name.
pub(crate) fn find_planned(
    folder: &Path,
    sweep: &Sweep,
    device: &'static str,
    names: &[String],
) -> Result<Vec<Place>, Error> {
    let or_absent = |value: Option<String>| value.unwrap_or_else(|| "absent".to_owned());
    if let Some(Difference { key, there, here }) = Plan::difference(folder, &sweep.resolved)? {
        let (path, there, here) = (folder.join(SWEEP_FILE), or_absent(there), or_absent(here));
        return Err(Error::OtherConfig { path, key, there, here });
    }
    let not_planned =
        |name: &str| Error::NotPlanned { folder: folder.to_owned(), run: name.to_owned() };
    let plan =
        Plan::read(folder)?.ok_or_else(|| not_planned(names.first().map_or("", |name| name)))?;
    let mut points = BTreeMap::new();
    for point in &sweep.points {
        points.insert(point.identity(device)?.run, point);
    }
    let place = |name: &String| {
        let planned =
            plan.runs.iter().find(|run| run.id == *name).ok_or_else(|| not_planned(name))?;
        let point = points.get(&planned.identity.run).ok_or_else(|| not_planned(name))?;
        let point = Point { id: name.clone(), ..(*point).clone() };
        Ok(Place { folder: folder.join(name), point, identity: planned.identity.clone(), device })
    };
    names.iter().map(place).collect()
}

/// The runs in a folder that have something to lose.
#[derive(Default)]
struct Existing {
    /// The identity that each was started with.
    folders: BTreeMap<PathBuf, String>,
    by_run: BTreeMap<String, PathBuf>,
    repeats: BTreeMap<PathBuf, (u32, String)>,
}

impl Existing {
    fn read(folder: &Path) -> Result<Self, Error> {
        let mut there = Self::default();
        let mut runs = sub_folders(folder)?;
        runs.retain(|run| has_results(run));
        // Of two that are one run, that which is over counts.
        runs.sort_by_key(|run| !run.join(SUMMARY_FILE).is_file());
        for run in runs {
            let (identity, repeat, device) = if let Some(planned) = read_planned(&run)? {
                (planned.identity, planned.repeat, planned.device)
            } else {
                let (repeat, device) = (repeat_before(&run)?, "cpu".to_owned());
                let config = read_toml(&run.join(CONFIG_FILE))?;
                (Identity::of(&config, repeat, &device), repeat, device)
            };
            there.by_run.entry(identity.run.clone()).or_insert_with(|| run.clone());
            there.repeats.insert(run.clone(), (repeat, device));
            there.folders.insert(run, identity.run);
        }
        Ok(there)
    }

    /// Knows the runs by their configs as this version resolves them, too: another may have written keys
    /// that are called otherwise now, or lacked some.
    fn resolve_again(&mut self) {
        for (run, (repeat, device)) in &self.repeats {
            let Ok(sweep) = Sweep::read(&run.join(CONFIG_FILE), &[]) else { continue };
            let Some(point) = sweep.points.first() else { continue };
            let point = Point { repeat: *repeat, ..point.clone() };
            if let Ok(identity) = point.identity(device) {
                self.by_run.entry(identity.run).or_insert_with(|| run.clone());
            }
        }
    }
}

/// What a run's `run.json` says; `None` if it is from before version 0.2.
fn read_planned(run: &Path) -> Result<Option<PlannedRun>, Error> {
    let path = run.join(RUN_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let remedy = "put it back from a copy, or remove the run's folder";
    Ok(Some(read_json(&path, remedy)?))
}

/// Which repeat a run from before version 0.2 is.
pub(crate) fn repeat_before(run: &Path) -> Result<u32, Error> {
    let summary = run.join(SUMMARY_FILE);
    if summary.is_file() {
        return Ok(read_summary(&summary)?.repeat);
    }
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let number = name.split('_').find_map(|part| part.strip_prefix("rep-")?.parse().ok());
    Ok(number.unwrap_or(1))
}

/// Refuses a run's config that is not the one it was started with.
fn check_config(run: &Path) -> Result<(), Error> {
    let Some(planned) = read_planned(run)? else { return Ok(()) };
    let path = run.join(CONFIG_FILE);
    let identity = Identity::of(&read_toml(&path)?, planned.repeat, &planned.device);
    if identity == planned.identity { Ok(()) } else { Err(Error::EditedConfig(path)) }
}

/// The run that is in a folder, with changes from the command line.
///
/// # Errors
/// If there is no config, it is wrong, or it is not what the run was started with.
pub(crate) fn read_point(run: &Path, settings: &[String]) -> Result<Point, Error> {
    let sweep = Sweep::read(&run.join(CONFIG_FILE), settings)?;
    check_config(run)?;
    let mut points = sweep.points.into_iter();
    Ok(points.next().expect("a config without a sweep is one run"))
}

/// Refuses a folder that holds runs of another experiment. The part `[sweep]` may differ: a sweep may be
/// extended. A start that failed before a run began does not keep the name. To be called under the
/// folder's lock.
pub(crate) fn check_sweep(folder: &Path, sweep: &Sweep) -> Result<(), Error> {
    let Some(Difference { key, there, here }) = Plan::difference(folder, &sweep.resolved)? else {
        return Ok(());
    };
    let mut is_begun = false;
    for run in sub_folders(folder)? {
        is_begun = is_begun || has_results(&run) || is_at_work(&run)?;
    }
    if !is_begun {
        return Ok(());
    }
    let or_absent = |value: Option<String>| value.unwrap_or_else(|| "absent".to_owned());
    let (path, there, here) = (folder.join(SWEEP_FILE), or_absent(there), or_absent(here));
    Err(Error::OtherConfig { path, key, there, here })
}

/// Whether a folder has a run with something to lose.
fn has_results(run: &Path) -> bool {
    let has = |file: &str| run.join(file).is_file();
    has(CONFIG_FILE) && (has(STATE_FILE) || has(SUMMARY_FILE))
}

/// Whether a process is running a run right now.
fn is_at_work(run: &Path) -> Result<bool, Error> {
    Ok(run.join(CONFIG_FILE).is_file() && Lock::holder(run)?.is_some())
}

/// Writes the plan of a sweep. To be called under the folder's lock.
pub(crate) fn write_plan(folder: &Path, sweep: &Sweep, places: &[Place]) -> Result<(), Error> {
    let plan = Plan {
        name: sweep.name.clone(),
        config: toml::to_string(&sweep.resolved)?,
        runs: places.iter().map(Place::planned).collect(),
    };
    // A plan that is damaged is written anew.
    if Plan::read(folder).ok().flatten().as_ref() != Some(&plan)
        || !folder.join(SWEEP_FILE).is_file()
    {
        plan.write(folder)?;
    }
    Ok(())
}

/// Writes the weights of a run that is over anew if they are gone or damaged and its state is there.
pub(crate) fn mend_weights(place: &Place, device: &Device) -> Result<(), Error> {
    let Place { point, folder, .. } = place;
    if !folder.join(STATE_FILE).is_file() {
        return Ok(());
    }
    let expected = read_summary(&folder.join(SUMMARY_FILE))?.weights;
    let there = checksum_of_weights(folder)?;
    let has_file = folder.join(mbspike_results::files::CHECKPOINT_FILE).is_file();
    let is_whole = if expected.is_some() { there == expected } else { has_file };
    if !is_whole {
        let _lock = Lock::try_lock(folder)?;
        Learner::new(&point.config, device)?.load(folder)?;
    }
    Ok(())
}
