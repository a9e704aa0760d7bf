//! The architecture notation: what it reads, what it refuses and how it says so.

use mbspike_lif::{Arch, ArchError, ConvLayer, Join, Layer, PoolKind, Shape};
use proptest::prelude::*;

fn refusal(text: &str) -> ArchError {
    match text.parse::<Arch>() {
        Err(error) => error,
        Ok(arch) => panic!("{text} was read as {arch:?}"),
    }
}

#[test]
fn every_kind_of_layer_is_read() {
    let arch: Arch = "34x34x2-8c3v-bn-2a-16c5-2m-dp0.25-512-100o-vote10".parse().unwrap();
    assert_eq!(arch.input, Shape { channels: 2, height: 34, width: 34 });
    assert_eq!(
        arch.layers,
        [
            Layer::Conv(ConvLayer::valid(8, 3)),
            Layer::BatchNorm,
            Layer::Pool { kind: PoolKind::Average, size: 2 },
            Layer::Conv(ConvLayer::new(16, 5)),
            Layer::Pool { kind: PoolKind::Max, size: 2 },
            Layer::Dropout { p: 0.25 },
            Layer::dense(512),
            Layer::Output { neurons: 100 },
            Layer::Vote { group: 10 },
        ]
    );
    assert_eq!(arch.n_classes(), 10);
}

#[test]
fn shapes_follow_the_layers() {
    let arch: Arch = "20x28x2-8c5v-bn-2a-16c5-dp0.5-2m-64-10o-vote5".parse().unwrap();
    let shapes: Vec<String> = arch.shapes().unwrap().iter().map(ToString::to_string).collect();
    let expected = ["16x24x8", "16x24x8", "8x12x8", "8x12x16", "8x12x16", "4x6x16"];
    assert_eq!(shapes[..6], expected);
    assert_eq!(shapes[6..], ["1x1x64", "1x1x10", "1x1x2"]);
}

#[test]
fn parameter_counts_are_those_of_the_published_layers() {
    let counts = |preset: &str, bias| {
        let arch = Arch::preset(preset).unwrap();
        arch.parameter_counts(bias).unwrap().into_iter().filter(|n| *n > 0).collect::<Vec<_>>()
    };
    assert_eq!(counts("fashion-mnist-net", false), [200, 3200, 7840]);
    assert_eq!(counts("fashion-mnist-net", true), [208, 3216, 7850]);
    // 128 · 8 · 8 inputs of the first dense layer, as in PLIF.
    assert_eq!(
        counts("nmnist-net-plif", false),
        [2304, 256, 147_456, 256, 8192 * 2048, 2048 * 100]
    );
}

#[test]
fn every_preset_fits_its_dataset() {
    let datasets = [
        ("fashion-mnist-net", "28x28x1", 10),
        ("mnist-net", "28x28x1", 10),
        ("nmnist-net", "34x34x2", 10),
        ("dvs-gesture-net", "128x128x2", 11),
        ("cifar10-net", "32x32x3", 10),
    ];
    for (dataset, input, n_classes) in datasets {
        assert!(Arch::preset(dataset).is_some(), "no {dataset}");
        assert!(Arch::preset(&format!("{dataset}-plif")).is_some(), "no {dataset}-plif");
        for (name, notation) in Arch::PRESETS.iter().filter(|(name, _)| name.starts_with(dataset)) {
            let arch = Arch::preset(name).unwrap();
            assert_eq!(arch.input.to_string(), input, "{name}");
            assert_eq!(arch.n_classes(), n_classes, "{name}");
            assert_eq!(arch.to_string(), *notation, "{name}");
        }
    }
    assert_eq!(Arch::preset("no-such-net"), None);
}

