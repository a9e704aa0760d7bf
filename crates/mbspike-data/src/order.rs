use mbspike_core::philox::{Domain, Place, Stream};

/// The order in which the `n` samples of a set are taken in `epoch`: a permutation of `0..n`, every
/// one equally likely, that is a function of seed and epoch.
///
/// # Panics
/// If there are 2^32 samples or more.
pub fn shuffled(n: usize, seed: u64, epoch: u32) -> Vec<u32> {
    let n = u32::try_from(n).expect("fewer than 2^32 samples");
    let mut order: Vec<u32> = (0..n).collect();
    Stream::new(seed, Domain::Shuffle, Place { epoch, ..Place::default() })
        .rng()
        .shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_and_seed_has_its_own_permutation() {
        let mut order = shuffled(1000, 1, 0);
        assert_eq!(order, shuffled(1000, 1, 0));
        assert_ne!(order, shuffled(1000, 1, 1));
        assert_ne!(order, shuffled(1000, 2, 0));
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
