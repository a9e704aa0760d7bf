//! From labelled samples to a training and a test set.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use mbspike_core::philox::{Domain, Place, Stream};

use super::labelled::Labelled;
use crate::{DatasetConfig, Error, Result, SampleSet, Split};

/// The most classes that labels tell apart.
const MAX_CLASSES: usize = 256;

/// What a reader found: all samples, or those of two sets.
pub(crate) struct Parts {
    pub(crate) train: Labelled,
    /// The test set where there are files of its own, and the files.
    pub(crate) test: Option<(Labelled, PathBuf)>,
}

impl DatasetConfig {
    /// Whether the test set is taken out of the samples.
    pub(crate) fn is_divided(&self) -> bool {
        self.test_fraction.is_some() || self.folds.is_some()
    }

    pub(super) fn validate_split(&self) -> Result<()> {
        let refuse =
            |key: &str, message: &str| Err(Error::config(&format!("dataset.{key}"), message));
        if self.test_path.is_some() && self.is_divided() {
            return refuse(
                "test_path",
                "names the test set; test_fraction and folds choose another",
            );
        }
        if self.test_fraction.is_some() && self.folds.is_some() {
            return refuse("test_fraction", "and folds choose two test sets");
        }
        if self.test_fraction.is_some_and(|share| !(share > 0.0 && share < 1.0)) {
            return refuse("test_fraction", "must be above 0 and below 1");
        }
        match (self.folds, self.fold) {
            (Some(folds), _) if !(2..=1 << 16).contains(&folds) => {
                refuse("folds", "must be in 2..=65536")
            }
            (Some(_), None) => {
                refuse("fold", "is missing: which of the folds is the test set, from 0 on")
            }
            (Some(folds), Some(fold)) if fold >= folds => {
                refuse("fold", &format!("must be below folds = {folds}: {fold}"))
            }
            (None, Some(_)) => refuse("fold", "needs folds"),
            _ if self.split_seed.is_some() && !self.is_divided() => {
                refuse("split_seed", "needs test_fraction or folds")
            }
            _ => Ok(()),
        }
    }
}

impl Parts {
    /// The training set, the test set and the names of the classes.
    pub(super) fn divide(
        self,
        config: &DatasetConfig,
        path: &Path,
    ) -> Result<(SampleSet, SampleSet, Vec<String>)> {
        let Self { train, test } = self;
        let labels = train.labels.iter().chain(test.iter().flat_map(|(test, _)| &test.labels));
        let classes = class_names(labels, config)?;
        let number = |labels: &[String]| -> Vec<u8> {
            let place = |label: &String| classes.iter().position(|(key, _)| key == label);
            labels.iter().map(|label| place(label).unwrap_or(0) as u8).collect()
        };
        let (numbers, all): (Vec<u8>, Vec<usize>) =
            (number(&train.labels), (0..train.len()).collect());
        let (train_set, test_set) = match &test {
            Some((test, file)) => {
                test.check_like(&train, [file, path])?;
                if config.allow_shared != Some(true) {
                    refuse_shared(&train, test)?;
                }
                let numbers_of_test = number(&test.labels);
                let all_of_test: Vec<usize> = (0..test.len()).collect();
                (
                    train.select(&all, &numbers, Split::Train),
                    test.select(&all_of_test, &numbers_of_test, Split::Test),
                )
            }
            None if config.is_divided() => {
                let (for_train, for_test) = choose(&train, &numbers, config)?;
                (
                    train.select(&for_train, &numbers, Split::Train),
                    train.select(&for_test, &numbers, Split::Test),
                )
            }
            None => {
                let message = format!(
                    "{} has no test set: name one (test_path), or take a part as one (test_fraction, or \
                     folds and fold)",
                    path.display()
                );
                return Err(Error::config("dataset.test_path", message));
            }
        };
        for (set, name) in [(&train_set, "training"), (&test_set, "test")] {
            if set.is_empty() {
                let message = format!("{} leaves no sample for the {name} set", path.display());
                return Err(Error::config("dataset.path", message));
            }
        }
        Ok((train_set, test_set, classes.into_iter().map(|(_, name)| name).collect()))
    }
}

