//! Where datasets are looked for.

use std::path::{Path, PathBuf};

use crate::catalog::DatasetName;
use crate::{Error, Result};

/// Environment variable that names the user's data folder.
pub const DATA_VARIABLE: &str = "MBSPIKE_DATA";
/// Where Debian's dataset packages put their files.
pub const DEBIAN_FOLDER: &str = "/usr/share/datasets";

/// The folder that holds one folder per dataset: `$MBSPIKE_DATA`, else `mbspike` in the user's data
/// folder (`$XDG_DATA_HOME`, `~/.local/share`). `None` where there is no home.
pub fn data_folder() -> Option<PathBuf> {
    match std::env::var_os(DATA_VARIABLE) {
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        _ => dirs::data_dir().map(|folder| folder.join("mbspike")),
    }
}

/// Folders that may hold `dataset`, in the order in which they are searched: only `path` if one is
/// given, else the user's data folder and Debian's.
pub fn search_folders(dataset: DatasetName, path: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = path {
        return vec![path.to_owned()];
    }
    data_folder()
        .into_iter()
        .chain([PathBuf::from(DEBIAN_FOLDER)])
        .map(|folder| folder.join(dataset.as_str()))
        .collect()
}

/// Finds the folder that holds all of `names`, each as itself or with `.gz` added, and returns the
/// paths. In each searched folder the subfolders that archives and torchvision make are tried as well.
///
/// A folder with some of the files but not all is an error, so that a failed download is not
/// silently passed over.
pub(crate) fn find_files(
    dataset: DatasetName,
    path: Option<&Path>,
    names: &[&str],
) -> Result<(PathBuf, Vec<PathBuf>)> {
    let searched = search_folders(dataset, path);
    let with_subfolders = |folder: &PathBuf| {
        ["", "raw", "cifar-10-batches-bin", "DvsGesture"].map(|inner| match inner {
            "" => folder.clone(),
            inner => folder.join(inner),
        })
    };
    for folder in searched.iter().flat_map(with_subfolders) {
        let found: Vec<Option<PathBuf>> = names.iter().map(|name| find(&folder, name)).collect();
        if found.iter().all(Option::is_some) {
            return Ok((folder, found.into_iter().flatten().collect()));
        }
        if found.iter().any(Option::is_some) {
            let absent = names.iter().zip(&found).filter(|(_, found)| found.is_none());
            let missing = absent.map(|(&name, _)| name.to_owned()).collect();
            return Err(Error::Incomplete { dataset: dataset.to_string(), folder, missing });
        }
    }
    Err(not_found(dataset, searched))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|file| file.is_file())
}

/// The error for a dataset that is in none of `searched`.
pub(crate) fn not_found(dataset: DatasetName, searched: Vec<PathBuf>) -> Error {
    let first = searched.first().map_or_else(String::new, |folder| folder.display().to_string());
    let info = dataset.info();
    let files: Vec<_> = info.files.iter().map(|file| file.name).collect();
    let files = if files.is_empty() { String::new() } else { format!(" ({})", files.join(", ")) };
    let hint = format!("to use it from {first}: {}{files}", info.how_to_get);
    Error::NotFound { dataset: dataset.to_string(), searched, hint }
}
