//! Whole numbers in and out of a network of them: the input as codes, and what was seen of codes.

use candle_core::{DType, Device, Tensor};
use mbspike_core::activity::Sum;

use crate::quantization::code_of;
use crate::{Error, PositionActivity, Result, Shape};

/// The codes, in steps of `input_step`, of an input `[T, B, C, H, W]` of that shape, with its steps and
/// batch size.
pub(super) fn codes_of(
    op: &'static str,
    x_seq: &Tensor,
    shape: Shape,
    input_step: f32,
) -> Result<(Vec<i32>, [usize; 2])> {
    let Shape { channels, height, width } = shape;
    let mismatch = |got: String, expected: String| Error::Mismatch {
        op,
        what: "the input".into(),
        got,
        expected,
    };
    let sizes = match *x_seq.dims() {
        [t, b, c, h, w] if t > 0 && b > 0 && [c, h, w] == [channels, height, width] => [t, b],
        ref dims => {
            let expected = format!("[T, B, {channels}, {height}, {width}] with T, B > 0");
            return Err(mismatch(format!("{dims:?}"), expected));
        }
    };
    let x_seq = x_seq.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
    let mut n_nan = 0_usize;
    let codes = mbspike_core::read::<f32, _>(&x_seq, |x| {
        n_nan = x.iter().filter(|x| x.is_nan()).count();
        Ok(x.iter().map(|x| code_of(*x, input_step) as i32).collect())
    })?;
    if n_nan > 0 {
        return Err(mismatch(format!("NaN in {n_nan} places"), "numbers".into()));
    }
    Ok((codes, sizes))
}

/// Adds codes to what was seen at a position; a code of 1 stands for `unit`.
pub(super) fn see(seen: &mut PositionActivity, codes: &[i32], unit: f64) {
    let (mut n_nonzero, mut sum) = (0_u64, 0_i64);
    for code in codes {
        n_nonzero += u64::from(*code != 0);
        sum += i64::from(*code);
    }
    let mut total = Sum::default();
    total.add(sum as f64 * unit);
    seen.add(codes.len(), (n_nonzero, total));
}

/// Channels first to channels last.
///
/// # Panics
/// If the step is not as long as the map.
pub(super) fn load(map: &mut [i32], step: &[i32], [channels, height, width]: [usize; 3]) {
    assert_eq!(step.len(), map.len(), "codes of one step");
    for (channel, plane) in step.chunks_exact(height * width).enumerate() {
        for (pixel, code) in plane.iter().enumerate() {
            map[pixel * channels + channel] = *code;
        }
    }
}