/// The labels that occur, in order, each with the name of its class. Whole numbers are in the order of
/// numbers and count from the smallest on, others in that of text.
fn class_names<'a>(
    labels: impl Iterator<Item = &'a String>,
    config: &DatasetConfig,
) -> Result<Vec<(String, String)>> {
    let found: BTreeSet<&String> = labels.collect();
    let mut found: Vec<String> = found.into_iter().cloned().collect();
    if let Ok(mut numbers) =
        found.iter().map(|label| label.parse::<i64>()).collect::<std::result::Result<Vec<_>, _>>()
    {
        numbers.sort_unstable();
        found = numbers.iter().map(ToString::to_string).collect();
    }
    if found.len() > MAX_CLASSES {
        let message = format!("has {} classes; at most {MAX_CLASSES} are told apart", found.len());
        return Err(Error::config("dataset.path", message));
    }
    if config.class_names.as_ref().is_some_and(|names| names.len() > MAX_CLASSES) {
        let message = format!("must name at most {MAX_CLASSES} classes");
        return Err(Error::config("dataset.class_names", message));
    }
    let Some(names) = &config.class_names else {
        return Ok(found.iter().map(|label| (label.clone(), label.clone())).collect());
    };
    // Names of labels that do not occur keep their places.
    if found.iter().all(|label| names.contains(label)) {
        return Ok(names.iter().map(|name| (name.clone(), name.clone())).collect());
    }
    if names.len() != found.len() {
        let message = format!(
            "names {} classes, but the data have {}: {}",
            names.len(),
            found.len(),
            found.iter().take(20).cloned().collect::<Vec<_>>().join(", ")
        );
        return Err(Error::config("dataset.class_names", message));
    }
    Ok(found.into_iter().zip(names.iter().cloned()).collect())
}

/// Refuses a test sample whose content is that of a training sample.
fn refuse_shared(train: &Labelled, test: &Labelled) -> Result<()> {
    let mut known = HashMap::new();
    for i in 0..train.len() {
        if let Some(content) = train.content(i)? {
            known.insert(content, i);
        }
    }
    let mut shared = Vec::new();
    for i in 0..test.len() {
        if let Some(&other) = test.content(i)?.and_then(|content| known.get(&content)) {
            shared.push((other, i));
        }
    }
    let Some(&(a, b)) = shared.first() else { return Ok(()) };
    let message = format!(
        "{} samples of the test set are in the training set too, the first {} as {}; remove them, or set \
         dataset.allow_shared = true",
        shared.len(),
        test.places[b],
        train.places[a]
    );
    Err(Error::config("dataset.test_path", message))
}

/// The samples to train on and to test on: of each class its share, samples of the same content
/// together.
fn choose(
    all: &Labelled,
    labels: &[u8],
    config: &DatasetConfig,
) -> Result<(Vec<usize>, Vec<usize>)> {
    // The first sample with a content stands for all that have it.
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut first_of = HashMap::new();
    for i in 0..all.len() {
        let first = match all.content(i)? {
            Some(content) => *first_of.entry(content).or_insert(i),
            None => i,
        };
        groups.entry(first).or_default().push(i);
    }
    let mut by_class: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for &first in groups.keys() {
        by_class.entry(labels[first]).or_default().push(first);
    }
    let seed = config.split_seed.unwrap_or(0);
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (class, mut firsts) in by_class {
        let place = Place { epoch: u32::MAX, sample: class.into(), step: 0 };
        Stream::new(seed, Domain::Shuffle, place).rng().shuffle(&mut firsts);
        let n = firsts.len();
        for (i, first) in firsts.into_iter().enumerate() {
            let is_test = if let (Some(folds), Some(fold)) = (config.folds, config.fold) {
                i % folds == fold
            } else {
                let share = config.test_fraction.unwrap_or(0.0);
                i < (share * n as f64).round() as usize
            };
            let part = if is_test { &mut test } else { &mut train };
            part.extend(&groups[&first]);
        }
    }
    train.sort_unstable();
    test.sort_unstable();
    Ok((train, test))
}

#[cfg(test)]
mod tests {
    use super::super::OwnKind;
    use super::super::labelled::Samples;
    use super::*;

    fn own() -> DatasetConfig {
        DatasetConfig::new(OwnKind::ImageFolder)
    }

    /// Samples of one pixel row whose content is `contents`.
    fn labelled(contents: &[u8], labels: &[&str]) -> Labelled {
        let pixels = contents.iter().flat_map(|&content| [content, 255 - content]).collect();
        Labelled {
            samples: Samples::Images { shape: [1, 1, 2], pixels },
            labels: labels.iter().map(ToString::to_string).collect(),
            places: (0..contents.len()).map(|i| format!("sample {i}")).collect(),
        }
    }

    fn pixels(set: &SampleSet) -> Vec<u8> {
        let SampleSet::Images(images) = set else { panic!("images") };
        (0..images.len()).map(|i| images.image(i)[0]).collect()
    }

    fn divide(parts: Parts, config: &DatasetConfig) -> Result<(SampleSet, SampleSet, Vec<String>)> {
        config.validate_split()?;
        parts.divide(config, Path::new("p"))
    }

    #[test]
    fn folds_are_disjoint_and_cover_everything() {
        let contents: Vec<u8> = (0..23).collect();
        let labels: Vec<&str> =
            contents.iter().map(|i| if i % 3 == 0 { "b" } else { "a" }).collect();
        let mut tested = Vec::new();
        for fold in 0..4 {
            let parts = Parts { train: labelled(&contents, &labels), test: None };
            let config = DatasetConfig { folds: Some(4), fold: Some(fold), ..own() };
            let (train, test, classes) = divide(parts, &config).unwrap();
            assert_eq!(classes, ["a", "b"]);
            assert_eq!(train.len() + test.len(), 23);
            let (train, test) = (pixels(&train), pixels(&test));
            assert!(test.iter().all(|pixel| !train.contains(pixel)));
            tested.extend(test);
        }
        tested.sort_unstable();
        assert_eq!(tested, contents);
    }

