//! Listing, checking, inspecting and configuring whole datasets.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use mbspike_data::catalog::DatasetName;
use mbspike_data::{
    AugmentConfig, DatasetConfig, EncoderConfig, EncoderKind, FrameCachePlace, Verdict,
    contact_sheet, fetch, inspect, list, load, verify,
};

#[test]
fn every_dataset_is_listed_with_where_it_is_searched() {
    let listings = list();
    assert_eq!(listings.iter().map(|l| l.name).collect::<Vec<_>>(), DatasetName::ALL);
    let subset = listings.iter().find(|l| l.name == DatasetName::FashionMnistSubset).unwrap();
    assert!(subset.is_available && subset.folder.is_none());
    for listing in &listings {
        assert!(listing.searched.iter().any(|f| f.ends_with(listing.name.as_str())));
        let json = serde_json::to_value(listing).unwrap();
        assert_eq!(json["name"], listing.name.as_str());
        assert_eq!(json["n_train"], listing.info.n_train);
    }
}

#[test]
fn verify_tells_published_recompressed_and_different_files_apart() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs_err::write(folder.path().join(name), bytes).unwrap();
    let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
    zipped.write_all(b"abc").unwrap();
    write("train-images-idx3-ubyte.gz", &zipped.finish().unwrap());
    for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        write(name, b"abc");
    }
    let checks = verify(DatasetName::Mnist, Some(folder.path())).unwrap();
    assert_eq!(checks.len(), 4);
    for check in &checks {
        assert_eq!(check.verdict, Verdict::Different);
        // RFC 1321: MD5("abc").
        assert_eq!(check.content_md5, "900150983cd24fb0d6963f7d28e17f72");
    }
    assert_ne!(checks[0].md5, checks[0].content_md5);
    assert_eq!(checks[1].n_bytes, 3);
    assert!(verify(DatasetName::FashionMnistSubset, None).unwrap().is_empty());
}

#[test]
fn inspection_of_the_embedded_subset_shows_balanced_classes_and_draws_them() {
    let dataset = load(&DatasetConfig::new(DatasetName::FashionMnistSubset)).unwrap();
    let found = inspect(&dataset).unwrap();
    assert_eq!(found.train.class_counts, [600; 10]);
    assert_eq!(found.test.class_counts, [100; 10]);
    assert_eq!(found.class_names[9], "ankle boot");
    // Published mean and deviation of the whole training set: 0.2860, 0.3530.
    let pixels = found.train.pixels.unwrap();
    assert!((pixels.mean[0] - 0.286).abs() < 0.005, "{:?}", pixels.mean);
    assert!((pixels.std[0] - 0.353).abs() < 0.005, "{:?}", pixels.std);
    let sheet = contact_sheet(&dataset.train, 12, 2).unwrap();
    assert!(sheet.starts_with(b"\x89PNG") && sheet.len() > 10_000);
}

#[test]
fn what_is_embedded_needs_no_download() {
    let (name, nowhere) = (DatasetName::FashionMnistSubset, "/nowhere".as_ref());
    let error = fetch(name, nowhere, None, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("part of this program"));
}

#[test]
fn what_has_to_be_asked_for_says_what_to_put_where() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(DatasetName::DvsGesture, folder.path(), None, &mut |_| {}).unwrap_err();
    let (error, folder) = (error.to_string(), folder.path().display().to_string());
    for part in ["authors' page", "DvsGesture.tar.gz", "8a5c71fb", "research.ibm.com", &folder] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn configs_read_as_designed_and_refuse_misspelt_keys() {
    let dataset: DatasetConfig =
        toml::from_str("name = \"fashion-mnist\"\ntrain_size = 1000").unwrap();
    assert_eq!(dataset.name, DatasetName::FashionMnist);
    assert_eq!(dataset.train_size, Some(1000));
    assert!(toml::from_str::<DatasetConfig>("name = \"fashion\"").is_err());
    assert!(toml::from_str::<DatasetConfig>("name = \"mnist\"\npaht = \"x\"").is_err());

    let cache = |value: &str| {
        let text = format!("name = \"nmnist\"\nframe_cache = {value}");
        toml::from_str::<DatasetConfig>(&text).map(|dataset| {
            // What is written reads back as itself.
            let again: DatasetConfig = toml::from_str(&toml::to_string(&dataset).unwrap()).unwrap();
            assert_eq!(again, dataset);
            dataset.frame_cache
        })
    };
    assert_eq!(cache("false").unwrap(), FrameCachePlace::Off);
    assert_eq!(cache("true").unwrap(), FrameCachePlace::User);
    let place = cache("\"/frames\"").unwrap();
    assert_eq!(place.folder().unwrap(), Some("/frames".into()));
    for wrong in ["1", "\"\"", "[]"] {
        assert!(cache(wrong).unwrap_err().to_string().contains("true, false or a folder"));
    }

    let encoder: EncoderConfig = toml::from_str("kind = \"poisson\"\ntime_steps = 10").unwrap();
    assert_eq!((encoder.kind, encoder.time_steps), (EncoderKind::Poisson, 10));
    assert_eq!(encoder, EncoderConfig::poisson(10));
    assert!(toml::from_str::<EncoderConfig>("kind = \"poisson\"").is_err());
    assert!(toml::from_str::<AugmentConfig>("mixup = 0.2").is_err());
    assert_eq!(toml::from_str::<AugmentConfig>("").unwrap(), AugmentConfig::default());
}
