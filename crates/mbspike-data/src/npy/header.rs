//! The header of an array.

/// Numbers of what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 0 or 1, in a byte.
    Bool,
    /// With a sign.
    Int,
    /// Without one.
    Uint,
    /// IEEE 754.
    Float,
}

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) kind: Kind,
    pub(crate) n_bytes: usize,
    is_big_endian: bool,
}

impl Scalar {
    /// The number's bits, the lowest byte first, and the same with the sign in all that are missing.
    fn bits(self, bytes: &[u8]) -> [u8; 8] {
        let is_negative = |top: u8| self.kind == Kind::Int && top & 0x80 != 0;
        let top = if self.is_big_endian { bytes.first() } else { bytes.last() };
        let fill = if top.is_some_and(|&top| is_negative(top)) { 0xff } else { 0 };
        let mut bits = [fill; 8];
        for (i, &byte) in bytes.iter().enumerate() {
            bits[if self.is_big_endian { self.n_bytes - 1 - i } else { i }] = byte;
        }
        bits
    }

    pub(super) fn to_f64(self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        match (self.kind, self.n_bytes) {
            (Kind::Float, 2) => half::f16::from_le_bytes([bits[0], bits[1]]).to_f64(),
            (Kind::Float, 4) => f32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]).into(),
            (Kind::Float, _) => f64::from_le_bytes(bits),
            (Kind::Int, _) => i64::from_le_bytes(bits) as f64,
            (Kind::Uint | Kind::Bool, _) => u64::from_le_bytes(bits) as f64,
        }
    }

    /// The whole number; `None` if it is none, or beyond 64 bits.
    pub(super) fn to_i64(self, bytes: &[u8]) -> Option<i64> {
        let bits = self.bits(bytes);
        match self.kind {
            Kind::Float => {
                let value = self.to_f64(bytes);
                // Both ends are numbers of f64.
                let fits = (i64::MIN as f64..-(i64::MIN as f64)).contains(&value);
                (fits && value.fract() == 0.0).then_some(value as i64)
            }
            Kind::Int => Some(i64::from_le_bytes(bits)),
            Kind::Uint => i64::try_from(u64::from_le_bytes(bits)).ok(),
            Kind::Bool => Some(i64::from(bytes[0] != 0)),
        }
    }
}

/// A column of a table; an array of plain numbers has one without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) scalar: Scalar,
    pub(super) offset: usize,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shape: Vec<usize>,
    pub(super) columns: Vec<Column>,
    /// Bytes of an element: a number, or a row of a table.
    pub(super) n_record: usize,
    pub(super) is_fortran: bool,
}

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself writes longer headers only for tables of thousands of columns.
const MAX_HEADER_BYTES: usize = 1 << 16;
/// A row of a table with more bytes is no recording.
const MAX_RECORD_BYTES: usize = 1 << 16;
/// Deeper Python values are no header.
const MAX_DEPTH: usize = 8;

type Parsed<T> = Result<T, String>;

