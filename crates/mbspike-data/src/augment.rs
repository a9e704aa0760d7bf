//! Augmentation: what is done to the samples and targets of a training batch before encoding.
//!
//! Everything is a function of seed, epoch and sample (or batch), so that a batch can be made again
//! on any machine. The definitions follow torchvision's `RandomCrop`, `RandomHorizontalFlip`,
//! `RandomErasing` and its reference `RandomMixup`/`RandomCutmix`, which the thesis's training
//! script uses; random numbers are our own.
//!
//! Samples are `[P, H, W]`: P planes (channels, or steps times channels of event frames) that are
//! all treated alike.

use mbspike_core::philox::{Domain, Place, Stream, StreamRng};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The parameters α for which shares λ ~ Beta(α, α) are drawn; below, they are 0 or 1, above, they are
/// 1/2, and sooner or later the sampling is no number.
const MIXING_ALPHA: std::ops::RangeInclusive<f64> = 1e-3..=1e6;

/// Which augmentations are on. All are off by default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Shift each sample by up to this many pixels in each direction, filling with 0.
    pub random_crop: usize,
    /// Probability of mirroring a sample left to right.
    pub horizontal_flip: f32,
    /// Probability of setting a random rectangle of 2 to 33 % of a sample's area to 0.
    pub random_erasing: f32,
    /// Mix each sample with its neighbour in the batch with weight λ ~ Beta(α, α); 0 is off. If
    /// cutmix is on as well, each batch takes one of the two, with equal probability.
    pub mixup_alpha: f64,
    /// Replace a rectangle of a share 1 − λ of each sample by its neighbour's, λ ~ Beta(α, α); 0 is
    /// off.
    pub cutmix_alpha: f64,
    /// Share ε of each target that is spread evenly over all classes.
    pub label_smoothing: f32,
}

impl AugmentConfig {
    /// Refuses values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        for (key, share) in [
            ("augment.horizontal_flip", self.horizontal_flip),
            ("augment.random_erasing", self.random_erasing),
            ("augment.label_smoothing", self.label_smoothing),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::config(key, format!("must be in 0..=1: {share}")));
            }
        }
        for (key, alpha) in
            [("augment.mixup_alpha", self.mixup_alpha), ("augment.cutmix_alpha", self.cutmix_alpha)]
        {
            if alpha != 0.0 && !MIXING_ALPHA.contains(&alpha) {
                let (start, end) = (MIXING_ALPHA.start(), MIXING_ALPHA.end());
                let message = format!("must be 0 (off) or in {start:e}..={end:e}: {alpha}");
                return Err(Error::config(key, message));
            }
        }
        Ok(())
    }

    /// Refuses what has no effect, or no sense, on samples of `height` and `width` in batches of at most
    /// `batch_size`.
    pub fn fits(&self, [height, width]: [usize; 2], batch_size: usize) -> Result<()> {
        if self.random_crop >= height.min(width) {
            let message = format!(
                "must be less than the side of samples of {height}x{width}, or nothing of them is left: {}",
                self.random_crop
            );
            return Err(Error::config("augment.random_crop", message));
        }
        for (key, alpha) in
            [("augment.mixup_alpha", self.mixup_alpha), ("augment.cutmix_alpha", self.cutmix_alpha)]
        {
            if alpha != 0.0 && batch_size < 2 {
                let message = format!("needs batches of at least two samples to mix: {alpha}");
                return Err(Error::config(key, message));
            }
        }
        Ok(())
    }

    /// Crops, mirrors and erases one sample `[P, H, W]`; `place` names it.
    pub fn sample(&self, sample: &mut [f32], [height, width]: [usize; 2], seed: u64, place: Place) {
        let mut rng = Stream::new(seed, Domain::Augment, place).rng();
        if self.random_crop > 0 {
            let reach = self.random_crop as u32 * 2 + 1;
            let dy = rng.below(reach) as isize - self.random_crop as isize;
            let dx = rng.below(reach) as isize - self.random_crop as isize;
            for plane in sample.chunks_exact_mut(height * width) {
                shift(plane, [height, width], [dy, dx]);
            }
        }
        if self.horizontal_flip > 0.0 && rng.uniform() < self.horizontal_flip {
            sample.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        }
        if self.random_erasing > 0.0
            && rng.uniform() < self.random_erasing
            && let Some(rectangle) = erased_rectangle([height, width], &mut rng)
        {
            for plane in sample.chunks_exact_mut(height * width) {
                for y in rectangle.y0..rectangle.y1 {
                    plane[y * width..][rectangle.x0..rectangle.x1].fill(0.0);
                }
            }
        }
    }

    /// Writes the class probabilities `[B, n_classes]` of `labels`: one-hot, smoothed.
    pub fn targets(&self, targets: &mut [f32], labels: &[u8], n_classes: usize) {
        targets.fill(self.label_smoothing / n_classes as f32);
        for (target, &label) in targets.chunks_exact_mut(n_classes).zip(labels) {
            target[usize::from(label)] += 1.0 - self.label_smoothing;
        }
    }

    /// Mixes the samples `[B, P, H, W]` and targets `[B, n_classes]` of a batch by mixup or cutmix,
    /// each sample with the one before it, the first with the last.
    pub fn mix(
        &self,
        samples: &mut [f32],
        targets: &mut [f32],
        [height, width]: [usize; 2],
        batch_size: usize,
        seed: u64,
        [epoch, batch]: [u32; 2],
    ) -> Result<()> {
        let is_on = [self.mixup_alpha > 0.0, self.cutmix_alpha > 0.0];
        if is_on == [false; 2] || batch_size < 2 {
            return Ok(());
        }
        let place = Place { epoch, sample: batch, step: 0 };
        let mut rng = Stream::new(seed, Domain::Mixup, place).rng();
        let use_cutmix = is_on[1] && (!is_on[0] || rng.uniform() < 0.5);
        let (key, alpha) = if use_cutmix {
            ("augment.cutmix_alpha", self.cutmix_alpha)
        } else {
            ("augment.mixup_alpha", self.mixup_alpha)
        };
        let beta = Beta::new(alpha, alpha)
            .map_err(|error| Error::config(key, format!("{error}: {alpha}")))?;
        let lambda = beta.sample(&mut rng) as f32;
        if use_cutmix {
            let rectangle = cut_rectangle([height, width], lambda, &mut rng);
            let area = (rectangle.y1 - rectangle.y0) * (rectangle.x1 - rectangle.x0);
            let kept = 1.0 - area as f32 / (height * width) as f32;
            with_previous(samples, batch_size, |sample, previous| {
                for start in (0..sample.len()).step_by(height * width) {
                    for y in rectangle.y0..rectangle.y1 {
                        let row = start + y * width;
                        let range = row + rectangle.x0..row + rectangle.x1;
                        sample[range.clone()].copy_from_slice(&previous[range]);
                    }
                }
            });
            blend(targets, batch_size, kept);
        } else {
            blend(samples, batch_size, lambda);
            blend(targets, batch_size, lambda);
        }
        Ok(())
    }
}

