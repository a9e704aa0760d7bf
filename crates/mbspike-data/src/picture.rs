//! Pictures of samples and of frames.

use crate::frames::{Slicing, View, integrate};
use crate::{Error, Result, SampleSet};

/// Space between the samples of a sheet, in pixels.
const GAP: usize = 2;
/// Grey of the space.
const BACKGROUND: u8 = 96;

/// A sheet of samples as a PNG picture: one row per class in the order of the labels, with the
/// first `n_columns` samples of the class, each pixel `scale` pixels wide. Of a recording all
/// events are shown at once, ON in red and OFF in blue on black.
pub fn contact_sheet(set: &SampleSet, n_columns: usize, scale: usize) -> Result<Vec<u8>> {
    let [_, height, width] = set.shape();
    let n_rows = set.labels().iter().max().map_or(0, |&label| usize::from(label) + 1);
    let scale = scale.max(1);
    let cell = [height * scale + GAP, width * scale + GAP];
    let mut picture = Picture::new([n_rows * cell[0] + GAP, n_columns * cell[1] + GAP]);
    let mut filled = vec![0; n_rows];
    for (i, &label) in set.labels().iter().enumerate() {
        let row = usize::from(label);
        if filled[row] == n_columns {
            continue;
        }
        let corner = [GAP + row * cell[0], GAP + filled[row] * cell[1]];
        filled[row] += 1;
        let pixels = match set {
            SampleSet::Images(images) => {
                // Grey images have one channel, colour images three.
                let (image, plane) = (images.image(i), height * width);
                let n_channels = images.shape[0];
                let colour = |at| [0, 1, 2].map(|c| image[c % n_channels * plane + at]);
                (0..plane).map(colour).collect()
            }
            SampleSet::Arrays(arrays) => {
                // Grey, from the smallest to the largest number, of the first channel over all steps.
                let sample = arrays.sample(i);
                let plane = height * width;
                let step = arrays.shape[0] * plane;
                let mean = |at: usize| {
                    let steps = sample.iter().skip(at).step_by(step);
                    steps.sum::<f32>() / arrays.n_steps as f32
                };
                let means: Vec<f32> = (0..plane).map(mean).collect();
                let lowest = means.iter().copied().fold(f32::INFINITY, f32::min);
                let range = means.iter().copied().fold(f32::NEG_INFINITY, f32::max) - lowest;
                let grey = |mean: &f32| {
                    [((mean - lowest) / range.max(f32::MIN_POSITIVE) * 255.0) as u8; 3]
                };
                means.iter().map(grey).collect()
            }
            SampleSet::Events(recordings) => {
                let events = recordings.read(i)?;
                let view = View::whole(events.sensor);
                event_colours(&integrate(&events, &Slicing::Number { n_frames: 1 }, &view)?)
            }
        };
        picture.paint(corner, [height, width], scale, &pixels);
    }
    picture.to_png()
}

/// The frames of a recording side by side as a PNG picture, `frames` being `[T, 2, H, W]` with
/// `size` = H, W: ON in red, OFF in blue, each frame as bright as its largest count asks.
pub fn frame_strip(
    frames: &[f32],
    size @ [height, width]: [usize; 2],
    scale: usize,
) -> Result<Vec<u8>> {
    let scale = scale.max(1);
    let frames = frames.chunks_exact(2 * height * width);
    let step = width * scale + GAP;
    let mut picture = Picture::new([height * scale + 2 * GAP, frames.len() * step + GAP]);
    for (i, frame) in frames.enumerate() {
        picture.paint([GAP, GAP + i * step], size, scale, &event_colours(frame));
    }
    picture.to_png()
}

/// Red for ON and blue for OFF events of a frame `[2, H, W]`.
fn event_colours(frame: &[f32]) -> Vec<[u8; 3]> {
    let (off, on) = frame.split_at(frame.len() / 2);
    let largest = frame.iter().copied().fold(1.0, f32::max);
    // The square root keeps single events visible beside busy pixels.
    let brightness = |count: f32| ((count / largest).sqrt() * 255.0).round() as u8;
    let colour = |(&off, &on): (&f32, &f32)| {
        let [off, on] = [off, on].map(brightness);
        [on, off.min(on), off]
    };
    off.iter().zip(on).map(colour).collect()
}

/// An RGB picture.
struct Picture {
    pixels: Vec<u8>,
    size: [usize; 2],
}

impl Picture {
    /// A grey picture of height and width `size`.
    fn new(size @ [height, width]: [usize; 2]) -> Self {
        Self { pixels: vec![BACKGROUND; height * width * 3], size }
    }

    /// Paints an image of height and width `size` with its upper left corner at `corner`.
    fn paint(
        &mut self,
        [top, left]: [usize; 2],
        [height, width]: [usize; 2],
        scale: usize,
        pixels: &[[u8; 3]],
    ) {
        for y in 0..height * scale {
            for x in 0..width * scale {
                let at = ((top + y) * self.size[1] + left + x) * 3;
                self.pixels[at..at + 3].copy_from_slice(&pixels[y / scale * width + x / scale]);
            }
        }
    }

    /// The picture as a PNG file.
    fn to_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let [height, width] = self.size.map(|size| size as u32);
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let written =
            encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.pixels));
        written.map_err(|error| Error::Picture { size: self.size, message: error.to_string() })?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{ImageSet, Split};

    fn set() -> SampleSet {
        let images = vec![0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 0, 255];
        let (labels, shape) = (vec![1, 0, 1], [1, 2, 2]);
        SampleSet::Images(Arc::new(ImageSet { images, labels, shape, split: Split::Train }))
    }

    #[test]
    fn sheet_has_a_row_per_class_and_can_be_read_back() {
        let bytes = contact_sheet(&set(), 2, 1).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (10, 10));
        let grey = |y: usize, x: usize| pixels[(y * 10 + x) * 3];
        assert_eq!([grey(2, 2), grey(2, 6)], [255, BACKGROUND]); // one sample of class 0
        assert_eq!([grey(6, 2), grey(6, 6), grey(6, 7)], [0, 0, 255]); // two of class 1
    }
}