impl Header {
    /// Parses the header of a file's content; also where the numbers begin.
    pub(super) fn parse(bytes: &[u8]) -> Parsed<(Self, usize)> {
        let cut = || format!("the header is cut off at byte {}", bytes.len());
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            let start = &bytes[..bytes.len().min(MAGIC.len())];
            return Err(format!("expected \\x93NUMPY at byte 0, found {start:02x?}"));
        };
        let &[version, _, ref rest @ ..] = rest else { return Err(cut()) };
        let (n_size, n_header) = match (version, rest) {
            (1, &[a, b, ..]) => (2, usize::from(u16::from_le_bytes([a, b]))),
            (2 | 3, &[a, b, c, d, ..]) => (4, u32::from_le_bytes([a, b, c, d]) as usize),
            (1..=3, _) => return Err(cut()),
            _ => {
                return Err(format!(
                    "expected version 1 to 3 of the format at byte 6, found {version}"
                ));
            }
        };
        if n_header > MAX_HEADER_BYTES {
            return Err(format!(
                "expected at most {MAX_HEADER_BYTES} bytes, found a header of {n_header} bytes"
            ));
        }
        let start = MAGIC.len() + 2 + n_size;
        let text = bytes.get(start..start + n_header).ok_or_else(cut)?;
        // Versions 1 and 2 are Latin 1, of which only ASCII occurs outside of names.
        let text: String = match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => text.iter().map(|&byte| char::from(byte)).collect(),
        };
        let mut reader = Reader { text: &text, at: 0 };
        let value = reader
            .value(0)
            .map_err(|message| format!("byte {}: the header: {message}", start + reader.at))?;
        Ok((Self::interpret(&value)?, start + n_header))
    }

    fn interpret(value: &Value) -> Parsed<Self> {
        let key = |name: &str| match value {
            Value::Dict(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, v)| v),
            _ => None,
        };
        let (Some(descr), Some(Value::Bool(is_fortran)), Some(Value::List(shape))) =
            (key("descr"), key("fortran_order"), key("shape"))
        else {
            return Err("the header lacks descr, fortran_order or shape".to_owned());
        };
        let sizes = shape.iter().map(|size| match size {
            Value::Int(size) => usize::try_from(*size).map_err(|_| format!("a size of {size}")),
            other => Err(format!("expected whole numbers as the shape, found {other:?}")),
        });
        let shape = sizes.collect::<Parsed<Vec<usize>>>()?;
        let (columns, n_record) = columns(descr)?;
        Ok(Self { shape, columns, n_record, is_fortran: *is_fortran })
    }

    /// Bytes of the numbers; `None` beyond what can be addressed.
    pub(super) fn n_bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.n_record, |n, &size| n.checked_mul(size))
    }

    pub(super) fn described(&self) -> String {
        format!("elements of {} bytes", self.n_record)
    }
}

/// The columns and the bytes of an element.
fn columns(descr: &Value) -> Parsed<(Vec<Column>, usize)> {
    let fields = match descr {
        Value::Text(text) => {
            let scalar = scalar(text)?.ok_or_else(|| unreadable(text))?;
            let column = Column { name: String::new(), scalar, offset: 0 };
            return Ok((vec![column], scalar.n_bytes));
        }
        Value::List(fields) => fields,
        other => return Err(format!("expected a type of numbers as descr, found {other:?}")),
    };
    let (mut columns, mut offset) = (Vec::new(), 0_usize);
    for field in fields {
        let Value::List(parts) = field else {
            return Err(format!("expected a column of a type, found {field:?}"));
        };
        let (name, text, n) = match parts.as_slice() {
            [Value::Text(name), Value::Text(text)] => (name, text, 1),
            [Value::Text(name), Value::Text(text), Value::List(shape)] => {
                let n = shape.iter().try_fold(1_usize, |n, size| match size {
                    Value::Int(size) => n.checked_mul(usize::try_from(*size).ok()?),
                    _ => None,
                });
                (name, text, n.ok_or("a column's type has no usable shape")?)
            }
            _ => return Err(format!("expected a column of a plain type, found {field:?}")),
        };
        let column = scalar(text)?;
        let n_bytes = match &column {
            Some(scalar) => scalar.n_bytes,
            None => opaque_bytes(text).ok_or_else(|| unreadable(text))?,
        };
        if let (Some(scalar), 1, false) = (column, n, name.is_empty()) {
            columns.push(Column { name: name.clone(), scalar, offset });
        }
        offset = n_bytes.checked_mul(n).and_then(|n| n.checked_add(offset)).unwrap_or(usize::MAX);
        if offset > MAX_RECORD_BYTES {
            return Err(format!("the type's rows have more than {MAX_RECORD_BYTES} bytes"));
        }
    }
    if columns.is_empty() {
        return Err("the type has no column of numbers".to_owned());
    }
    Ok((columns, offset))
}

