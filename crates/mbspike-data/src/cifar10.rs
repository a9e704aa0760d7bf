//! CIFAR-10 (Krizhevsky 2009), binary version: 50,000 + 10,000 colour images of 32×32 pixels in ten
//! classes. Each record is a label byte and 1,024 red, 1,024 green and 1,024 blue bytes, row by row;
//! the published files hold 10,000 records each.

use std::path::Path;

use fs_err::File;

use crate::catalog::DatasetName;
use crate::locate::find_files;
use crate::{Dataset, Error, ImageSet, Result, SampleSet, Split};

const SHAPE: [usize; 3] = [3, 32, 32];
const N_PIXELS: usize = 3 * 32 * 32;
/// A label and an image.
pub const RECORD_BYTES: usize = 1 + N_PIXELS;
/// The published files have 30.7 MB.
const MAX_BYTES: u64 = 1 << 30;

/// Loads CIFAR-10 from `path` or from where it is found.
pub(crate) fn load(path: Option<&Path>) -> Result<Dataset> {
    let name = DatasetName::Cifar10;
    let info = name.info();
    let names: Vec<_> = info.files.iter().map(|file| file.name).collect();
    let (folder, files) = find_files(name, path, &names)?;
    let (test, train) = files.split_last().expect("the catalog lists files");
    let read = |split, files: &[std::path::PathBuf]| {
        let mut set = ImageSet { images: Vec::new(), labels: Vec::new(), shape: SHAPE, split };
        for file in files {
            read_file(file, &mut set)?;
        }
        Ok::<_, Error>(SampleSet::Images(set.into()))
    };
    Ok(Dataset {
        name: name.to_string(),
        train: read(Split::Train, train)?,
        test: read(Split::Test, std::slice::from_ref(test))?,
        class_names: info.class_names.iter().map(|&name| name.to_owned()).collect(),
        source: folder.display().to_string(),
        simulated: false,
    })
}

fn read_file(path: &Path, set: &mut ImageSet) -> Result<()> {
    let n_bytes = File::open(path)?.metadata()?.len();
    if n_bytes > MAX_BYTES {
        return Err(Error::Format {
            file: path.to_owned(),
            offset: 0,
            expected: format!("at most {MAX_BYTES} bytes"),
            found: format!("{n_bytes}"),
        });
    }
    parse(&fs_err::read(path)?, path, set)
}

/// Appends the records of a file's content to `set`; `file` is its name in errors.
pub fn parse(bytes: &[u8], file: &Path, set: &mut ImageSet) -> Result<()> {
    let refuse = |offset: usize, expected: &str, found: String| Error::Format {
        file: file.to_owned(),
        offset: offset as u64,
        expected: expected.to_owned(),
        found,
    };
    let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
    if records.is_empty() || !rest.is_empty() {
        let start = bytes.len() - rest.len();
        let found = format!("the end after {} bytes", rest.len());
        return Err(refuse(start, "a record of 3073 bytes", found));
    }
    for (i, [label, pixels @ ..]) in records.iter().enumerate() {
        if *label >= 10 {
            return Err(refuse(i * RECORD_BYTES, "a label below 10", label.to_string()));
        }
        set.labels.push(*label);
        set.images.extend_from_slice(pixels);
    }
    Ok(())
}
