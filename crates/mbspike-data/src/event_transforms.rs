use mbspike_core::philox::{Domain, Place, Stream, StreamRng};
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use crate::events::MAX_TIME_US;
use crate::{Error, Events, Result};

/// The largest jitter: the side of the largest sensor that a recording can have.
const MAX_JITTER_PX: f32 = 65_536.0;
/// The largest jitter in time: an hour.
const MAX_JITTER_US: f32 = 3.6e9;

/// Random changes of the events of training samples, against overfitting. All are off by default;
/// each is a function of seed, epoch and sample.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventTransforms {
    /// Probability of exchanging the polarities of all events of a recording.
    pub polarity_flip: f32,
    /// Share of the events that is dropped, each on its own; below 1, which would leave none.
    pub drop: f32,
    /// Standard deviation of a shift of each event in pixels; what leaves the sensor is dropped.
    pub jitter_px: f32,
    /// Standard deviation of a shift of each event in microseconds; the order of time is restored.
    pub jitter_us: f32,
}

impl EventTransforms {
    /// Refuses values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        let flip = self.polarity_flip;
        if !(0.0..=1.0).contains(&flip) {
            let message = format!("must be in 0..=1: {flip}");
            return Err(Error::config("encoder.transforms.polarity_flip", message));
        }
        if !(0.0..1.0).contains(&self.drop) {
            let message = format!("must be in 0..1: {}", self.drop);
            return Err(Error::config("encoder.transforms.drop", message));
        }
        for (key, deviation, largest) in [
            ("encoder.transforms.jitter_px", self.jitter_px, MAX_JITTER_PX),
            ("encoder.transforms.jitter_us", self.jitter_us, MAX_JITTER_US),
        ] {
            if !(0.0..=largest).contains(&deviation) {
                return Err(Error::config(key, format!("must be in 0..={largest}: {deviation}")));
            }
        }
        Ok(())
    }

    /// Changes the events of the sample at `place`.
    pub fn apply(&self, events: &mut Events, seed: u64, place: Place) -> Result<()> {
        self.validate()?;
        let mut rng = Stream::new(seed, Domain::Events, place).rng();
        if self.polarity_flip > 0.0 && rng.uniform() < self.polarity_flip {
            events.on.iter_mut().for_each(|on| *on = !*on);
        }
        if self.drop > 0.0 {
            retain(events, |_, _| rng.uniform() >= self.drop);
        }
        if self.jitter_px > 0.0 {
            let normal = normal(self.jitter_px)?;
            let [height, width] = events.sensor;
            retain(events, |x, y| {
                let moved_x = shifted(*x, normal, &mut rng);
                let moved_y = shifted(*y, normal, &mut rng);
                (*x, *y) = (moved_x as u16, moved_y as u16);
                (0..width as i64).contains(&moved_x) && (0..height as i64).contains(&moved_y)
            });
        }
        if self.jitter_us > 0.0 {
            let normal = normal(self.jitter_us)?;
            for t_us in &mut events.t_us {
                let shift = normal.sample(&mut rng).round() as i64;
                *t_us = t_us.saturating_add(shift).clamp(-MAX_TIME_US, MAX_TIME_US);
            }
            events.sort();
        }
        Ok(())
    }
}

fn normal(deviation: f32) -> Result<Normal<f32>> {
    Normal::new(0.0, deviation)
        .map_err(|error| Error::config("encoder.transforms", format!("{error}: {deviation}")))
}

fn shifted(position: u16, normal: Normal<f32>, rng: &mut StreamRng) -> i64 {
    i64::from(position).saturating_add(normal.sample(rng).round() as i64)
}

/// Keeps the events for which `keep` holds; `keep` may move them.
fn retain(events: &mut Events, mut keep: impl FnMut(&mut u16, &mut u16) -> bool) {
    let mut n_kept = 0;
    for i in 0..events.len() {
        let (mut x, mut y) = (events.x[i], events.y[i]);
        if keep(&mut x, &mut y) {
            (events.x[n_kept], events.y[n_kept]) = (x, y);
            events.t_us[n_kept] = events.t_us[i];
            events.on[n_kept] = events.on[i];
            n_kept += 1;
        }
    }
    events.t_us.truncate(n_kept);
    events.x.truncate(n_kept);
    events.y.truncate(n_kept);
    events.on.truncate(n_kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Events {
        let mut events = Events::new([34, 34]);
        for i in 0..4000_i64 {
            events.push(i * 75, (i % 34) as u16, (i / 34 % 34) as u16, i % 2 == 0);
        }
        events
    }

    fn apply(transforms: EventTransforms, sample: u32) -> Events {
        let mut events = events();
        transforms.apply(&mut events, 3, Place { sample, ..Place::default() }).unwrap();
        events
    }

    #[test]
    fn all_off_changes_nothing() {
        assert_eq!(apply(EventTransforms::default(), 0), events());
    }

    #[test]
    fn polarity_flip_exchanges_all_or_none() {
        let half = EventTransforms { polarity_flip: 0.5, ..Default::default() };
        let flipped: Vec<bool> = (0..200).map(|sample| !apply(half, sample).on[0]).collect();
        let n_flipped = flipped.iter().filter(|&&flipped| flipped).count();
        assert!((60..140).contains(&n_flipped), "{n_flipped} of 200");
        let always = apply(EventTransforms { polarity_flip: 1.0, ..Default::default() }, 0);
        assert!(always.on.iter().zip(events().on).all(|(&a, b)| a != b));
    }

    #[test]
    fn drop_takes_the_asked_share() {
        let kept = apply(EventTransforms { drop: 0.25, ..Default::default() }, 0).len();
        assert!((2850..3150).contains(&kept), "{kept} of 4000");
    }

    #[test]
    fn jitter_stays_on_the_sensor_and_in_order() {
        let transforms = EventTransforms { jitter_px: 2.0, jitter_us: 500.0, ..Default::default() };
        let jittered = apply(transforms, 0);
        assert!(jittered.x.iter().chain(&jittered.y).all(|&position| position < 34));
        assert!(jittered.t_us.is_sorted());
        assert!(jittered.len() > 3000 && jittered != events());
        assert_eq!(jittered, apply(transforms, 0));
        assert_ne!(jittered, apply(transforms, 1));
    }

    #[test]
    fn values_outside_their_ranges_are_refused() {
        for transforms in [
            EventTransforms { drop: 1.1, ..Default::default() },
            EventTransforms { polarity_flip: -0.1, ..Default::default() },
            EventTransforms { jitter_px: f32::NAN, ..Default::default() },
            EventTransforms { jitter_us: -1.0, ..Default::default() },
        ] {
            assert!(transforms.apply(&mut events(), 1, Place::default()).is_err());
        }
    }
}
