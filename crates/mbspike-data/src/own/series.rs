//! Time series with a class each: the formats of the UEA (`.ts`) and UCR (`.arff`) archives, and tables.
//!
//! * `.ts`: lines that begin with `#` are comments, with `@` settings, the last `@data`; then a line a
//!   series: its channels, divided by `:`, each of numbers divided by `,`, and behind the last `:` the class.
//! * `.arff`: `@attribute` lines, `@data`, then a line a series: numbers divided by `,`, the class last. Of
//!   several channels these are in quotes, divided by `\n`.
//! * `.csv`: a header line; the column `sample` tells the rows of a series, which follow each other in time,
//!   `label` its class; every other column is a channel.

use std::path::{Path, PathBuf};

use super::kind::OwnKind;
use super::labelled::{Labelled, Samples};
use super::split::Parts;
use crate::{DatasetConfig, Error, Result};

/// A series of numbers with a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The numbers of each channel, `[C][T]`.
    pub channels: Vec<Vec<f32>>,
    /// The name of its class.
    pub label: String,
    /// The line at which it begins.
    pub line: u64,
}

pub(super) fn load(kind: OwnKind, path: &Path, config: &DatasetConfig) -> Result<Parts> {
    let (train, test) = files(kind, path, config)?;
    let read = |file: &Path| -> Result<Vec<Series>> {
        let series = match kind {
            OwnKind::Ts => parse_ts(&fs_err::read_to_string(file)?, file)?,
            OwnKind::Arff => parse_arff(&fs_err::read_to_string(file)?, file)?,
            _ => parse_csv(fs_err::File::open(file)?, config.labels.as_deref(), file)?,
        };
        if series.is_empty() {
            let message = "holds no series".to_owned();
            return Err(Error::Line { file: file.to_owned(), line: 1, message });
        }
        Ok(series)
    };
    let train_series = read(&train)?;
    let test_series = test.as_deref().map(read).transpose()?;
    let all = train_series.iter().chain(test_series.iter().flatten());
    let longest = all.map(|series| series.channels[0].len()).max().unwrap_or(1);
    let n_steps = config.length.unwrap_or(longest).max(1);
    let n_channels = train_series[0].channels.len();
    let labelled = |series: Vec<Series>, file: &Path| labelled(series, n_channels, n_steps, file);
    Ok(Parts {
        test: match (test_series, test) {
            (Some(series), Some(file)) => Some((labelled(series, &file)?, file)),
            _ => None,
        },
        train: labelled(train_series, &train)?,
    })
}

/// The files of the training and the test set. The archives' folders have `<name>_TRAIN` and
/// `<name>_TEST`.
fn files(kind: OwnKind, path: &Path, config: &DatasetConfig) -> Result<(PathBuf, Option<PathBuf>)> {
    if !path.is_dir() {
        return Ok((path.to_owned(), config.test_path.clone()));
    }
    let find = |part: &str| -> Result<PathBuf> {
        let ending = format!("_{part}.{}", kind.as_str());
        let mut found = Vec::new();
        for entry in fs_err::read_dir(path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().to_lowercase().ends_with(&ending) {
                found.push(entry.path());
            }
        }
        let [file] = found.as_slice() else {
            let message = format!(
                "expected one file *_{}.{} in {}, found {}",
                part.to_uppercase(),
                kind.as_str(),
                path.display(),
                found.len()
            );
            return Err(Error::config("dataset.path", message));
        };
        Ok(file.clone())
    };
    let train = find("train")?;
    if config.is_divided() {
        return Ok((train, None));
    }
    let test = config.test_path.clone().map_or_else(|| find("test"), Ok)?;
    Ok((train, Some(test)))
}

