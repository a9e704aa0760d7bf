//! N-MNIST-like recordings: MNIST digits seen by a camera that moves in three saccades.
//!
//! The defaults are fitted to real recordings of the same digits; `docs/results/simulated-events.md`
//! compares them.

use std::path::Path;

use md5::{Digest, Md5};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::camera::{Camera, CameraConfig};
use super::config::{Check, at_least_0, check, finite, positive, share};
use super::folder::{Job, settings, write_all};
use super::{Plan, Progress, Purpose, Simulated, stream};
use crate::catalog::DatasetName;
use crate::nmnist::SENSOR;
use crate::{Dataset, Error, Events, ImageSet, Result, SampleSet, Split, atis};

/// Settings of a simulation of N-MNIST.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NmnistSimulation {
    /// The camera. By default thresholds 0.217 with a mismatch of 0.1, dark intensity 0.001, low
    /// pass 5 ms, refractory time 1.7 ms, background events 0.28 Hz ON and 0.0006 Hz OFF, a picture
    /// every millisecond.
    pub camera: CameraConfig,
    /// The digit and its way over the sensor.
    pub saccades: SaccadeConfig,
}

/// A digit on a bright screen, and how its image moves while the camera makes three saccades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaccadeConfig {
    /// How much of the light of the screen full ink takes away, 0 to 1; 0.94. In N-MNIST the digit
    /// is dark.
    pub contrast: f64,
    /// Standard deviation of the Gaussian blur of the lens in pixels; 0.4.
    pub blur_px: f64,
    /// Where the upper left corner of the 28×28 digit is before, between and after the saccades, as x
    /// and y in pixels; -0.3, 1.6, then 2.1, 7.1, then 5.8, 1.3, then 0.5, 1.1.
    pub corners_px: [[f64; 2]; 4],
    /// Standard deviation of each coordinate of a corner between recordings, in pixels; 0.3.
    pub corner_jitter_px: f64,
    /// When the saccades begin, in milliseconds; 3, 104 and 221.
    pub starts_ms: [f64; 3],
    /// How long the moves last, in milliseconds; 80, 82 and 64. Speed rises and falls as a half sine.
    pub moves_ms: [f64; 3],
    /// Standard deviation of the starts between recordings, in milliseconds; 3.
    pub start_jitter_ms: f64,
    /// Length of a recording in milliseconds; 308.
    pub duration_ms: f64,
}

impl Default for NmnistSimulation {
    fn default() -> Self {
        Self {
            camera: CameraConfig {
                threshold_on: 0.217,
                threshold_off: 0.217,
                threshold_mismatch: 0.1,
                dark_intensity: 1e-3,
                low_pass_ms: 5.0,
                refractory_ms: 1.7,
                noise_on_hz: 0.28,
                noise_off_hz: 0.0006,
                step_ms: 1.0,
            },
            saccades: SaccadeConfig {
                contrast: 0.94,
                blur_px: 0.4,
                corners_px: [[-0.3, 1.6], [2.1, 7.1], [5.8, 1.3], [0.5, 1.1]],
                corner_jitter_px: 0.3,
                starts_ms: [3.0, 104.0, 221.0],
                moves_ms: [80.0, 82.0, 64.0],
                start_jitter_ms: 3.0,
                duration_ms: 308.0,
            },
        }
    }
}

impl NmnistSimulation {
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
        let scene = &self.saccades;
        let mut checks: Vec<Check> = vec![
            ("saccades.contrast", scene.contrast, share),
            ("saccades.blur_px", scene.blur_px, at_least_0),
            ("saccades.corner_jitter_px", scene.corner_jitter_px, at_least_0),
            ("saccades.start_jitter_ms", scene.start_jitter_ms, at_least_0),
            ("saccades.duration_ms", scene.duration_ms, positive),
        ];
        let corners = scene.corners_px.as_flattened();
        checks.extend(corners.iter().map(|&v| -> Check { ("saccades.corners_px", v, finite) }));
        checks.extend(scene.starts_ms.map(|v| -> Check { ("saccades.starts_ms", v, finite) }));
        checks.extend(scene.moves_ms.map(|v| -> Check { ("saccades.moves_ms", v, positive) }));
        check(&checks)
    }
}

