//! A person: proportions, posture, and where the parts of the body are in the picture.

use std::f64::consts::{PI, TAU};

use mbspike_core::philox::StreamRng;

use super::motion::{Gesture, Motion};
use super::scene::SceneConfig;
use super::wrists::{SHOULDER, Vector, Wrists};

const UPPER_ARM: f64 = 22.0;
/// To the middle of the hand.
const FOREARM: f64 = 23.0;
/// Where the point between the shoulders is in the picture, typically.
const PLACE_PX: [f64; 2] = [66.0, 66.0];
/// Distance of the camera: what is nearer is larger.
const CAMERA_DISTANCE: f64 = 160.0;

/// What a part of the body is covered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    Shirt,
    Sleeve,
    Skin,
}

/// A part of the body in the picture: a rod with round ends, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub from: [f64; 2],
    pub to: [f64; 2],
    /// Radius at either end.
    pub radius: [f64; 2],
    pub cover: Cover,
}

/// A figure: its parts from the back to the front.
pub(super) type Figure = [Part; 8];

/// A person, the same in all their recordings.
#[derive(Debug, Clone)]
pub(super) struct Person {
    size: f64,
    /// Where they stand, from the middle, in pixels.
    place: [f64; 2],
    speed: f64,
    reach: f64,
    girth: f64,
    sway_phase: [f64; 2],
}

impl Person {
    pub(super) fn new(scene: &SceneConfig, rng: &mut StreamRng) -> Self {
        let mut spread = |size: f64| size * (2.0 * f64::from(rng.uniform()) - 1.0);
        Self {
            size: 1.0 + spread(scene.size_spread),
            place: scene.place_spread_px.map(&mut spread),
            speed: 1.0 + spread(scene.speed_spread),
            reach: 1.0 + spread(scene.reach_spread),
            girth: 1.0 + spread(0.15),
            sway_phase: [spread(PI), spread(PI)],
        }
    }

    /// Where they stand in one recording: not quite where they stand in another.
    pub(super) fn place_of_day(&self, rng: &mut StreamRng) -> [f64; 2] {
        self.place.map(|place| place + 2.0 * (2.0 * f64::from(rng.uniform()) - 1.0))
    }

    /// A gesture as they make it this time.
    pub(super) fn motion(
        &self,
        scene: &SceneConfig,
        gesture: Gesture,
        rng: &mut StreamRng,
    ) -> Motion {
        let speed = 1.0 + 0.5 * scene.speed_spread * (2.0 * f64::from(rng.uniform()) - 1.0);
        Motion::new(gesture, self.speed * speed, self.reach, rng)
    }

    /// The figure with its wrists at `wrists`, `t_s` seconds into a recording.
    pub(super) fn pose(
        &self,
        scene: &SceneConfig,
        place: [f64; 2],
        wrists: Wrists,
        t_s: f64,
    ) -> Figure {
        let sway: [f64; 2] = std::array::from_fn(|axis| {
            let hz = [0.4, 0.25][axis];
            let with_arms: f64 =
                [(wrists.right, Wrists::REST.right), (wrists.left, Wrists::REST.left)]
                    .iter()
                    .map(|(wrist, rest)| wrist[axis] - rest[axis])
                    .sum();
            scene.sway_px * (TAU * hz * t_s + self.sway_phase[axis]).sin()
                + scene.follow * with_arms
        });
        let project = |[x, y, z]: Vector| {
            let scale = self.size * CAMERA_DISTANCE / (CAMERA_DISTANCE - z);
            let at: [f64; 2] = std::array::from_fn(|axis| {
                PLACE_PX[axis] + place[axis] + sway[axis] + scale * [x, y][axis]
            });
            (at, scale)
        };
        let rod = |from: Vector, to: Vector, radius: [f64; 2], cover: Cover| {
            let ((from, scale_from), (to, scale_to)) = (project(from), project(to));
            let radius = [radius[0] * scale_from, radius[1] * scale_to];
            Part { from, to, radius, cover }
        };
        let arm = |side: f64, wrist: Vector| {
            let [x, y, z] = SHOULDER;
            let shoulder = [side * x, y, z];
            let (elbow, wrist) = bend(shoulder, wrist, [side, 1.5, -0.3]);
            let g = self.girth;
            let towards = |share: f64| -> Vector {
                std::array::from_fn(|axis| elbow[axis] + share * (wrist[axis] - elbow[axis]))
            };
            [
                rod(shoulder, elbow, [4.6 * g, 3.8 * g], Cover::Sleeve),
                rod(elbow, towards(0.9), [3.8 * g, 2.7 * g], Cover::Sleeve),
                rod(towards(0.88), wrist, [3.0, 3.8], Cover::Skin),
            ]
        };
        let g = self.girth;
        let trunk = rod([0.0, 11.0, -4.0], [0.0, 70.0, -4.0], [13.0 * g, 14.0 * g], Cover::Shirt);
        let head = rod([0.0, -20.0, 0.0], [0.0, -14.0, 0.0], [7.5, 6.5], Cover::Skin);
        let [right, left] = [arm(-1.0, wrists.right), arm(1.0, wrists.left)];
        [trunk, head, right[0], left[0], right[1], left[1], right[2], left[2]]
    }
}

/// Elbow and wrist of an arm that reaches for `wrist`, as far as it can, with the elbow toward `pole`.
fn bend(shoulder: Vector, wrist: Vector, pole: Vector) -> (Vector, Vector) {
    let difference = |a: Vector, b: Vector| -> Vector { std::array::from_fn(|i| a[i] - b[i]) };
    let dot = |a: Vector, b: Vector| (0..3).map(|i| a[i] * b[i]).sum::<f64>();
    let scaled = |a: Vector, by: f64| a.map(|v| v * by);
    let along = |from: Vector, direction: Vector, by: f64| -> Vector {
        std::array::from_fn(|i| from[i] + by * direction[i])
    };
    let reach = difference(wrist, shoulder);
    let length = dot(reach, reach).sqrt().max(1e-6);
    let direction = scaled(reach, 1.0 / length);
    let shortest = (UPPER_ARM - FOREARM).abs() + 1.0;
    let length = length.clamp(shortest, UPPER_ARM + FOREARM - 0.1);
    let near = (UPPER_ARM.powi(2) - FOREARM.powi(2) + length.powi(2)) / (2.0 * length);
    let off = (UPPER_ARM.powi(2) - near.powi(2)).max(0.0).sqrt();
    let side = along(pole, direction, -dot(pole, direction));
    let side = scaled(side, 1.0 / dot(side, side).sqrt().max(1e-6));
    let elbow = along(along(shoulder, direction, near), side, off);
    (elbow, along(shoulder, direction, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_keep_their_lengths_wherever_they_reach() {
        for wrist in [[-17.0, 42.0, 8.0], [2.0, 16.0, 26.0], [-90.0, -90.0, 0.0], [-13.0, 2.0, 0.5]]
        {
            let shoulder = [-13.0, 2.0, 0.0];
            let (elbow, hand) = bend(shoulder, wrist, [-1.0, 1.5, -0.3]);
            let length =
                |a: Vector, b: Vector| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
            assert!((length(shoulder, elbow) - UPPER_ARM).abs() < 1e-6);
            assert!((length(elbow, hand) - FOREARM).abs() < 1e-6);
        }
        let (_, hand) = bend([0.0; 3], [10.0, 20.0, 5.0], [1.0, 0.0, 0.0]);
        assert!((0..3).all(|i| (hand[i] - [10.0, 20.0, 5.0][i]).abs() < 1e-9));
    }
}
