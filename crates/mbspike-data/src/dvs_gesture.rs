//! DVS128 Gesture (Amir et al. 2017, CC BY 4.0): 29 people making 11 gestures under 5 lights, seen by
//! an event camera of 128×128 pixels.
//!
//! A folder (the content of `DvsGesture.tar.gz`) with recordings `userNN_LIGHT.aedat` in
//! [AEDAT 3.1](crate::aedat), for each a table `userNN_LIGHT_labels.csv` that says which gesture is
//! made when, and the lists `trials_to_train.txt` and `trials_to_test.txt`. Each row of a table is
//! one sample; rows are cut independently (`start <= t < end`), overlaps stay in both.
//!
//! Labels are the published class minus 1. SpikingJelly's are another permutation, because it sorts
//! the class folders "0" to "10" as text.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::DatasetName;
use crate::event_set::{EventSet, Recording};
use crate::locate::{not_found, search_folders};
use crate::simulate::is_simulated;
use crate::{Dataset, Error, Result, SampleSet, Split};

pub(crate) const SENSOR: [usize; 2] = [128, 128];
pub(crate) const LISTS: [&str; 2] = ["trials_to_train.txt", "trials_to_test.txt"];
pub(crate) const TABLE_HEADER: &str = "class,startTime_usec,endTime_usec";

/// Loads DVS128 Gesture from `path` or from where it is found.
pub(crate) fn load(path: Option<&Path>) -> Result<Dataset> {
    let name = DatasetName::DvsGesture;
    let searched = search_folders(name, path);
    let with_subfolders = |folder: &PathBuf| [folder.clone(), folder.join("DvsGesture")];
    let is_here = |folder: &PathBuf| LISTS.iter().any(|list| folder.join(list).is_file());
    let Some(folder) = searched.iter().flat_map(with_subfolders).find(is_here) else {
        return Err(not_found(name, searched));
    };
    Ok(Dataset {
        name: name.to_string(),
        train: SampleSet::Events(load_split(&folder, LISTS[0], Split::Train)?.into()),
        test: SampleSet::Events(load_split(&folder, LISTS[1], Split::Test)?.into()),
        class_names: name.info().class_names.iter().map(|&name| name.to_owned()).collect(),
        source: folder.display().to_string(),
        simulated: is_simulated(&folder)?,
    })
}

fn load_split(folder: &Path, list: &str, split: Split) -> Result<EventSet> {
    let (recordings, labels) = (vec![], vec![]);
    let mut set = EventSet { recordings, labels, sensor: SENSOR, n_polarities: 2, split };
    let list = folder.join(list);
    for (i, line) in fs_err::read_to_string(&list)?.lines().enumerate() {
        let trial = line.trim();
        if trial.is_empty() {
            continue;
        }
        let refuse =
            |message: String| Error::Line { file: list.clone(), line: i as u64 + 1, message };
        // A name, not a path: nothing outside of the folder is read.
        let stem = trial.strip_suffix(".aedat").filter(|stem| !stem.contains(['/', '\\']));
        let Some(stem) = stem else {
            return Err(refuse(format!("expected the name of an .aedat file, found \"{trial}\"")));
        };
        let recording = folder.join(trial);
        if !recording.is_file() {
            return Err(refuse(format!("{trial} is not there")));
        }
        let file = Arc::new(recording);
        for (label, times) in read_labels(&folder.join(format!("{stem}_labels.csv")))? {
            set.recordings.push(Recording::AedatSpan { file: Arc::clone(&file), times });
            set.labels.push(label);
        }
    }
    if set.is_empty() {
        let message = "names no recording with a gesture".to_owned();
        return Err(Error::Line { file: list, line: 1, message });
    }
    Ok(set)
}

/// Reads a table of gestures: label (class minus 1) and times in microseconds.
pub fn read_labels(file: &Path) -> Result<Vec<(u8, Range<i64>)>> {
    parse_labels(&fs_err::read_to_string(file)?, file)
}

/// Parses a table of gestures; `file` is its name in errors.
pub fn parse_labels(text: &str, file: &Path) -> Result<Vec<(u8, Range<i64>)>> {
    let refuse = |line: usize, message: String| Error::Line {
        file: file.to_owned(),
        line: line as u64 + 1,
        message,
    };
    let mut rows = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if i == 0 {
            if line != TABLE_HEADER {
                return Err(refuse(i, format!("expected \"{TABLE_HEADER}\", found \"{line}\"")));
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let fields: Vec<Option<i64>> = line.split(',').map(|f| f.trim().parse().ok()).collect();
        let [Some(class), Some(start), Some(end)] = fields[..] else {
            return Err(refuse(i, format!("expected three whole numbers, found \"{line}\"")));
        };
        if !(1..=11).contains(&class) {
            return Err(refuse(i, format!("expected a class in 1..=11, found {class}")));
        }
        if end <= start {
            return Err(refuse(
                i,
                format!("the gesture ends at {end} us and begins at {start} us"),
            ));
        }
        rows.push((class as u8 - 1, start..end));
    }
    if text.is_empty() {
        return Err(refuse(0, format!("expected \"{TABLE_HEADER}\", found nothing")));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(u8, Range<i64>)>> {
        parse_labels(text, Path::new("l.csv"))
    }

    #[test]
    fn tables_are_read_row_by_row() {
        let text = "class,startTime_usec,endTime_usec\n8,100,200\n8,150,300\n11,5,6\n";
        let rows = parse(text).unwrap();
        assert_eq!(rows, [(7, 100..200), (7, 150..300), (10, 5..6)]);
        assert_eq!(parse(&text.replace('\n', "\r\n")).unwrap(), rows);
    }

    #[test]
    fn bad_rows_are_refused_with_their_line() {
        let message =
            |row: &str| parse(&format!("{TABLE_HEADER}\n1,0,5\n{row}\n")).unwrap_err().to_string();
        assert_eq!(message("12,0,5"), "l.csv: line 3: expected a class in 1..=11, found 12");
        assert_eq!(message("0,0,5"), "l.csv: line 3: expected a class in 1..=11, found 0");
        assert_eq!(message("1,5,5"), "l.csv: line 3: the gesture ends at 5 us and begins at 5 us");
        assert!(message("1,5").contains("three whole numbers"));
        assert!(message("1,5,6,7").contains("three whole numbers"));
        assert!(message("a,5,6").contains("three whole numbers"));
        assert!(parse("a,b,c\n").unwrap_err().to_string().starts_with("l.csv: line 1:"));
        assert!(parse("").is_err());
    }
}