/// The type of a number by NumPy's name; `None` for other types that have a name.
fn scalar(text: &str) -> Parsed<Option<Scalar>> {
    let (is_big_endian, rest) = match text.as_bytes() {
        [b'>', rest @ ..] => (true, rest),
        [b'<' | b'|', rest @ ..] => (false, rest),
        [b'=', rest @ ..] | rest => (cfg!(target_endian = "big"), rest),
    };
    let (kind, n_bytes) = match rest {
        b"b1" | b"?" => (Kind::Bool, 1),
        [b'i', n @ (b'1' | b'2' | b'4' | b'8')] => (Kind::Int, usize::from(n - b'0')),
        [b'u', n @ (b'1' | b'2' | b'4' | b'8')] => (Kind::Uint, usize::from(n - b'0')),
        [b'f', n @ (b'2' | b'4' | b'8')] => (Kind::Float, usize::from(n - b'0')),
        [b'O', ..] => {
            return Err(
                "the type is \"O\", pickled Python objects, which are not read because to \
                        unpickle them is to run a program; save arrays of numbers instead \
                        (`numpy.stack`, `astype`)"
                    .to_owned(),
            );
        }
        _ => return Ok(None),
    };
    Ok(Some(Scalar { kind, n_bytes, is_big_endian }))
}

/// Bytes of a column of raw data or text, which is passed over.
fn opaque_bytes(text: &str) -> Option<usize> {
    let text = text.trim_start_matches(['<', '>', '|', '=']);
    let n: usize = text.get(1..)?.parse().ok()?;
    match text.as_bytes().first()? {
        b'V' | b'S' => Some(n),
        b'U' => n.checked_mul(4),
        _ => None,
    }
}

fn unreadable(text: &str) -> String {
    format!(
        "numbers of the type \"{text}\" are not read; save integers of 1 to 8 bytes, floats of 2 to 8 or \
         bool (`astype`)"
    )
}

/// A value of Python.
#[derive(Debug)]
enum Value {
    Text(String),
    Int(i128),
    Bool(bool),
    None,
    List(Vec<Value>),
    Dict(Vec<(String, Value)>),
}

/// Reads the literals of Python that headers are made of.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next character after spaces, without taking it.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.at += wanted.len_utf8();
        }
        is_there
    }

    fn value(&mut self, depth: usize) -> Parsed<Value> {
        if depth > MAX_DEPTH {
            return Err(format!("is nested more than {MAX_DEPTH} deep"));
        }
        match self.peek() {
            Some('{') => self.dict(depth),
            Some('(') => self.list('(', ')', depth),
            Some('[') => self.list('[', ']', depth),
            Some('\'' | '"') => Ok(Value::Text(self.string()?)),
            _ => self.word(),
        }
    }

    fn dict(&mut self, depth: usize) -> Parsed<Value> {
        self.take('{');
        let mut entries = Vec::new();
        while !self.take('}') {
            let key = self.string()?;
            if !self.take(':') {
                return Err("expected \":\"".to_owned());
            }
            entries.push((key, self.value(depth + 1)?));
            if !self.take(',') && self.peek() != Some('}') {
                return Err("expected \",\" or \"}\"".to_owned());
            }
        }
        Ok(Value::Dict(entries))
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Parsed<Value> {
        self.take(open);
        let (mut values, mut has_comma) = (Vec::new(), false);
        while !self.take(close) {
            values.push(self.value(depth + 1)?);
            let is_followed = self.take(',');
            has_comma |= is_followed;
            if !is_followed && self.peek() != Some(close) {
                return Err(format!("expected \",\" or \"{close}\""));
            }
        }
        // A value in parentheses is no tuple.
        match (open, has_comma, values.pop()) {
            ('(', false, Some(only)) if values.is_empty() => Ok(only),
            (_, _, last) => {
                values.extend(last);
                Ok(Value::List(values))
            }
        }
    }

    fn string(&mut self) -> Parsed<String> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"')).ok_or("expected a text")?;
        let start = self.at + 1;
        let n = self.text[start..].find(quote).ok_or("a text does not end")?;
        self.at = start + n + 1;
        Ok(self.text[start..start + n].to_owned())
    }

    fn word(&mut self) -> Parsed<Value> {
        let rest = &self.text[self.at..];
        let n = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c));
        let word = &rest[..n.unwrap_or(rest.len())];
        let value = match word {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::None,
            // Python 2 writes 3L.
            _ => Value::Int(word.trim_end_matches('L').parse().map_err(|_| {
                format!("expected a value, found \"{}\"", word.chars().take(40).collect::<String>())
            })?),
        };
        self.at += word.len();
        Ok(value)
    }
}
