//! Pictures of a figure before a wall.

use std::f64::consts::{PI, TAU};

use mbspike_core::philox::StreamRng;

use super::body::{Cover, Figure, Part};
use super::scene::SceneConfig;
use crate::dvs_gesture::SENSOR;

/// How far the edge of a part spreads, in pixels: half of the blur of the lens.
const EDGE_PX: f32 = 0.7;

/// Paints a person, with their clothes, before their wall.
#[derive(Debug)]
pub(super) struct Painter {
    wall: Vec<f32>,
    shirt: Cloth,
    sleeve: Cloth,
    skin: Cloth,
    picture: Vec<f32>,
}

/// What a part of the body looks like.
#[derive(Debug, Clone, Copy)]
struct Cloth {
    intensity: f32,
    /// Waves of the pattern along and across a part: radians per pixel, phase, size.
    along: [f32; 3],
    across: [f32; 3],
}

impl Cloth {
    fn new(contrast: f64, texture: f64, rng: &mut StreamRng) -> Self {
        let mut spread = |size: f64| size * (2.0 * f64::from(rng.uniform()) - 1.0);
        let mut wave = || {
            let period_px = 6.0 + spread(3.0);
            [TAU / period_px, spread(PI), texture].map(|v| v as f32)
        };
        let (along, across) = (wave(), wave());
        Self { intensity: contrast.exp() as f32, along, across }
    }

    /// Intensity at a point `u` pixels along a part and `v` across it.
    fn at(&self, u: f32, v: f32) -> f32 {
        let wave = |[k, phase, size]: [f32; 3], x: f32| size * triangle(k * x + phase);
        self.intensity * (1.0 + wave(self.along, u) + wave(self.across, v))
    }
}

/// A wave of period 2 pi between -1 and 1, cheaper than a sine.
fn triangle(x: f32) -> f32 {
    let turns = x * (1.0 / std::f32::consts::TAU);
    4.0 * (turns - turns.floor() - 0.5).abs() - 1.0
}

impl Painter {
    pub(super) fn new(scene: &SceneConfig, rng: &mut StreamRng) -> Self {
        let [low, high] = scene.contrast;
        let mut draw = || f64::from(rng.uniform());
        // Most clothes are darker than the wall, skin is a little.
        let shade = low + (high - low) * draw();
        let shirt = if draw() < 0.75 { -shade } else { shade };
        let skin = -low - (high - low) * 0.5 * draw();
        let has_sleeves = draw() < 0.7;
        let shirt = Cloth::new(shirt, scene.texture, rng);
        let skin = Cloth::new(skin, 0.3 * scene.texture, rng);
        let sleeve = if has_sleeves { shirt } else { skin };
        let wall_cloth = Cloth::new(0.0, scene.texture, rng);
        let wall: Vec<f32> = (0..SENSOR[0] * SENSOR[1])
            .map(|pixel| {
                let (x, y) = ((pixel % SENSOR[1]) as f32, (pixel / SENSOR[1]) as f32);
                wall_cloth.at(0.3 * x, 0.3 * y)
            })
            .collect();
        Self { picture: wall.clone(), wall, shirt, sleeve, skin }
    }

    /// The intensities `[H, W]` of a picture of `figure` in light of the given intensity.
    pub(super) fn paint(&mut self, figure: &Figure, light: f32) -> &[f32] {
        self.picture.copy_from_slice(&self.wall);
        for part in figure {
            let cloth = match part.cover {
                Cover::Shirt => self.shirt,
                Cover::Sleeve => self.sleeve,
                Cover::Skin => self.skin,
            };
            paint_part(&mut self.picture, part, &cloth);
        }
        if light != 1.0 {
            self.picture.iter_mut().for_each(|intensity| *intensity *= light);
        }
        &self.picture
    }
}

fn paint_part(picture: &mut [f32], part: &Part, cloth: &Cloth) {
    let [ax, ay] = part.from.map(|v| v as f32);
    let [bx, by] = part.to.map(|v| v as f32);
    let [ra, rb] = part.radius.map(|v| v as f32);
    let (dx, dy) = (bx - ax, by - ay);
    let length = (dx * dx + dy * dy).sqrt().max(1e-3);
    let (ex, ey) = (dx / length, dy / length);
    let reach = ra.max(rb) + EDGE_PX;
    let range = |low: f32, high: f32, n: usize| {
        let first = (low - reach).ceil().clamp(0.0, n as f32) as usize;
        let end = ((high + reach).floor() + 1.0).clamp(0.0, n as f32) as usize;
        first..end
    };
    let columns = range(ax.min(bx), ax.max(bx), SENSOR[1]);
    for y in range(ay.min(by), ay.max(by), SENSOR[0]) {
        let row = &mut picture[y * SENSOR[1]..][..SENSOR[1]];
        for x in columns.clone() {
            let (px, py) = (x as f32 - ax, y as f32 - ay);
            let u = px * ex + py * ey;
            let v = py * ex - px * ey;
            let share = (u / length).clamp(0.0, 1.0);
            let radius = ra + share * (rb - ra);
            let over = u - share * length;
            let squared = over * over + v * v;
            if squared >= (radius + EDGE_PX) * (radius + EDGE_PX) {
                continue;
            }
            let distance = squared.sqrt();
            let cover = (0.5 - 0.5 * (distance - radius) / EDGE_PX).min(1.0);
            // Round things are darker where they turn away.
            let turn = (distance / (radius + EDGE_PX)).min(1.0);
            let shade = 1.0 - 0.25 * turn * turn;
            row[x] += cover * (shade * cloth.at(u, v) - row[x]);
        }
    }
}