/// Writes recordings of the first digits of `digits` (MNIST, or images of the same size) to
/// `plan.out`, in N-MNIST's layout: `Train/<digit>/<number>.bin`, numbered from 1 in the order of the
/// images. A folder that the same simulation has begun is continued.
///
/// # Errors
/// If a setting is out of range, there are fewer images than planned, the folder holds anything else,
/// or a file cannot be written.
pub fn simulate_nmnist(
    config: &NmnistSimulation,
    plan: &Plan,
    digits: &Dataset,
    progress: Progress,
) -> Result<Simulated> {
    config.validate()?;
    let mut table = settings(DatasetName::Nmnist.as_str(), plan, config)?;
    let mut jobs = Vec::new();
    for (key, set, n) in
        [("train", &digits.train, plan.n_train), ("test", &digits.test, plan.n_test)]
    {
        let SampleSet::Images(images) = set else {
            return Err(Error::config("digits", format!("{} are no images", digits.name)));
        };
        if images.shape != [1, SIDE, SIDE] {
            let message = format!("must be grey images of 28x28: {:?}", images.shape);
            return Err(Error::config("digits", message));
        }
        if n > images.len() {
            let message = format!("{} has only {} images: {n}", digits.name, images.len());
            return Err(Error::config(key, message));
        }
        let mut hasher = Md5::new();
        hasher.update(&images.images[..n * SIDE * SIDE]);
        hasher.update(&images.labels[..n]);
        let md5 = hex::encode(hasher.finalize());
        table.insert(format!("{key}_images_md5"), md5.into());
        let folder = if images.split == Split::Train { "Train" } else { "Test" };
        jobs.extend((0..n).map(|i| Job {
            name: format!("{folder}/{}/{:05}.bin", images.labels[i], i + 1),
            task: (images, i),
        }));
    }
    let camera = Camera::new(&config.camera, SENSOR, plan.seed)?;
    write_all(&plan.out, &table, &jobs, &[], progress, |&(images, i), file| {
        let events = record(config, &camera, plan.seed, images, i);
        let name = file.strip_prefix(&plan.out).unwrap_or(file).to_string_lossy().into_owned();
        Ok(vec![(name, atis::to_bytes(&events, file)?)])
    })
}

/// Rows and columns of a digit.
const SIDE: usize = 28;

fn record(
    config: &NmnistSimulation,
    camera: &Camera,
    seed: u64,
    images: &ImageSet,
    i: usize,
) -> Events {
    let number = images.split.place(0, i as u32).sample;
    let path = Path3::new(&config.saccades, seed, number);
    let ink = Ink::new(images.image(i), config.saccades.blur_px);
    let mut picture = vec![0.0; SENSOR[0] * SENSOR[1]];
    let mut draw = |t_ms: f64| {
        ink.draw(path.at(t_ms), config.saccades.contrast as f32, &mut picture);
        picture.clone()
    };
    let mut exposure = camera.begin(number, &draw(0.0));
    let step_ms = config.camera.step_ms;
    let n_steps = (config.saccades.duration_ms / step_ms).ceil() as u32;
    for step in 1..=n_steps {
        let t_ms = (f64::from(step) * step_ms).min(config.saccades.duration_ms);
        exposure.expose(1e3 * t_ms, &draw(t_ms));
    }
    exposure.finish()
}

/// The way of a digit in one recording: three moves.
struct Path3 {
    corners: [[f64; 2]; 4],
    starts_ms: [f64; 3],
    moves_ms: [f64; 3],
}

impl Path3 {
    fn new(config: &SaccadeConfig, seed: u64, number: u32) -> Self {
        let mut rng = stream(seed, Purpose::Scene, number, 0).rng();
        let mut normal = |sd: f64| {
            let off: f64 = StandardNormal.sample(&mut rng);
            sd * off
        };
        let corners = config.corners_px.map(|c| c.map(|v| v + normal(config.corner_jitter_px)));
        let starts_ms = config.starts_ms.map(|t| t + normal(config.start_jitter_ms));
        Self { corners, starts_ms, moves_ms: config.moves_ms }
    }

