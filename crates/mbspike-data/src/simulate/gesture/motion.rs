//! What the wrists do in each gesture.
//!
//! Coordinates are those of the [body](super::body): pixels at the nominal size from between the
//! shoulders, x to the right of the picture, y down, z toward the camera. Right and left are the
//! person's, so that the right arm is on the left of the picture; clockwise is as the person sees it,
//! as in the real recordings.

use std::f64::consts::{PI, TAU};

use mbspike_core::philox::StreamRng;

use super::wrists::{SHOULDER, Vector, Wrists};

/// The gestures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gesture {
    Clap,
    RightWave,
    LeftWave,
    RightClockwise,
    RightCounterClockwise,
    LeftClockwise,
    LeftCounterClockwise,
    RollForward,
    RollBackward,
    Drums,
    Guitar,
    Other,
}

impl Gesture {
    /// What is done in a recording, in its order.
    pub(super) const TRIAL: [Self; 12] = [
        Self::Clap,
        Self::RightWave,
        Self::LeftWave,
        Self::RightClockwise,
        Self::RightCounterClockwise,
        Self::LeftClockwise,
        Self::LeftCounterClockwise,
        Self::RollForward,
        Self::RollBackward,
        Self::Drums,
        Self::Guitar,
        Self::Other,
    ];

    /// The class, as published: 1 to 11.
    pub(super) fn class(self) -> u8 {
        let place = self as u8 + 1;
        if place > Self::RollForward as u8 + 1 { place - 1 } else { place }
    }

    /// Typical cycles per second.
    fn frequency_hz(self) -> f64 {
        match self {
            Self::Clap => 2.2,
            Self::RightWave | Self::LeftWave => 2.0,
            Self::RightClockwise
            | Self::RightCounterClockwise
            | Self::LeftClockwise
            | Self::LeftCounterClockwise => 0.95,
            Self::RollForward | Self::RollBackward => 1.8,
            Self::Drums => 2.5,
            Self::Guitar => 2.8,
            Self::Other => 1.4,
        }
    }
}

/// A gesture as one person makes it once.
#[derive(Debug, Clone)]
pub(super) struct Motion {
    gesture: Gesture,
    frequency_hz: f64,
    phase: f64,
    /// How far the arms go, against the typical.
    reach: f64,
    /// Slow changes of the speed.
    wander_phase: f64,
    wander_hz: f64,
    /// Where this time the gesture is made, against the typical place.
    shift: Vector,
    /// Harmonics, phases and sizes that make up an "other" gesture, by arm and axis.
    other: [[[f64; 3]; 3]; 2],
}

/// The share of a cycle by which the speed wanders.
const WANDER: f64 = 0.4;

impl Motion {
    pub(super) fn new(gesture: Gesture, speed: f64, reach: f64, rng: &mut StreamRng) -> Self {
        let mut spread = |size: f64| size * (2.0 * f64::from(rng.uniform()) - 1.0);
        let phase = spread(PI);
        let wander_phase = spread(PI);
        let wander_hz = 0.35 + spread(0.15);
        let speed = speed * (1.0 + spread(0.1));
        let reach = reach * (1.0 + spread(0.1));
        let shift = [spread(2.0), spread(2.0), spread(2.0)];
        let sizes = [14.0, 14.0, 6.0];
        let other = [(); 2].map(|()| {
            sizes.map(|size| [1.5 + spread(1.5), spread(PI), size * (0.6 + spread(0.4))])
        });
        let other = other.map(|arm| arm.map(|[harmonic, p, size]| [harmonic.ceil(), p, size]));
        let frequency_hz = gesture.frequency_hz() * speed;
        Self { gesture, frequency_hz, phase, reach, wander_phase, wander_hz, shift, other }
    }

