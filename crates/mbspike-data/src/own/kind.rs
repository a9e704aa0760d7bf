/// What own data are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnKind {
    /// One folder a class, with pictures in it.
    ImageFolder,
    /// NumPy or safetensors arrays of images `[N, C, H, W]`, `[N, H, W]` or sequences `[N, T, C]`.
    Arrays,
    /// Files in the format of MNIST, such as EMNIST's and KMNIST's.
    Idx,
    /// One folder a class, with recordings of an event camera in it, or a table of them.
    EventsFolder,
    /// Spikes of lines, in the layout of the Spiking Heidelberg Digits.
    SpikesHdf5,
    /// A table of time series, one row a time.
    Csv,
    /// Time series in the format of the UEA archive.
    Ts,
    /// Time series in Weka's format, as the UCR archive has them.
    Arff,
}

impl OwnKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::ImageFolder,
        Self::Arrays,
        Self::Idx,
        Self::EventsFolder,
        Self::SpikesHdf5,
        Self::Csv,
        Self::Ts,
        Self::Arff,
    ];

    /// The name, as in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageFolder => "image-folder",
            Self::Arrays => "arrays",
            Self::Idx => "idx",
            Self::EventsFolder => "events-folder",
            Self::SpikesHdf5 => "spikes-hdf5",
            Self::Csv => "csv",
            Self::Ts => "ts",
            Self::Arff => "arff",
        }
    }

    /// The keys of [`DatasetConfig`](crate::DatasetConfig) that mean something to it, besides those of the split.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::ImageFolder => &["size", "grey"],
            Self::Arrays => &["samples", "labels", "test_samples", "test_labels", "first_label"],
            Self::Idx => {
                &["samples", "labels", "test_samples", "test_labels", "first_label", "transpose"]
            }
            Self::EventsFolder => &["sensor", "table"],
            Self::SpikesHdf5 => &["sensor"],
            Self::Csv => &["labels", "length"],
            Self::Ts | Self::Arff => &["length"],
        }
    }
}