struct Rectangle {
    y0: usize,
    y1: usize,
    x0: usize,
    x1: usize,
}

/// Moves a plane `[H, W]` by `dy` rows down and `dx` columns right.
fn shift(plane: &mut [f32], [height, width]: [usize; 2], [dy, dx]: [isize; 2]) {
    let source = plane.to_vec();
    for (y, row) in plane.chunks_exact_mut(width).enumerate() {
        let from_y = y.checked_add_signed(-dy).filter(|&y| y < height);
        for (x, value) in row.iter_mut().enumerate() {
            let from_x = x.checked_add_signed(-dx).filter(|&x| x < width);
            *value = match (from_y, from_x) {
                (Some(y), Some(x)) => source[y * width + x],
                _ => 0.0,
            };
        }
    }
}

/// `RandomErasing`: area uniform in 2 to 33 %, aspect log-uniform in 0.3 to 3.3, ten attempts.
fn erased_rectangle([height, width]: [usize; 2], rng: &mut StreamRng) -> Option<Rectangle> {
    let area = (height * width) as f32;
    let (low, high) = (0.3_f32.ln(), 3.3_f32.ln());
    for _ in 0..10 {
        let erased = area * (0.02 + 0.31 * rng.uniform());
        let aspect = (low + (high - low) * rng.uniform()).exp();
        let h = (erased * aspect).sqrt().round() as usize;
        let w = (erased / aspect).sqrt().round() as usize;
        if h < height && w < width {
            let y0 = rng.below((height - h + 1) as u32) as usize;
            let x0 = rng.below((width - w + 1) as u32) as usize;
            return Some(Rectangle { y0, y1: y0 + h, x0, x1: x0 + w });
        }
    }
    None
}

/// `RandomCutmix`: a rectangle of the sample's proportions and a share 1 − λ of its area around a
/// uniform centre, cut at the edges.
fn cut_rectangle([height, width]: [usize; 2], lambda: f32, rng: &mut StreamRng) -> Rectangle {
    let (x, y) = (rng.below(width as u32) as usize, rng.below(height as u32) as usize);
    let r = 0.5 * (1.0 - lambda).sqrt();
    let (half_w, half_h) = ((r * width as f32) as usize, (r * height as f32) as usize);
    Rectangle {
        y0: y.saturating_sub(half_h),
        y1: (y + half_h).min(height),
        x0: x.saturating_sub(half_w),
        x1: (x + half_w).min(width),
    }
}

/// Replaces each item `a` by `λ a + (1 − λ) b`, `b` being the item before it.
fn blend(items: &mut [f32], n_items: usize, lambda: f32) {
    with_previous(items, n_items, |item, previous| {
        for (a, &b) in item.iter_mut().zip(previous) {
            *a = lambda * *a + (1.0 - lambda) * b;
        }
    });
}