    /// The wrists `t_s` seconds after the beginning.
    pub(super) fn at(&self, t_s: f64) -> Wrists {
        let wander = WANDER * (TAU * self.wander_hz * t_s + self.wander_phase).sin();
        let p = TAU * self.frequency_hz * t_s + self.phase + wander;
        let r = self.reach;
        let Wrists { right: rest_right, left: rest_left } = Wrists::REST;
        let wave = |side: f64| {
            let swing = 11.0 * r * p.sin();
            [side * 23.0 + swing, -15.0 + 0.06 * swing * swing, 14.0]
        };
        // Around the shoulder, in a plane a little before it.
        let circle = |side: f64, turn: f64| {
            let radius = 42.0 * r.min(1.1);
            [
                side * (SHOULDER[0] + 3.0) + radius * (turn * p).cos(),
                SHOULDER[1] + radius * (turn * p).sin(),
                16.0,
            ]
        };
        let roll = |side: f64, turn: f64| {
            let p = turn * p + if side < 0.0 { PI } else { 0.0 };
            [-side * 4.0, 17.0 + 9.0 * r * p.sin(), 24.0 + 9.0 * r * p.cos()]
        };
        let drum = |side: f64| {
            let p = p + if side < 0.0 { PI } else { 0.0 };
            // Fast down, slow up.
            [side * 12.0, 18.0 + 9.0 * r * (p + 0.5 * p.sin()).sin(), 24.0]
        };
        let (right, left) = match self.gesture {
            Gesture::Clap => {
                let apart = 2.0 + 7.5 * r * (1.0 + p.cos());
                ([-apart, 16.0, 26.0], [apart, 16.0, 26.0])
            }
            Gesture::RightWave => (wave(-1.0), rest_left),
            Gesture::LeftWave => (rest_right, wave(1.0)),
            // The person's clockwise is the picture's counter clockwise.
            Gesture::RightClockwise => (circle(-1.0, -1.0), rest_left),
            Gesture::RightCounterClockwise => (circle(-1.0, 1.0), rest_left),
            Gesture::LeftClockwise => (rest_right, circle(1.0, -1.0)),
            Gesture::LeftCounterClockwise => (rest_right, circle(1.0, 1.0)),
            Gesture::RollForward => (roll(-1.0, 1.0), roll(1.0, 1.0)),
            Gesture::RollBackward => (roll(-1.0, -1.0), roll(1.0, -1.0)),
            Gesture::Drums => (drum(-1.0), drum(1.0)),
            Gesture::Guitar => (
                [-5.0 + 1.5 * p.sin(), 29.0 + 8.0 * r * p.sin(), 20.0],
                [30.0 + 1.5 * (0.4 * p).sin(), 6.0 + 2.0 * (0.3 * p).cos(), 16.0],
            ),
            Gesture::Other => {
                let arm = |side: f64, waves: &[[f64; 3]; 3]| {
                    let [x, y, z] = waves
                        .map(|[harmonic, phase, size]| r * size * (harmonic * p + phase).sin());
                    [side * 22.0 + x, 4.0 + y, 18.0 + z]
                };
                (arm(-1.0, &self.other[0]), arm(1.0, &self.other[1]))
            }
        };
        let moved = |wrist: Vector| std::array::from_fn(|axis| wrist[axis] + self.shift[axis]);
        Wrists {
            right: if right == rest_right { right } else { moved(right) },
            left: if left == rest_left { left } else { moved(left) },
        }
    }
}

/// 0 to 1 with a smooth start and end.
pub(super) fn ease(share: f64) -> f64 {
    0.5 - 0.5 * (PI * share.clamp(0.0, 1.0)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_has_all_classes_and_the_arm_roll_twice() {
        let classes = Gesture::TRIAL.map(Gesture::class);
        assert_eq!(classes, [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11]);
    }

    #[test]
    fn one_arm_gestures_leave_the_other_arm_at_rest_and_turn_as_they_are_called() {
        let mut rng = super::super::stream(1, super::super::Purpose::Scene, 1, 1).rng();
        let mut motion = |gesture| Motion::new(gesture, 1.0, 1.0, &mut rng);
        assert_eq!(motion(Gesture::RightWave).at(0.3).left, Wrists::REST.left);
        assert_eq!(motion(Gesture::LeftClockwise).at(0.3).right, Wrists::REST.right);
        for (gesture, turns_with_the_picture) in
            [(Gesture::RightClockwise, false), (Gesture::RightCounterClockwise, true)]
        {
            let motion = motion(gesture);
            let from_centre = |t_s| {
                let [x, y, _] = motion.at(t_s).right;
                [x + SHOULDER[0] + 3.0 - motion.shift[0], y - SHOULDER[1] - motion.shift[1]]
            };
            let ([x0, y0], [x1, y1]) = (from_centre(0.2), from_centre(0.25));
            assert_eq!(x0 * y1 - x1 * y0 > 0.0, turns_with_the_picture);
        }
    }
}
