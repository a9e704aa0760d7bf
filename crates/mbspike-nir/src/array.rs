use crate::{Error, Result};

/// Numbers of an [`Array`], in row-major order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// Single precision; half precision in files is widened to it.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Whole numbers; narrower ones in files are widened to it.
    I64(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// An array of any number of dimensions; none for a single number.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Data,
}

impl Array {
    /// An array of `shape`.
    ///
    /// # Errors
    /// If there are more or fewer numbers than the shape has places.
    pub fn new(shape: &[usize], data: Data) -> Result<Self> {
        let array = Self { shape: shape.to_vec(), data };
        match shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size)) {
            Some(n) if n == array.len() => Ok(array),
            _ => Err(Error::expected(
                format!("as many numbers as an array of shape {shape:?} has places"),
                array.len().to_string(),
            )),
        }
    }

    /// An array of `shape` in single precision.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        Self::new(shape, Data::F32(data))
    }

    /// A single number: no dimensions.
    pub(crate) fn single(data: Data) -> Self {
        Self { shape: vec![], data }
    }

    /// One dimension, as long as there are numbers.
    pub(crate) fn list(data: Data) -> Self {
        let mut list = Self::single(data);
        list.shape = vec![list.len()];
        list
    }

    /// An array of `shape` with one value everywhere, in single precision.
    pub fn full(shape: &[usize], value: f32) -> Self {
        let n = shape.iter().product();
        Self { shape: shape.to_vec(), data: Data::F32(vec![value; n]) }
    }

    /// An array like `self` in shape and type, of zeros.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        let n = self.len();
        let data = match self.data {
            Data::F32(_) => Data::F32(vec![0.0; n]),
            Data::F64(_) => Data::F64(vec![0.0; n]),
            Data::I64(_) => Data::I64(vec![0; n]),
            Data::Bool(_) => Data::Bool(vec![false; n]),
        };
        Self { shape: self.shape.clone(), data }
    }

    /// Its dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its numbers, row-major.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::F32(data) => data.len(),
            Data::F64(data) => data.len(),
            Data::I64(data) => data.len(),
            Data::Bool(data) => data.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its numbers in double precision, which all but whole numbers beyond 2⁵³ have exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(data) => data.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(data) => data.clone(),
            Data::I64(data) => data.iter().map(|&x| x as f64).collect(),
            Data::Bool(data) => data.iter().map(|&x| f64::from(u8::from(x))).collect(),
        }
    }

    /// Its numbers rounded to single precision; [`Array::is_single`] says whether that changes any.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F32(data) => data.clone(),
            _ => self.to_f64().into_iter().map(|x| x as f32).collect(),
        }
    }

    /// Whether single precision has each of its numbers exactly.
    pub fn is_single(&self) -> bool {
        match &self.data {
            Data::F32(_) | Data::Bool(_) => true,
            Data::F64(data) => data.iter().all(|&x| x.is_nan() || f64::from(x as f32) == x),
            Data::I64(data) => data.iter().all(|&x| i128::from(x) == (x as f32) as i128),
        }
    }

    /// The one value it has everywhere, in double precision; `None` where it has several or none.
    pub fn uniform(&self) -> Option<f64> {
        let values = self.to_f64();
        let first = *values.first()?;
        values.iter().all(|&x| x == first).then_some(first)
    }

    /// `array of shape [2, 3]`, to say what was found.
    pub(crate) fn describe(&self) -> String {
        let of = match self.data {
            Data::F32(_) => "f32",
            Data::F64(_) => "f64",
            Data::I64(_) => "whole numbers",
            Data::Bool(_) => "truth values",
        };
        if self.shape.is_empty() {
            format!("one number ({of})")
        } else {
            format!("an array of {of} of shape {:?}", self.shape)
        }
    }
}