#[test]
fn errors_show_where_and_what_was_expected() {
    let cases = [
        ("", 0, "the end", "the height of the input"),
        ("fashion", 0, "`f`", "the height of the input"),
        ("28y-10o", 2, "`y`", "`x` and the width"),
        ("28x-10o", 3, "`-`", "the width of the input"),
        ("28x28x-10o", 6, "`-`", "the channels of the input"),
        ("28x28 -10o", 5, "` `", "`-` or the end of the input"),
        ("28x28-", 6, "the end", "a layer such as"),
        ("28x28--10o", 6, "`-`", "a layer such as"),
        ("28x28-8q5-10o", 7, "`q`", "`c` (convolution)"),
        ("28x28-8c-10o", 8, "`-`", "the size of the kernel"),
        ("28x28-8c5w-10o", 9, "`w`", "`-` or the end of the layer"),
        ("28x28-8c5s0-10o", 10, "`0`", "the stride, at least 1"),
        ("28x28-8c5s2s2-10o", 11, "`s`", "once"),
        ("28x28-8c5d-10o", 10, "`-`", "the dilation"),
        ("28x28-8c5g3-10o", 6, "`8c5g3` on a map of 28x28x1", "groups that divide 1 channels in"),
        ("28x28-dw3g2-10o", 9, "`g`", "no groups"),
        ("28x28-res(8c3-10o", 17, "the end", "`)`, the end of the block"),
        ("28x28-res()-10o", 10, "`)`", "a layer such as"),
        ("28x28-res(8c3)-10o", 6, "`res(8c3)` of 28x28x8 and 28x28x1", "a strided 1x1"),
        ("28x28-resc(2a)-10o", 6, "`resc(2a)`", "a convolution or dense layer inside"),
        ("28x28-res(10o)-10o", 10, "`10o` inside a block", "after all blocks"),
        ("28x28-res(1c3-1c3|bn)-10o", 18, "`bn` after the input", "right after"),
        ("28x28-res(1c3-1c3|1c1|1c1)-10o", 21, "`|`", "`)`, the end of the block"),
        ("28x28-3r-8c5-10o", 9, "`8c5` after a dense layer", "there is no map"),
        ("28x28-16r2-10o", 9, "`2`", "`-` or the end of the layer"),
        ("28x28-10o-", 10, "the end", "a layer such as"),
        ("28x28-10ö", 8, "`ö`", "`c` (convolution)"),
        ("28x28-dp-10o", 8, "`-`", "the probability of dropout"),
        ("28x28-dp0.-10o", 10, "`-`", "a digit after the decimal point"),
        ("28x28-dp1.0-10o", 8, "`1.0`", "0..1"),
        ("28x28-0c5-10o", 6, "`0`", "at least 1"),
        ("0x28-10o", 0, "`0`", "at least 1"),
        ("28x28-99999999999999999999999-10o", 6, "`99999999999999999999999`", "at most"),
        ("28x28-8c5-3a-10o", 10, "`3a` on a map of 28x28x8", "divides 28 and 28"),
        ("4x4-8c5v-10o", 4, "`8c5v` on a map of 4x4x1", "not larger than the map"),
        ("28x28-8c4-10o", 6, "`8c4`", "an odd kernel"),
        ("28x28-bn-10o", 6, "`bn` after the input", "right after a convolution"),
        ("28x28-8c5-2a-bn-10o", 13, "`bn` after `2a`", "right after a convolution"),
        ("28x28-8c5-bn-bn-10o", 13, "`bn` after `bn`", "right after a convolution"),
        ("28x28-64-8c5-10o", 9, "`8c5` after a dense layer", "there is no map"),
        ("28x28-8c5", 9, "the end", "an output layer"),
        ("28x28-10o-10o", 10, "`10o` after the output layer", "a vote"),
        ("28x28-10o-dp0.5", 10, "`dp0.5` after the output layer", "a vote"),
        ("28x28-100o-vote10-vote2", 18, "`vote2` after the vote", "the end"),
        ("28x28-vote10-10o", 6, "`vote10` before the output layer", "right after the output"),
        ("28x28-100o-vote7", 11, "`vote7` on 100 outputs", "a group that divides 100"),
        ("65536x65536-10o", 0, "`65536x65536`", "an input of 1 to 2147483648 elements"),
        ("28x28-18446744073709551615-10o", 6, "on a map of 28x28x1", "at most 2147483648"),
        ("28x28-9c4294967297-10o", 6, "on a map of 28x28x1", "at most 2147483648"),
    ];
    for (text, position, found, expected) in cases {
        let error = refusal(text);
        assert_eq!(error.text, text);
        assert_eq!(error.position, position, "{error}");
        assert!(error.found.contains(found), "no {found} in\n{error}");
        assert!(error.expected.contains(expected), "no {expected} in\n{error}");
    }
}

