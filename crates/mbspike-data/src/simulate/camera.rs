//! An event camera, pixel by pixel.
//!
//! The model of ESIM (Rebecq, Gehrig, Scaramuzza 2018) and v2e (Hu, Liu, Delbruck 2021), in the parts
//! that show in N-MNIST and DVS128 Gesture: a pixel low-passes the logarithm of its intensity and
//! sends an event each time it has moved by a threshold from where it was at the last event;
//! thresholds differ between pixels; for a refractory time after an event the pixel is blind, and its
//! memory is set where the blindness ends; background events come at random times.

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::config::{Check, at_least_0, positive};
use super::{Purpose, stream};
use crate::{Events, Result};

/// Physical parameters of an event camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// Rise of the natural logarithm of the intensity that makes an ON event.
    pub threshold_on: f64,
    /// Fall that makes an OFF event.
    pub threshold_off: f64,
    /// Standard deviation of the thresholds between pixels, as a share of the threshold.
    pub threshold_mismatch: f64,
    /// Intensity that is added before the logarithm is taken (dark current); 1 is the background.
    pub dark_intensity: f64,
    /// Time constant of the low-pass filter of the log intensity, in milliseconds; 0 for none.
    pub low_pass_ms: f64,
    /// Time after an event for which a pixel is blind, in milliseconds.
    pub refractory_ms: f64,
    /// Background ON events of a pixel per second.
    pub noise_on_hz: f64,
    /// Background OFF events of a pixel per second.
    pub noise_off_hz: f64,
    /// Time between the pictures of the scene that the camera sees, in milliseconds. Between them the
    /// log intensity is a line.
    pub step_ms: f64,
}

impl CameraConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let checks: [Check; 9] = [
            ("camera.threshold_on", self.threshold_on, positive),
            ("camera.threshold_off", self.threshold_off, positive),
            ("camera.threshold_mismatch", self.threshold_mismatch, at_least_0),
            ("camera.dark_intensity", self.dark_intensity, positive),
            ("camera.low_pass_ms", self.low_pass_ms, at_least_0),
            ("camera.refractory_ms", self.refractory_ms, at_least_0),
            ("camera.noise_on_hz", self.noise_on_hz, at_least_0),
            ("camera.noise_off_hz", self.noise_off_hz, at_least_0),
            ("camera.step_ms", self.step_ms, positive),
        ];
        super::config::check(&checks)
    }
}

/// Thresholds stay above this share of their mean, however far the mismatch would take them.
const LOWEST_THRESHOLD: f32 = 0.05;

/// A camera: the same pixels in all its recordings.
#[derive(Debug, Clone)]
pub struct Camera {
    config: CameraConfig,
    sensor: [usize; 2],
    seed: u64,
    /// ON and OFF threshold of each pixel, row by row.
    thresholds: Vec<[f32; 2]>,
}

impl Camera {
    /// A camera whose `sensor` has the given height and width. `seed` fixes the mismatch of its
    /// pixels and the noise of its recordings.
    ///
    /// # Errors
    /// If a parameter is out of its range.
    pub fn new(config: &CameraConfig, sensor: [usize; 2], seed: u64) -> Result<Self> {
        config.validate()?;
        let mut rng = stream(seed, Purpose::Mismatch, 0, 0).rng();
        let mut threshold = |mean: f64| {
            let off_mean: f64 = StandardNormal.sample(&mut rng);
            let share = 1.0 + config.threshold_mismatch * off_mean;
            (mean * share).max(mean * f64::from(LOWEST_THRESHOLD)) as f32
        };
        let thresholds = (0..sensor[0] * sensor[1])
            .map(|_| [threshold(config.threshold_on), threshold(config.threshold_off)])
            .collect();
        Ok(Self { config: config.clone(), sensor, seed, thresholds })
    }

    /// Begins recording `number`, which keys its noise, with a first picture at 0 us: intensities
    /// `[H, W]`, where 1 is the background.
    ///
    /// # Panics
    /// If the picture is not as large as the sensor.
    pub fn begin(&self, number: u32, picture: &[f32]) -> Exposure<'_> {
        let n = self.thresholds.len();
        assert_eq!(picture.len(), n, "one intensity per pixel");
        let dark = self.config.dark_intensity as f32;
        let seen: Vec<f32> = picture.iter().map(|intensity| (intensity + dark).ln()).collect();
        let mut exposure = Exposure {
            camera: self,
            number,
            now_us: 0.0,
            memory: seen.clone(),
            seen,
            blind_until_us: vec![f64::NEG_INFINITY; n],
            next_noise_us: vec![0.0; n],
            n_noise: vec![0; n],
            fresh: vec![],
            events: Events::new(self.sensor),
        };
        for pixel in 0..n {
            exposure.next_noise_us[pixel] = exposure.noise_after(pixel, 0.0).0;
        }
        exposure
    }
}

