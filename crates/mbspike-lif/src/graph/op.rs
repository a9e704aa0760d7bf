use super::node::{
    Add, Conv, Dense, Dropout, Flatten, Input, Neurons, Norm, Operation, Output, Pooling, Vote,
};

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// What the network is fed.
    Input(Input),
    /// A convolution.
    Conv(Conv),
    /// A dense layer, which flattens the map it reads.
    Dense(Dense),
    /// Batch normalization over steps and samples.
    Norm(Norm),
    /// Neurons, with their recurrent edge where they have one.
    Neurons(Neurons),
    /// Average, maximum or sum pooling.
    Pool(Pooling),
    /// A map becomes a row.
    Flatten(Flatten),
    /// Dropout with one mask over time.
    Dropout(Dropout),
    /// The sum of two or more nodes, of spikes or of currents.
    Add(Add),
    /// From a sequence of spikes or membranes to scores.
    Output(Output),
    /// Scores are averaged in groups.
    Vote(Vote),
}

impl Op {
    pub(super) fn operation(&self) -> &dyn Operation {
        match self {
            Self::Input(op) => op,
            Self::Conv(op) => op,
            Self::Dense(op) => op,
            Self::Norm(op) => op,
            Self::Neurons(op) => op,
            Self::Pool(op) => op,
            Self::Flatten(op) => op,
            Self::Dropout(op) => op,
            Self::Add(op) => op,
            Self::Output(op) => op,
            Self::Vote(op) => op,
        }
    }
}

macro_rules! into_op {
    ($($node:ident => $variant:ident),*) => {$(
        impl From<$node> for Op {
            fn from(op: $node) -> Self {
                Self::$variant(op)
            }
        }
    )*};
}
into_op!(
    Input => Input, Conv => Conv, Dense => Dense, Norm => Norm, Neurons => Neurons, Pooling => Pool,
    Flatten => Flatten, Dropout => Dropout, Add => Add, Output => Output, Vote => Vote
);