#[test]
fn errors_point_at_the_place() {
    let error = refusal("28x28-8c5-2a-16q5-10o");
    let lines: Vec<String> = error.to_string().lines().map(String::from).collect();
    assert_eq!(lines[1], "  28x28-8c5-2a-16q5-10o");
    assert_eq!(lines[2], "                 ^");
    let after_wide_characters = refusal("28x28-8c5-ä").to_string();
    assert!(after_wide_characters.ends_with("\n            ^"), "{after_wide_characters}");
    let with_newline = refusal("28x28\n-10o").to_string();
    assert_eq!(with_newline.lines().count(), 3, "{with_newline}");
}

#[test]
fn a_handmade_architecture_is_checked_like_a_read_one() {
    let mut arch: Arch = "28x28-8c5-2a-10o".parse().unwrap();
    arch.layers[1] = Layer::Pool { kind: PoolKind::Average, size: 5 };
    let error = arch.shapes().unwrap_err();
    assert_eq!((error.text.as_str(), error.position), ("28x28-8c5-5a-10o", 10));
    arch.layers[1] = Layer::Dropout { p: f64::NAN };
    assert!(arch.shapes().is_err());
    arch.layers[1] = Layer::Pool { kind: PoolKind::Max, size: 0 };
    assert!(arch.shapes().is_err());
    arch.layers.clear();
    assert!(arch.shapes().unwrap_err().expected.contains("output layer"));
    assert_eq!(arch.n_classes(), 0);
    arch.layers.push(Layer::Vote { group: 0 });
    assert_eq!(arch.n_classes(), 0);
}

#[test]
fn strides_groups_blocks_and_recurrence_are_read() {
    let arch: Arch = "32x32x4-8c3s2-dw3-8c3d2g4v-16c1l-2a-lif-resc(16c3-bn-16c3-bn|16c1l)\
                      -res(res(16c3)-16c3)-2s-128r-64l-10o"
        .parse()
        .unwrap();
    let plain = ConvLayer::new(8, 3);
    assert_eq!(arch.layers[0], Layer::Conv(ConvLayer { stride: 2, ..plain }));
    assert_eq!(arch.layers[1], Layer::Conv(ConvLayer { channels: None, ..plain }));
    let third = ConvLayer { dilation: 2, groups: 4, valid: true, ..plain };
    assert_eq!(arch.layers[2], Layer::Conv(third));
    let Layer::Residual { join, body, shortcut } = &arch.layers[6] else { panic!("{arch}") };
    assert_eq!((*join, body.len(), shortcut.len()), (Join::Currents, 4, 1));
    let shapes: Vec<String> = arch.shapes().unwrap().iter().map(ToString::to_string).collect();
    let expected = ["16x16x8", "16x16x8", "12x12x8", "12x12x16", "6x6x16", "6x6x16", "6x6x16"];
    assert_eq!(shapes[..7], expected);
    assert_eq!(shapes[7..], ["6x6x16", "3x3x16", "1x1x128", "1x1x64", "1x1x10"]);
    let row: Arch = "700-128r-20o".parse().unwrap();
    assert_eq!(row.input, Shape { channels: 1, height: 1, width: 700 });
    assert_eq!(row.to_string(), "700-128r-20o");
    // Whatever the order of the suffixes, one notation is canonical.
    let same: Arch = "9x9x4-8c3vg2s2l-lif-10o".parse().unwrap();
    assert_eq!(same.to_string(), "9x9x4-8c3s2g2vl-lif-10o");
}