/// Brings series to one length: longer ones are cut, shorter ones end in zeros.
fn labelled(
    series: Vec<Series>,
    n_channels: usize,
    n_steps: usize,
    file: &Path,
) -> Result<Labelled> {
    let too_large = || {
        let message = format!("{} series of {n_steps} steps are beyond any memory", series.len());
        Error::config("dataset.length", message)
    };
    let n_values = n_steps
        .checked_mul(n_channels)
        .and_then(|n| n.checked_mul(series.len()))
        .filter(|n| n.checked_mul(4).is_some_and(|n| isize::try_from(n).is_ok()))
        .ok_or_else(too_large)?;
    let mut values = Vec::new();
    values.try_reserve_exact(n_values).map_err(|_| too_large())?;
    values.resize(n_values, 0.0);
    let (mut lengths, mut labels, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let n_all = n_steps * n_channels;
    for (series, out) in series.into_iter().zip(values.chunks_exact_mut(n_all.max(1))) {
        let refuse =
            |message: String| Error::Line { file: file.to_owned(), line: series.line, message };
        if series.channels.len() != n_channels {
            let n = series.channels.len();
            return Err(refuse(format!("expected {n_channels} channels, found {n}")));
        }
        let length = series.channels[0].len();
        if let Some(other) = series.channels.iter().find(|channel| channel.len() != length) {
            let n = other.len();
            return Err(refuse(format!("one channel has {length} numbers, another {n}")));
        }
        for (c, channel) in series.channels.iter().enumerate() {
            for (t, &value) in channel.iter().take(n_steps).enumerate() {
                out[t * n_channels + c] = value;
            }
        }
        lengths.push(length.min(n_steps));
        places.push(format!("line {} of {}", series.line, file.display()));
        labels.push(series.label);
    }
    let samples = Samples::Arrays { shape: [n_channels, 1, 1], n_steps, values, lengths };
    Ok(Labelled { samples, labels, places })
}

/// Numbers divided by commas.
fn numbers(text: &str, line: u64, file: &Path) -> Result<Vec<f32>> {
    text.split(',').map(|text| number(text.trim(), line, file)).collect()
}

fn number(text: &str, line: u64, file: &Path) -> Result<f32> {
    let value = text.parse::<f32>().ok().filter(|value| value.is_finite());
    value.ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let message = match text {
            "?" | "NaN" | "nan" | "" => format!(
                "expected a number, found \"{shown}\": values are missing; fill them in (interpolate) first"
            ),
            _ => format!("expected a number, found \"{shown}\""),
        };
        Error::Line { file: file.to_owned(), line, message }
    })
}

/// Decodes the content of a `.ts` file; `file` is its name in errors.
pub fn parse_ts(text: &str, file: &Path) -> Result<Vec<Series>> {
    let refuse = |line: u64, message: &str| Error::Line {
        file: file.to_owned(),
        line,
        message: message.to_owned(),
    };
    let (mut series, mut is_data, mut has_labels) = (Vec::new(), false, true);
    for (i, text) in text.lines().enumerate() {
        let (line, text) = (i as u64 + 1, text.trim());
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if !is_data {
            let mut words = text.split_whitespace();
            let key = words.next().unwrap_or("").to_lowercase();
            let is_true = words.next().is_some_and(|word| word.eq_ignore_ascii_case("true"));
            match key.as_str() {
                "@data" => is_data = true,
                "@timestamps" if is_true => {
                    return Err(refuse(
                        line,
                        "series with time stamps are not read; sample them evenly first",
                    ));
                }
                "@classlabel" => has_labels = is_true,
                "@targetlabel" if is_true => has_labels = false,
                _ if key.starts_with('@') => {}
                _ => {
                    return Err(refuse(line, "expected a line that begins with @, the last @data"));
                }
            }
            continue;
        }
        if !has_labels {
            return Err(refuse(line, "the series have no classes (@classLabel false)"));
        }
        let Some((channels, label)) = text.rsplit_once(':') else {
            return Err(refuse(line, "expected channels and a class, divided by \":\""));
        };
        let channels =
            channels.split(':').map(|text| numbers(text, line, file)).collect::<Result<_>>()?;
        series.push(Series { channels, label: label.trim().to_owned(), line });
    }
    if !is_data {
        return Err(refuse(1, "expected the line @data"));
    }
    Ok(series)
}