    #[test]
    fn a_fraction_is_of_each_class_and_depends_on_the_seed_only() {
        let contents: Vec<u8> = (0..40).collect();
        let labels: Vec<&str> = contents.iter().map(|i| if *i < 10 { "b" } else { "a" }).collect();
        let test_of = |split_seed| {
            let parts = Parts { train: labelled(&contents, &labels), test: None };
            let config = DatasetConfig { test_fraction: Some(0.3), split_seed, ..own() };
            let (_, test, _) = divide(parts, &config).unwrap();
            let sum: u8 = test.labels().iter().sum();
            assert_eq!(sum, 3, "of the ten samples of class 1");
            pixels(&test)
        };
        assert_eq!(test_of(None).len(), 12);
        assert_eq!(test_of(None), test_of(Some(0)));
        assert_ne!(test_of(None), test_of(Some(1)));
    }

    #[test]
    fn equal_samples_are_in_one_part() {
        let contents: Vec<u8> = (0..30).map(|i| i / 3).collect();
        let labels = vec!["a"; 30];
        for fold in 0..3 {
            let parts = Parts { train: labelled(&contents, &labels), test: None };
            let config = DatasetConfig { folds: Some(3), fold: Some(fold), ..own() };
            let (train, test, _) = divide(parts, &config).unwrap();
            let (train, test) = (pixels(&train), pixels(&test));
            assert!(!test.is_empty() && test.iter().all(|pixel| !train.contains(pixel)));
        }
        let shared = || Parts {
            train: labelled(&[1, 2, 3], &["a", "b", "a"]),
            test: Some((labelled(&[4, 2], &["a", "b"]), PathBuf::from("t"))),
        };
        let message = divide(shared(), &own()).unwrap_err().to_string();
        assert!(
            message.contains("1 samples of the test set are in the training set too, the first sample 1 as sample 1"),
            "{message}"
        );
        let allowed = DatasetConfig { allow_shared: Some(true), ..own() };
        assert_eq!(divide(shared(), &allowed).unwrap().1.len(), 2);
    }

    #[test]
    fn labels_that_are_numbers_are_in_the_order_of_numbers() {
        let classes = |labels: &[&str], class_names: Option<&[&str]>| {
            let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
            let class_names = class_names.map(|n| n.iter().map(ToString::to_string).collect());
            let config = DatasetConfig { class_names, ..own() };
            class_names_of(&labels, &config)
        };
        assert_eq!(classes(&["10", "9", "-1", "9"], None).unwrap(), ["-1", "9", "10"]);
        assert_eq!(classes(&["b", "10", "9"], None).unwrap(), ["10", "9", "b"]);
        assert_eq!(classes(&["2", "1"], Some(&["one", "two"])).unwrap(), ["one", "two"]);
        assert_eq!(classes(&["cat"], Some(&["dog", "cat"])).unwrap(), ["dog", "cat"]);
        assert!(classes(&["1", "2", "3"], Some(&["one", "two"])).is_err());
        let many: Vec<String> = (0..257).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(classes(&many, None).unwrap_err().to_string().contains("has 257 classes"));
    }

    fn class_names_of(labels: &[String], config: &DatasetConfig) -> Result<Vec<String>> {
        Ok(class_names(labels.iter(), config)?.into_iter().map(|(_, name)| name).collect())
    }

    #[test]
    fn splits_that_contradict_each_other_are_refused_by_key() {
        let message = |config: DatasetConfig| config.validate_split().unwrap_err().to_string();
        let none = own();
        let share = |share| DatasetConfig { test_fraction: Some(share), ..none.clone() };
        for bad in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(message(share(bad)).starts_with("dataset.test_fraction: must be above 0"));
        }
        assert!(
            message(DatasetConfig { folds: Some(3), ..none.clone() })
                .starts_with("dataset.fold: is missing")
        );
        assert!(
            message(DatasetConfig { folds: Some(3), fold: Some(3), ..none.clone() })
                .contains("below folds = 3")
        );
        assert!(message(DatasetConfig { fold: Some(0), ..none.clone() }).contains("needs folds"));
        assert!(
            message(DatasetConfig { folds: Some(1), fold: Some(0), ..none.clone() })
                .starts_with("dataset.folds")
        );
        assert!(
            message(DatasetConfig { split_seed: Some(1), ..none })
                .starts_with("dataset.split_seed")
        );
        let parts = Parts { train: labelled(&[1], &["a"]), test: None };
        let message = divide(parts, &own()).err().unwrap().to_string();
        assert!(message.contains("p has no test set: name one (test_path)"), "{message}");
    }
}
