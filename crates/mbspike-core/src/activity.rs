//! How active a layer is: the counts behind the thesis's `nnz1 … nnzK`.

use pulp::Arch;

/// Lanes summed side by side; the order of additions is fixed by it.
const LANES: usize = 16;

/// Number of non-zero elements and sum of all of them, in one pass. NaN counts as non-zero and
/// makes the sum NaN.
pub fn count(values: &[f32]) -> (u64, f64) {
    Arch::new().dispatch(|| {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let (mut n, mut sum) = ([0_u32; LANES], [0.0_f32; LANES]);
        for chunk in chunks {
            for ((n, sum), v) in n.iter_mut().zip(&mut sum).zip(chunk) {
                *n += u32::from(*v != 0.0);
                *sum += *v;
            }
        }
        for ((n, sum), v) in n.iter_mut().zip(&mut sum).zip(rest) {
            *n += u32::from(*v != 0.0);
            *sum += *v;
        }
        (n.into_iter().map(u64::from).sum(), sum.into_iter().map(f64::from).sum())
    })
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_and_sums_any_length() {
        for length in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..length).map(|i| (i % 3) as f32).collect();
            let want = values.iter().filter(|v| **v != 0.0).count() as u64;
            assert_eq!(count(&values), (want, values.iter().map(|v| f64::from(*v)).sum()));
        }
        assert_eq!(count(&[f32::NAN]).0, 1);
    }
}
