use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong, and where: `network.nir: node `conv1`, attribute `weight`: …`.
#[derive(Debug)]
pub struct Error {
    /// The file, where one is read or written.
    pub file: Option<PathBuf>,
    /// The node: names joined by `/` from the outermost graph on; empty for that graph itself.
    pub node: String,
    /// The attribute of the node, entries of its metadata as `metadata/name`.
    pub attribute: Option<String>,
    /// What is wrong with it.
    pub problem: Box<Problem>,
}

/// What can be wrong with a file, a graph or a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The bytes are not HDF5 as this crate knows it.
    #[error("not readable as HDF5: {0}")]
    Hdf5(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The bytes are so damaged that the HDF5 reader gave up in the middle.
    #[error("not readable as HDF5: the file is damaged ({0})")]
    Damaged(String),
    /// An attribute that its node must have is absent.
    #[error("it is missing")]
    Missing,
    /// An attribute that its node does not have.
    #[error("a {kind} node has no such attribute; it has {known}")]
    UnknownAttribute {
        /// The node's type.
        kind: String,
        /// The attributes it can have.
        known: String,
    },
    /// A node type that NIR 1.0.8 does not define.
    #[error(
        "unknown node type `{kind}`; to keep such nodes as they are, read with `Unknown::Keep`, \
         else replace the node"
    )]
    UnknownNode {
        /// The type.
        kind: String,
    },
    /// Something else was there than asked for.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What can be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// The file asks for more than its reader allows.
    #[error("{what} exceeds the limit of {limit}; where the file is trusted, raise it in `Limits`")]
    Limit {
        /// What, with its size.
        what: String,
        /// The limit with its unit.
        limit: String,
    },
    /// An edge that cannot be.
    #[error("edge `{from}` → `{to}`: {reason}")]
    Edge {
        /// Where it starts.
        from: String,
        /// Where it ends.
        to: String,
        /// Why it cannot be.
        reason: String,
    },
    /// A construction that NIR cannot express.
    #[error("NIR cannot express this: {0}")]
    Inexpressible(String),
}

impl Error {
    pub(crate) fn new(problem: Problem) -> Self {
        Self { file: None, node: String::new(), attribute: None, problem: Box::new(problem) }
    }

    pub(crate) fn expected(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(Problem::Expected { expected: expected.into(), found: found.into() })
    }

    pub(crate) fn edge(from: &str, to: &str, reason: impl Into<String>) -> Self {
        Self::new(Problem::Edge { from: from.into(), to: to.into(), reason: reason.into() })
    }

    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// Puts the name of a node, or of a graph around it, in front.
    pub(crate) fn in_node(mut self, name: &str) -> Self {
        self.node = join(name, &self.node);
        self
    }

    /// Puts the name of an attribute, or of a group around it, in front.
    pub(crate) fn in_attribute(mut self, name: &str) -> Self {
        self.attribute = Some(match &self.attribute {
            Some(inner) => join(name, inner),
            None => name.to_owned(),
        });
        self
    }
}

fn join(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("", inner) => inner.to_owned(),
        (outer, "") => outer.to_owned(),
        (outer, inner) => format!("{outer}/{inner}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        match (self.node.as_str(), &self.attribute) {
            ("", None) => {}
            ("", Some(attribute)) => write!(f, "attribute `{attribute}`: ")?,
            (node, None) => write!(f, "node `{node}`: ")?,
            (node, Some(attribute)) => write!(f, "node `{node}`, attribute `{attribute}`: ")?,
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.problem)
    }
}