/// A recording under way.
#[derive(Debug)]
pub struct Exposure<'a> {
    camera: &'a Camera,
    number: u32,
    /// The time of the last picture.
    now_us: f64,
    /// Low-passed log intensity of each pixel at that time.
    seen: Vec<f32>,
    /// Log intensity from which a pixel measures change.
    memory: Vec<f32>,
    blind_until_us: Vec<f64>,
    next_noise_us: Vec<f64>,
    /// Background events that each pixel has drawn.
    n_noise: Vec<u32>,
    /// Events since the last picture: time, pixel, polarity.
    fresh: Vec<(i64, u32, bool)>,
    events: Events,
}

/// What a pixel sees between two pictures: a line.
#[derive(Clone, Copy)]
struct Line {
    start_us: f64,
    end_us: f64,
    start: f32,
    slope: f64,
}

impl Line {
    fn at(&self, t_us: f64) -> f32 {
        (f64::from(self.start) + self.slope * (t_us - self.start_us)) as f32
    }
}

impl Exposure<'_> {
    /// Shows the camera the picture (intensities `[H, W]`) at `t_us`, after the one before.
    ///
    /// # Panics
    /// If time goes back or the picture is not as large as the sensor.
    pub fn expose(&mut self, t_us: f64, picture: &[f32]) {
        assert!(t_us > self.now_us, "pictures in the order of time");
        assert_eq!(picture.len(), self.seen.len(), "one intensity per pixel");
        let CameraConfig { dark_intensity, low_pass_ms, .. } = self.camera.config;
        let dark = dark_intensity as f32;
        let start_us = self.now_us;
        let duration_us = t_us - start_us;
        let gain = (1.0 - (-duration_us / (1e3 * low_pass_ms)).exp()) as f32;
        for (pixel, &intensity) in picture.iter().enumerate() {
            let start = self.seen[pixel];
            let end = start + gain * ((intensity + dark).ln() - start);
            self.seen[pixel] = end;
            let change = end - self.memory[pixel];
            let [on, off] = self.camera.thresholds[pixel];
            let is_silent = change < on
                && change > -off
                && self.next_noise_us[pixel] > t_us
                && self.blind_until_us[pixel] <= start_us;
            if !is_silent {
                let slope = f64::from(end - start) / duration_us;
                self.fire(pixel, Line { start_us, end_us: t_us, start, slope });
            }
        }
        self.now_us = t_us;
        self.fresh.sort_unstable();
        let width = self.camera.sensor[1];
        for (t_us, pixel, on) in self.fresh.drain(..) {
            let (x, y) = (pixel as usize % width, pixel as usize / width);
            self.events.push(t_us, x as u16, y as u16, on);
        }
    }

    /// Ends the recording.
    pub fn finish(self) -> Events {
        self.events
    }

    /// The events of one pixel while it sees `line`.
    fn fire(&mut self, pixel: usize, line: Line) {
        let refractory_us = 1e3 * self.camera.config.refractory_ms;
        let [threshold_on, threshold_off] = self.camera.thresholds[pixel];
        let mut t_us = line.start_us;
        loop {
            if self.blind_until_us[pixel] > t_us {
                if self.blind_until_us[pixel] >= line.end_us {
                    return;
                }
                t_us = self.blind_until_us[pixel];
                self.memory[pixel] = line.at(t_us);
            }
            let rises = line.slope > 0.0;
            let level = self.memory[pixel] + if rises { threshold_on } else { -threshold_off };
            let crossing_us = if line.slope == 0.0 {
                f64::INFINITY
            } else {
                (line.start_us + f64::from(level - line.start) / line.slope).max(t_us)
            };
            // Background events of the time when the pixel was blind are lost.
            while self.next_noise_us[pixel] < t_us {
                self.next_noise_us[pixel] = self.noise_after(pixel, self.next_noise_us[pixel]).0;
            }
            let noise_us = self.next_noise_us[pixel];
            t_us = crossing_us.min(noise_us);
            if t_us > line.end_us {
                return;
            }
            let on = if crossing_us <= noise_us {
                self.memory[pixel] = level;
                rises
            } else {
                self.memory[pixel] = line.at(t_us);
                let (next_us, on) = self.noise_after(pixel, noise_us);
                self.next_noise_us[pixel] = next_us;
                on
            };
            self.fresh.push((t_us as i64, pixel as u32, on));
            self.blind_until_us[pixel] = t_us + refractory_us;
        }
    }

    /// The time of the next background event of a pixel after `t_us`, and a polarity.
    fn noise_after(&mut self, pixel: usize, t_us: f64) -> (f64, bool) {
        let CameraConfig { noise_on_hz, noise_off_hz, .. } = self.camera.config;
        let rate_hz = noise_on_hz + noise_off_hz;
        if rate_hz == 0.0 {
            return (f64::INFINITY, false);
        }
        let draws = stream(self.camera.seed, Purpose::Noise, self.number, pixel as u32);
        let n = self.n_noise[pixel];
        self.n_noise[pixel] += 1;
        let [wait, polarity, ..] = draws.block(n).map(mbspike_core::philox::to_uniform);
        let wait_us = -f64::from(1.0 - wait).ln() / rate_hz * 1e6;
        (t_us + wait_us, f64::from(polarity) * rate_hz < noise_on_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CameraConfig {
        CameraConfig {
            threshold_on: 0.2,
            threshold_off: 0.1,
            threshold_mismatch: 0.0,
            dark_intensity: 1e-9,
            low_pass_ms: 0.0,
            refractory_ms: 0.0,
            noise_on_hz: 0.0,
            noise_off_hz: 0.0,
            step_ms: 1.0,
        }
    }

    /// One pixel sees the given log intensities, 1 ms apart.
    fn one_pixel(config: &CameraConfig, log_intensities: &[f32]) -> Vec<(i64, bool)> {
        let camera = Camera::new(config, [1, 1], 1).unwrap();
        let mut exposure = camera.begin(0, &[log_intensities[0].exp()]);
        for (i, value) in log_intensities.iter().enumerate().skip(1) {
            exposure.expose(1e3 * i as f64, &[value.exp()]);
        }
        let events = exposure.finish();
        events.t_us.into_iter().zip(events.on).collect()
    }

    #[test]
    fn events_come_where_the_line_crosses_its_thresholds() {
        let near = |events: Vec<(i64, bool)>, want: &[(i64, bool)]| {
            assert_eq!(events.len(), want.len(), "{events:?}");
            for (event, want) in events.iter().zip(want) {
                assert!((event.0 - want.0).abs() <= 2 && event.1 == want.1, "{events:?}");
            }
        };
        // Up by 0.5 in 1 ms: at 0.2 and 0.4; then down to 0.15: at 0.3 and 0.2.
        let (on, off) = (true, false);
        near(
            one_pixel(&config(), &[0.0, 0.5, 0.15]),
            &[(400, on), (800, on), (1571, off), (1857, off)],
        );
        // Blind from 400 to 700 us, memory 0.35 there; next at 0.55, which is not reached.
        let blind = CameraConfig { refractory_ms: 0.3, ..config() };
        near(one_pixel(&blind, &[0.0, 0.5]), &[(400, on)]);
        // Blind into the next line: memory is 0.5 at 1400 us.
        let blind = CameraConfig { refractory_ms: 1.0, ..config() };
        near(one_pixel(&blind, &[0.0, 0.5, 0.5, 0.9]), &[(400, on), (2500, on)]);
        near(one_pixel(&config(), &[0.0, 0.0, 0.0]), &[]);
    }

    #[test]
    fn a_low_pass_comes_near_a_step_as_its_time_constant_says() {
        let config = CameraConfig { low_pass_ms: 5.0, threshold_on: 0.6321, ..config() };
        let step: Vec<f32> = std::iter::once(0.0).chain([1.0; 20]).collect();
        let events = one_pixel(&config, &step);
        assert_eq!(events.len(), 1);
        assert!((events[0].0 - 5000).abs() < 100, "{events:?}");
    }

    #[test]
    fn background_events_have_their_rate_and_their_share_of_on() {
        let config = CameraConfig { noise_on_hz: 3.0, noise_off_hz: 1.0, ..config() };
        let camera = Camera::new(&config, [50, 40], 9).unwrap();
        let picture = vec![1.0; 2000];
        let mut exposure = camera.begin(0, &picture);
        for ms in 1..=1000 {
            exposure.expose(1e3 * f64::from(ms), &picture);
        }
        let events = exposure.finish();
        assert!(events.t_us.is_sorted());
        // 8000 expected, with a standard deviation of 90; of these 6000 ON, with one of 39.
        let n_on = events.on.iter().filter(|&&on| on).count();
        assert!(events.len().abs_diff(8000) < 450, "{}", events.len());
        assert!((n_on as f64 / events.len() as f64 - 0.75).abs() < 0.025, "{n_on}");
    }

    #[test]
    fn thresholds_differ_by_the_mismatch() {
        let config = CameraConfig { threshold_mismatch: 0.1, ..config() };
        let camera = Camera::new(&config, [100, 100], 3).unwrap();
        let on: Vec<f64> = camera.thresholds.iter().map(|&[on, _]| f64::from(on)).collect();
        let mean = on.iter().sum::<f64>() / 1e4;
        let sd = (on.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 1e4).sqrt();
        assert!((mean - 0.2).abs() < 1e-3 && (sd - 0.02).abs() < 1e-3, "{mean} {sd}");
        assert!(Camera::new(&CameraConfig { step_ms: 0.0, ..config }, [1, 1], 0).is_err());
    }
}