#[test]
fn one_channel_is_not_written() {
    assert_eq!("28x28x1-010o".parse::<Arch>().unwrap().to_string(), "28x28-10o");
}

fn layer() -> impl Strategy<Value = Layer> {
    let kind = prop_oneof![Just(PoolKind::Average), Just(PoolKind::Max), Just(PoolKind::Sum)];
    prop_oneof![
        (1..40_usize, 1..8_usize, any::<bool>()).prop_map(|(channels, kernel, valid)| {
            let kernel = if valid { kernel } else { 2 * kernel - 1 };
            Layer::Conv(ConvLayer { valid, ..ConvLayer::new(channels, kernel) })
        }),
        Just(Layer::BatchNorm),
        (1..3_usize, 1..3_usize, any::<bool>(), any::<bool>()).prop_map(
            |(stride, dilation, depthwise, spiking)| {
                let channels = if depthwise { None } else { Some(6) };
                Layer::Conv(ConvLayer {
                    channels,
                    stride,
                    dilation,
                    spiking,
                    ..ConvLayer::new(6, 3)
                })
            }
        ),
        (any::<bool>(), any::<bool>()).prop_map(|(currents, with_shortcut)| Layer::Residual {
            join: if currents { Join::Currents } else { Join::Spikes },
            body: vec![Layer::Conv(ConvLayer::new(5, 3)), Layer::BatchNorm],
            shortcut: if with_shortcut { vec![Layer::Conv(ConvLayer::new(5, 1))] } else { vec![] },
        }),
        (1..50_usize, any::<bool>(), any::<bool>()).prop_map(|(neurons, recurrent, spiking)| {
            Layer::Dense { neurons, recurrent, spiking: spiking || recurrent }
        }),
        Just(Layer::Neurons),
        (kind.clone(), 1..4_usize).prop_map(|(kind, size)| Layer::Pool { kind, size }),
        (kind, 1..4_usize).prop_map(|(kind, size)| Layer::Pool { kind, size }),
        (1..600_usize).prop_map(|neurons| Layer::dense(neurons)),
        (0.0..1.0_f64).prop_map(|p| Layer::Dropout { p }),
    ]
}

proptest! {
    /// Layers that do not fit are left out, so that long architectures come up too.
    #[test]
    fn parsing_what_is_displayed_gives_the_same_architecture(
        (height, width, channels) in (1..64_usize, 1..64_usize, 1..4_usize),
        candidates in prop::collection::vec(layer(), 0..12),
        (classes, group) in (1..20_usize, 1..11_usize),
    ) {
        let output = Layer::Output { neurons: classes * group };
        let mut arch = Arch { input: Shape { channels, height, width }, layers: vec![output] };
        for layer in candidates {
            arch.layers.insert(arch.layers.len() - 1, layer);
            if arch.shapes().is_err() {
                arch.layers.remove(arch.layers.len() - 2);
            }
        }
        if group > 1 {
            arch.layers.push(Layer::Vote { group });
        }
        let read: Arch = arch.to_string().parse().map_err(|error: ArchError| {
            TestCaseError::fail(error.to_string())
        })?;
        prop_assert_eq!(&read, &arch);
        prop_assert_eq!(read.n_classes(), classes);
        let shapes = read.shapes().unwrap();
        prop_assert_eq!(shapes.len(), arch.layers.len());
        prop_assert_eq!(shapes.last().unwrap().n_elements(), classes);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[0-9xcvamobnpdtelrswgi.()| -]{0,40}|.{0,20}") {
        if let Err(error) = text.parse::<Arch>() {
            prop_assert!(error.position + error.length <= text.len());
            prop_assert!(text.is_char_boundary(error.position));
            prop_assert_eq!(error.to_string().lines().count(), 3, "{}", error);
        }
    }
}
