//! A few small cases that launch every kernel: enough for a tool that watches each access, such as
//! `compute-sanitizer`, and slows kernels down by a hundred times.

use std::collections::BTreeSet;

use mbspike_core::pool::PoolKind;

use crate::elements::{Bf16, Element};
use crate::launch::LAUNCHED;
use crate::others::{counts_agree, poisson_agrees, pooling_agrees};
use crate::random::Case;

fn a_few_cases<E: Element>() {
    for case in 0..12 {
        let case = Case::new(case);
        case.forward_agrees::<E>();
        case.backward_agrees::<E>();
    }
    for kind in [PoolKind::Average, PoolKind::Max] {
        pooling_agrees::<E>(kind, [7, 5, 2]);
    }
    poisson_agrees::<E>(65, 5, 1, &[0, 3]);
    counts_agree::<E>(1000, 300, true);
}

#[test]
fn every_kernel_agrees_with_the_cpu_on_a_few_cases() {
    LAUNCHED.take();
    a_few_cases::<f32>();
    a_few_cases::<Bf16>();
    let lines = include_str!("../../kernels/registers.txt").lines();
    let kernels = lines.filter(|line| !line.starts_with('#'));
    let all: BTreeSet<_> = kernels.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert!(!all.is_empty());
    assert_eq!(LAUNCHED.take(), all);
}