/// Decodes the content of an `.arff` file of series; `file` is its name in errors.
pub fn parse_arff(text: &str, file: &Path) -> Result<Vec<Series>> {
    let refuse = |line: u64, message: &str| Error::Line {
        file: file.to_owned(),
        line,
        message: message.to_owned(),
    };
    let (mut series, mut is_data) = (Vec::new(), false);
    for (i, text) in text.lines().enumerate() {
        let (line, text) = (i as u64 + 1, text.trim());
        if text.is_empty() || text.starts_with('%') {
            continue;
        }
        if !is_data {
            let lower = text.to_lowercase();
            is_data = lower.starts_with("@data");
            if !lower.starts_with('@') {
                return Err(refuse(line, "expected a line that begins with @, the last @data"));
            }
            continue;
        }
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let (channels, label) = if let Some(quote) = quote {
            let Some((inside, rest)) = text[1..].rsplit_once(quote) else {
                return Err(refuse(line, "the channels in quotes do not end"));
            };
            let channels = inside.split("\\n").filter(|channel| !channel.is_empty());
            let channels: Vec<Vec<f32>> =
                channels.map(|text| numbers(text, line, file)).collect::<Result<_>>()?;
            (channels, rest.trim_start_matches(','))
        } else {
            let Some((values, label)) = text.rsplit_once(',') else {
                return Err(refuse(line, "expected numbers and a class, divided by \",\""));
            };
            (vec![numbers(values, line, file)?], label)
        };
        let label = label.trim().trim_matches(['\'', '"']).to_owned();
        if label.is_empty() || channels.is_empty() {
            return Err(refuse(line, "expected channels and a class"));
        }
        series.push(Series { channels, label, line });
    }
    if !is_data {
        return Err(refuse(1, "expected the line @data"));
    }
    Ok(series)
}