    fn at(&self, t_ms: f64) -> [f64; 2] {
        let mut position = self.corners[0];
        for i in 0..3 {
            let done = ((t_ms - self.starts_ms[i]) / self.moves_ms[i]).clamp(0.0, 1.0);
            let share = 0.5 - 0.5 * (std::f64::consts::PI * done).cos();
            for (axis, position) in position.iter_mut().enumerate() {
                *position += share * (self.corners[i + 1][axis] - self.corners[i][axis]);
            }
        }
        position
    }
}

/// Room around a digit for its blur.
const MARGIN: usize = 3;
const CANVAS: usize = SIDE + 2 * MARGIN;

/// A blurred digit, 0 to 1.
struct Ink([f32; CANVAS * CANVAS]);

impl Ink {
    fn new(image: &[u8], blur_px: f64) -> Self {
        let mut ink = [0.0; CANVAS * CANVAS];
        for (y, row) in image.chunks_exact(SIDE).enumerate() {
            for (x, &pixel) in row.iter().enumerate() {
                ink[(y + MARGIN) * CANVAS + x + MARGIN] = f32::from(pixel) / 255.0;
            }
        }
        if blur_px > 0.0 {
            let weight = |d: i64| (-0.5 * (d as f64 / blur_px).powi(2)).exp();
            let reach = MARGIN as i64;
            let sum: f64 = (-reach..=reach).map(weight).sum();
            // Columns first, then rows.
            for stride in [1, CANVAS] {
                let source = ink;
                for (i, out) in ink.iter_mut().enumerate() {
                    let place = (i / stride % CANVAS) as i64;
                    let at = |d: i64| source[(i as i64 + d * stride as i64) as usize];
                    let inside =
                        (-reach..=reach).filter(|d| (0..CANVAS as i64).contains(&(place + d)));
                    *out = inside.map(|d| at(d) * (weight(d) / sum) as f32).sum();
                }
            }
        }
        Self(ink)
    }

    /// Draws the digit with its corner at x, y, in linear interpolation between pixels, on a screen
    /// of intensity 1.
    fn draw(&self, [x, y]: [f64; 2], contrast: f32, picture: &mut [f32]) {
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = ((x - left) as f32, (y - top) as f32);
        let at = |column: i64, row: i64| {
            let range = 0..CANVAS as i64;
            if range.contains(&column) && range.contains(&row) {
                self.0[row as usize * CANVAS + column as usize]
            } else {
                0.0
            }
        };
        for (row, line) in picture.chunks_exact_mut(SENSOR[1]).enumerate() {
            let v = row as i64 - top as i64 + MARGIN as i64;
            for (column, out) in line.iter_mut().enumerate() {
                let u = column as i64 - left as i64 + MARGIN as i64;
                let above = (1.0 - fx) * at(u, v - 1) + fx * at(u - 1, v - 1);
                let below = (1.0 - fx) * at(u, v) + fx * at(u - 1, v);
                *out = 1.0 - contrast * ((1.0 - fy) * below + fy * above);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_drawn_where_its_path_says() {
        let mut image = [0; SIDE * SIDE];
        image[10 * SIDE + 5] = 255;
        let mut picture = vec![0.0; 34 * 34];
        Ink::new(&image, 0.0).draw([2.25, 1.0], 0.5, &mut picture);
        assert_eq!(picture[11 * 34 + 7], 1.0 - 0.5 * 0.75);
        assert_eq!(picture[11 * 34 + 8], 1.0 - 0.5 * 0.25);
        assert_eq!(picture.iter().filter(|&&v| v != 1.0).count(), 2);
        // A blur spreads the ink and keeps its sum.
        Ink::new(&image, 0.7).draw([-0.5, 3.5], 0.5, &mut picture);
        let sum: f32 = picture.iter().map(|v| (1.0 - v) / 0.5).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }

    #[test]
    fn a_path_visits_its_corners() {
        let config = NmnistSimulation::default().saccades;
        let path = Path3::new(
            &SaccadeConfig { corner_jitter_px: 0.0, start_jitter_ms: 0.0, ..config.clone() },
            1,
            1,
        );
        for (t_ms, corner) in [0.0, 95.0, 200.0, 300.0].into_iter().zip(config.corners_px) {
            let [x, y] = path.at(t_ms);
            assert!((x - corner[0]).abs() < 1e-9 && (y - corner[1]).abs() < 1e-9);
        }
    }
}
