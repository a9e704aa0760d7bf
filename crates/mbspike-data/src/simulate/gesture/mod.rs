//! DVS128-Gesture-like recordings: drawn people who make the eleven gestures, one after the other,
//! under five lights.
//!
//! A person is a [figure](body) of a head, a trunk and two arms, whose wrists [move](motion) and are
//! [painted](paint) into pictures that the camera sees. Each recording holds twelve gestures in the
//! published order, the arm roll in both directions, with the arms at rest between them.

mod body;
mod motion;
mod paint;
mod scene;
mod wrists;

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::camera::{Camera, CameraConfig};
use super::config::{Check, at_least_0, check, positive, share};
use super::folder::{Job, settings, write_all};
use super::{Plan, Progress, Purpose, Simulated, stream};
use crate::catalog::DatasetName;
use crate::dvs_gesture::{LISTS, SENSOR, TABLE_HEADER};
use crate::{Events, Result, aedat};

pub use scene::SceneConfig;

use body::Person;
use motion::Gesture;
use paint::Painter;
use wrists::Wrists;

/// Settings of a simulation of DVS128 Gesture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GestureSimulation {
    /// The camera. By default thresholds 0.25 with a mismatch of 0.1, dark intensity 0.02, low pass
    /// 2 ms, refractory time 0.3 ms, background events 0.05 Hz ON and 0.08 Hz OFF, a picture every
    /// 2 milliseconds.
    pub camera: CameraConfig,
    /// People, and how long they do what.
    pub scene: SceneConfig,
    /// The lights; each person makes all gestures under each of them.
    pub lights: Lights,
}

/// The published lights by their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lights {
    /// Fluorescent lamps: level 0.7, flicker of 0.03 at 120 Hz.
    pub fluorescent: Light,
    /// Fluorescent lamps and an LED: level 1, flicker of 0.02 at 120 Hz.
    pub fluorescent_led: Light,
    /// The light of a laboratory: level 0.8, no flicker.
    pub lab: Light,
    /// An LED: level 1, no flicker.
    pub led: Light,
    /// Daylight: level 1.5, no flicker.
    pub natural: Light,
}

/// A light.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Light {
    /// Intensity, against the one at which the camera's low pass has its time constant; the constant
    /// falls as the intensity rises.
    pub level: f64,
    /// By which share of the intensity it flickers.
    pub flicker: f64,
    /// Frequency of the flicker.
    pub flicker_hz: f64,
}