/// Calls `change(item, previous)` with each item and the unchanged one before it (the last one for
/// the first).
fn with_previous(items: &mut [f32], n_items: usize, mut change: impl FnMut(&mut [f32], &[f32])) {
    let n = items.len() / n_items;
    let last = items[(n_items - 1) * n..].to_vec();
    for i in (1..n_items).rev() {
        let (before, item) = items.split_at_mut(i * n);
        change(&mut item[..n], &before[(i - 1) * n..]);
    }
    change(&mut items[..n], &last);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [6, 5];

    fn ramp(n: usize) -> Vec<f32> {
        (1..=n).map(|i| i as f32).collect()
    }

    #[test]
    fn shifting_fills_with_zero() {
        let mut plane = ramp(30);
        shift(&mut plane, SIZE, [1, -2]);
        assert_eq!(plane[..5], [0.0; 5]);
        assert_eq!(plane[5..10], [3.0, 4.0, 5.0, 0.0, 0.0]);
    }

    #[test]
    fn nothing_happens_when_all_is_off() {
        let config = AugmentConfig::default();
        let (mut samples, mut targets) = (ramp(60), ramp(4));
        config.sample(&mut samples, SIZE, 1, Place::default());
        config.mix(&mut samples, &mut targets, SIZE, 2, 1, [0, 0]).unwrap();
        assert_eq!((samples, targets), (ramp(60), ramp(4)));
    }

    #[test]
    fn flip_with_certainty_mirrors_every_row() {
        let config = AugmentConfig { horizontal_flip: 1.0, ..Default::default() };
        let mut sample = ramp(30);
        config.sample(&mut sample, SIZE, 1, Place::default());
        assert_eq!(sample[..5], [5.0, 4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    fn erasing_hits_the_asked_share_of_samples_and_the_same_pixels_in_all_planes() {
        let config = AugmentConfig { random_erasing: 0.25, ..Default::default() };
        let n = 28 * 28;
        let mut n_erased = 0;
        for sample in 0..2000 {
            let mut planes = vec![1.0; 2 * n];
            config.sample(&mut planes, [28, 28], 1, Place { sample, ..Place::default() });
            assert_eq!(planes[..n], planes[n..]);
            let share = planes[..n].iter().filter(|&&v| v == 0.0).count() as f32 / n as f32;
            n_erased += i32::from(share > 0.0);
            assert!(share < 0.36, "{share}");
        }
        // Binomial(2000, 1/4) has a standard deviation of 19.
        assert!((n_erased - 500).abs() < 100, "{n_erased}");
    }

    #[test]
    fn mixup_blends_samples_and_targets_with_one_weight() {
        let config = AugmentConfig { mixup_alpha: 0.5, ..Default::default() };
        let mut samples = vec![0.0; 90];
        samples[30..60].fill(1.0);
        let mut targets = vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        config.mix(&mut samples, &mut targets, SIZE, 3, 1, [0, 4]).unwrap();
        let lambda = samples[30];
        assert!(lambda > 0.0 && lambda < 1.0);
        assert!(samples[..30].iter().all(|&v| v == 0.0));
        assert!(samples[60..].iter().all(|&v| v == 1.0 - lambda));
        assert_eq!(targets, [1.0, 0.0, 1.0 - lambda, lambda, lambda, 1.0 - lambda]);
    }

    #[test]
    fn cutmix_weighs_targets_by_the_area_that_was_kept() {
        let config = AugmentConfig { cutmix_alpha: 1.0, ..Default::default() };
        for batch in 0..50 {
            let mut samples = vec![0.0; 60];
            samples[30..].fill(1.0);
            let mut targets = vec![1.0, 0.0, 0.0, 1.0];
            config.mix(&mut samples, &mut targets, SIZE, 2, 1, [0, batch]).unwrap();
            let replaced = samples[..30].iter().sum::<f32>() / 30.0;
            assert!((targets[1] - replaced).abs() < 1e-6);
            let kept = samples[30..].iter().sum::<f32>() / 30.0;
            assert!((kept + replaced - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn smoothed_targets_are_probabilities() {
        let config = AugmentConfig { label_smoothing: 0.1, ..Default::default() };
        let mut targets = vec![0.0; 20];
        config.targets(&mut targets, &[3, 9], 10);
        assert!((targets[3] - 0.91).abs() < 1e-6 && (targets[0] - 0.01).abs() < 1e-7);
        assert!((targets[10..].iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn values_outside_their_ranges_are_refused() {
        for config in [
            AugmentConfig { random_erasing: 1.5, ..Default::default() },
            AugmentConfig { label_smoothing: f32::NAN, ..Default::default() },
            AugmentConfig { mixup_alpha: -0.1, ..Default::default() },
            AugmentConfig { cutmix_alpha: f64::INFINITY, ..Default::default() },
        ] {
            assert!(config.validate().is_err(), "{config:?}");
        }
    }
}