/// Decodes a table of series; `file` is its name in errors.
fn parse_csv(input: impl std::io::Read, label: Option<&str>, file: &Path) -> Result<Vec<Series>> {
    let refuse = |line: u64, message: String| Error::Line { file: file.to_owned(), line, message };
    let damaged = |error: csv::Error| {
        refuse(error.position().map_or(1, csv::Position::line), error.to_string())
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers().map_err(damaged)?.clone();
    let label_name = label.unwrap_or("label");
    let column = |name: &str| header.iter().position(|known| known == name);
    let (Some(sample), Some(label)) = (column("sample"), column(label_name)) else {
        let found = header.iter().take(8).collect::<Vec<_>>().join(",");
        let message = format!(
            "expected the columns sample, {label_name} and one a channel, found \"{found}\""
        );
        return Err(refuse(1, message));
    };
    let channels: Vec<usize> = (0..header.len()).filter(|i| *i != sample && *i != label).collect();
    if channels.is_empty() {
        return Err(refuse(1, "has no column besides sample and label".to_owned()));
    }
    let mut series: Vec<Series> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut current = None;
    for record in reader.into_records() {
        let record = record.map_err(damaged)?;
        let line = record.position().map_or(0, csv::Position::line);
        if current.as_deref() != Some(&record[sample]) {
            if !seen.insert(record[sample].to_owned()) {
                let message =
                    format!("the rows of sample {} do not follow each other", &record[sample]);
                return Err(refuse(line, message));
            }
            current = Some(record[sample].to_owned());
            let channels = vec![Vec::new(); channels.len()];
            series.push(Series { channels, label: record[label].to_owned(), line });
        }
        let Some(last) = series.last_mut() else { continue };
        if last.label != record[label] {
            let message = format!("sample {} has two labels", &record[sample]);
            return Err(refuse(line, message));
        }
        for (values, &column) in last.channels.iter_mut().zip(&channels) {
            values.push(number(&record[column], line, file)?);
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_in_each_format() {
        let file = Path::new("s");
        let ts = "#comment\n@problemName x\n@timeStamps false\n@univariate false\n@classLabel true a b\n\
                  @data\n1,2,3:4,5,6:a\n-1,2e1,.5:7,8,9:b\n";
        let ts = parse_ts(ts, file).unwrap();
        assert_eq!(ts[0].channels, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!((&*ts[1].label, ts[1].line), ("b", 8));
        assert_eq!(ts[1].channels[0], [-1.0, 20.0, 0.5]);
        let arff =
            "% c\n@relation x\n@attribute a numeric\n@attribute target {1,2}\n@data\n1,2,3,1\n";
        let arff = parse_arff(arff, file).unwrap();
        assert_eq!((&arff[0].channels, &*arff[0].label), (&vec![vec![1.0, 2.0, 3.0]], "1"));
        let several = "@relation x\n@data\n'1,2,3\\n4,5,6',a\n";
        assert_eq!(parse_arff(several, file).unwrap()[0].channels, ts[0].channels);
        let csv = "sample,u,label,v\n7,1,a,4\n7,2,a,5\n7,3,a,6\nx,9,b,9\n";
        let csv = parse_csv(csv.as_bytes(), None, file).unwrap();
        assert_eq!(csv[0].channels, ts[0].channels);
        assert_eq!((csv[1].channels.len(), &*csv[1].label, csv[1].line), (2, "b", 5));
    }

    #[test]
    fn unequal_lengths_are_padded_or_cut() {
        let series = |n_steps| {
            let text = "@data\n1,2,3:a\n4:b\n";
            labelled(parse_ts(text, Path::new("s")).unwrap(), 1, n_steps, Path::new("s")).unwrap()
        };
        let Samples::Arrays { values, lengths, .. } = series(3).samples else { panic!("arrays") };
        assert_eq!((values, lengths), (vec![1.0, 2.0, 3.0, 4.0, 0.0, 0.0], vec![3, 1]));
        let Samples::Arrays { values, lengths, .. } = series(2).samples else { panic!("arrays") };
        assert_eq!((values, lengths), (vec![1.0, 2.0, 4.0, 0.0], vec![2, 1]));
    }

    #[test]
    fn damage_is_refused_with_its_line() {
        let file = Path::new("s");
        let ts = |text: &str| parse_ts(text, file).unwrap_err().to_string();
        assert!(ts("").starts_with("s: line 1: expected the line @data"));
        assert!(ts("1,2\n").starts_with("s: line 1: expected a line that begins with @"));
        assert!(ts("@data\n1,2\n").starts_with("s: line 2: expected channels and a class"));
        assert!(
            ts("@data\n1,?:a\n")
                .contains("line 2: expected a number, found \"?\": values are missing")
        );
        assert!(ts("@data\n1,x:a\n").contains("found \"x\""));
        assert!(ts("@timeStamps true\n@data\n").contains("time stamps"));
        assert!(ts("@classLabel false\n@data\n1,2\n").contains("no classes"));
        let arff = |text: &str| parse_arff(text, file).unwrap_err().to_string();
        assert!(arff("@data\n'1,2\n").contains("line 2: the channels in quotes do not end"));
        assert!(arff("@data\n1\n").contains("line 2"));
        let csv = |text: &str| parse_csv(text.as_bytes(), None, file).unwrap_err().to_string();
        assert!(csv("a,b\n").contains("line 1: expected the columns sample, label"));
        assert!(
            csv("sample,label,x\n1,a,1\n2,a,1\n1,a,1\n").contains("line 4: the rows of sample 1")
        );
        assert!(csv("sample,label,x\n1,a,1\n1,b,1\n").contains("line 3: sample 1 has two labels"));
        assert!(csv("sample,label,x\n1,a,1\n1,a\n").contains("line 3"));
        assert!(csv("sample,label\n1,a\n").contains("no column besides"));
        let uneven = parse_ts("@data\n1,2:3:a\n", file).unwrap();
        let message = labelled(uneven, 2, 2, file).unwrap_err().to_string();
        assert_eq!(message, "s: line 2: one channel has 2 numbers, another 1");
    }
}