impl Lights {
    fn named(&self) -> [(&'static str, &Light); 5] {
        [
            ("fluorescent", &self.fluorescent),
            ("fluorescent_led", &self.fluorescent_led),
            ("lab", &self.lab),
            ("led", &self.led),
            ("natural", &self.natural),
        ]
    }
}

impl Default for GestureSimulation {
    fn default() -> Self {
        let light = |level, flicker| Light { level, flicker, flicker_hz: 120.0 };
        Self {
            camera: CameraConfig {
                threshold_on: 0.25,
                threshold_off: 0.25,
                threshold_mismatch: 0.1,
                dark_intensity: 0.02,
                low_pass_ms: 2.0,
                refractory_ms: 0.3,
                noise_on_hz: 0.05,
                noise_off_hz: 0.08,
                step_ms: 2.0,
            },
            scene: SceneConfig {
                gesture_s: 1.5,
                gesture_spread: 0.2,
                rest_s: 0.5,
                size_spread: 0.15,
                place_spread_px: [8.0, 6.0],
                speed_spread: 0.3,
                reach_spread: 0.2,
                sway_px: 0.6,
                follow: 0.03,
                contrast: [0.5, 1.5],
                texture: 0.12,
            },
            lights: Lights {
                fluorescent: light(0.7, 0.03),
                fluorescent_led: light(1.0, 0.02),
                lab: light(0.8, 0.0),
                led: light(1.0, 0.0),
                natural: light(1.5, 0.0),
            },
        }
    }
}

impl GestureSimulation {
    /// Reads settings from a TOML file; keys that it does not name keep their defaults.
    ///
    /// # Errors
    /// For unknown keys, with their line and the nearest known key, and for values out of range.
    pub fn read(file: &Path) -> Result<Self> {
        let config: Self = super::config::read(file)?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<()> {
        self.camera.validate()?;
        let scene = &self.scene;
        let mut checks: Vec<Check> = vec![
            ("scene.gesture_s", scene.gesture_s, positive),
            ("scene.gesture_spread", scene.gesture_spread, share),
            ("scene.rest_s", scene.rest_s, positive),
            ("scene.size_spread", scene.size_spread, share),
            ("scene.place_spread_px", scene.place_spread_px[0], at_least_0),
            ("scene.place_spread_px", scene.place_spread_px[1], at_least_0),
            ("scene.speed_spread", scene.speed_spread, share),
            ("scene.reach_spread", scene.reach_spread, share),
            ("scene.sway_px", scene.sway_px, at_least_0),
            ("scene.follow", scene.follow, at_least_0),
            ("scene.contrast", scene.contrast[0], at_least_0),
            ("scene.contrast", scene.contrast[1], at_least_0),
            ("scene.texture", scene.texture, at_least_0),
        ];
        let lights = self.lights.named().map(|(name, light)| {
            (["level", "flicker", "flicker_hz"].map(|key| format!("lights.{name}.{key}")), light)
        });
        for ([level, flicker, flicker_hz], light) in &lights {
            checks.push((level, light.level, positive));
            checks.push((flicker, light.flicker, share));
            checks.push((flicker_hz, light.flicker_hz, at_least_0));
        }
        check(&checks)
    }
}

/// Events of a packet of the AEDAT files.
const PACKET_EVENTS: usize = 4096;

/// Writes recordings of `plan.n_train` and `plan.n_test` other people, each under every light, to
/// `plan.out`, in DVS128 Gesture's layout: `userNN_LIGHT.aedat` with `userNN_LIGHT_labels.csv`,
/// `trials_to_train.txt` and `trials_to_test.txt`. A folder that the same simulation has begun is
/// continued.
///
/// # Errors
/// If a setting is out of range, the folder holds anything else, or a file cannot be written.
pub fn simulate_dvs_gesture(
    config: &GestureSimulation,
    plan: &Plan,
    progress: Progress,
) -> Result<Simulated> {
    config.validate()?;
    let table = settings(DatasetName::DvsGesture.as_str(), plan, config)?;
    let mut jobs = Vec::new();
    let mut lists = LISTS.map(|list| (list, String::new()));
    let cameras: Vec<Camera> = config
        .lights
        .named()
        .iter()
        .map(|(_, light)| {
            let low_pass_ms = config.camera.low_pass_ms / light.level;
            Camera::new(&CameraConfig { low_pass_ms, ..config.camera.clone() }, SENSOR, plan.seed)
        })
        .collect::<Result<_>>()?;
    for user in 1..=plan.n_train + plan.n_test {
        for (i, (light, _)) in config.lights.named().iter().enumerate() {
            let name = format!("user{user:02}_{light}");
            let list = &mut lists[usize::from(user > plan.n_train)].1;
            let _ = writeln!(list, "{name}.aedat");
            jobs.push(Job { name: format!("{name}.aedat"), task: (name, user as u32, i) });
        }
    }
    write_all(&plan.out, &table, &jobs, &lists, progress, |(name, user, light), _| {
        let (events, rows) = record(config, &cameras[*light], plan.seed, *user, *light);
        let mut labels = format!("{TABLE_HEADER}\n");
        for Row { gesture, start_us, end_us } in rows {
            let _ = writeln!(labels, "{},{start_us},{end_us}", gesture.class());
        }
        Ok(vec![
            (format!("{name}.aedat"), aedat::to_bytes(&events, PACKET_EVENTS)),
            (format!("{name}_labels.csv"), labels.into_bytes()),
        ])
    })
}

/// A gesture in a recording.
struct Row {
    gesture: Gesture,
    start_us: i64,
    end_us: i64,
}

/// The recording of a person under a light, and what they do when.
fn record(
    config: &GestureSimulation,
    camera: &Camera,
    seed: u64,
    user: u32,
    light: usize,
) -> (Events, Vec<Row>) {
    let scene = &config.scene;
    let number = user * 16 + light as u32;
    let person = Person::new(scene, &mut stream(seed, Purpose::Person, user, 0).rng());
    let mut rng = stream(seed, Purpose::Scene, number, 0).rng();
    let mut painter = Painter::new(scene, &mut stream(seed, Purpose::Person, user, 1).rng());
    let place = person.place_of_day(&mut rng);
    let (_, light) = config.lights.named()[light];

    let step_s = 1e-3 * config.camera.step_ms;
    let steps_of = |s: f64| (s / step_s).ceil().max(1.0) as u64;
    let rest = Wrists::REST;
    let mut step = 0;
    let mut exposure = None;
    let mut show = |wrists: Wrists, step: u64| {
        let t_s = step as f64 * step_s;
        let figure = person.pose(scene, place, wrists, t_s);
        let flicker = light.flicker * (std::f64::consts::TAU * light.flicker_hz * t_s).sin();
        let picture = painter.paint(&figure, (1.0 + flicker) as f32);
        match &mut exposure {
            None => exposure = Some(camera.begin(number, picture)),
            Some(exposure) => exposure.expose(1e6 * t_s, picture),
        }
    };
    show(rest, 0);
    let mut last = rest;
    let mut rows = Vec::new();
    for gesture in Gesture::TRIAL {
        let motion = person.motion(scene, gesture, &mut rng);
        let spread = scene.gesture_spread * (2.0 * f64::from(rng.uniform()) - 1.0);
        // The arms go down and up again.
        let n_rest = steps_of(scene.rest_s);
        let first = motion.at(0.0);
        for i in 1..=n_rest {
            let share = i as f64 / n_rest as f64;
            let wrists = if share < 0.5 {
                last.toward(rest, motion::ease(2.0 * share))
            } else {
                rest.toward(first, motion::ease(2.0 * share - 1.0))
            };
            step += 1;
            show(wrists, step);
        }
        let start_us = (1e6 * step as f64 * step_s) as i64;
        for i in 1..=steps_of(scene.gesture_s * (1.0 + spread)) {
            last = motion.at(i as f64 * step_s);
            step += 1;
            show(last, step);
        }
        let end_us = (1e6 * step as f64 * step_s) as i64;
        rows.push(Row { gesture, start_us, end_us });
    }
    let events = exposure.map_or_else(|| Events::new(SENSOR), super::Exposure::finish);
    (events, rows)
}
