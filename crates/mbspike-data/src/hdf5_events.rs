//! Recordings of event cameras in HDF5.
//!
//! | datasets | written by | sensor |
//! |---|---|---|
//! | `events/t`, `events/x`, `events/y`, `events/p`, with `t_offset` | DSEC (Gehrig et al. 2021) | 480×640 unless told |
//! | the same, or `t`, `x`, `y`, `p`, without `t_offset` | others | has to be told |
//! | the table `CD/events` with the columns `t`, `x`, `y`, `p` | Prophesee's Metavision | the attribute `geometry`, unless told |
//!
//! Times are as stored: of DSEC those of a recording begin near 0, and `t_offset` is when it began. What
//! gzip, LZF or Blosc (DSEC as published) compressed is read; what ECF did (Metavision's default) is refused with
//! what to do.

use std::path::Path;

use crate::events::{from_columns, told_sensor};
use crate::hdf5::Hdf5;
use crate::{Error, Events, Result};

const FIELDS: [&str; 4] = ["t", "x", "y", "p"];
/// Where the columns are.
const GROUPS: [&str; 2] = ["events/", ""];
const TABLES: [&str; 2] = ["CD/events", "events"];
const DSEC: [usize; 2] = [480, 640];

/// Reads a recording; `sensor` is height and width, needed where the file does not tell them.
///
/// # Errors
/// If the file is no recording in one of the layouts of the table, or damaged.
pub fn read(path: &Path, sensor: Option<[usize; 2]>) -> Result<Events> {
    let file = Hdf5::open(path)?;
    let [t, x, y, p] = columns(&file, path)?;
    let known = || file.has("t_offset").then_some(DSEC);
    let sensor = told_sensor(sensor.or_else(|| geometry(&file)).or_else(known), path)?;
    if let Some((field, n)) =
        [("x", x.len()), ("y", y.len()), ("p", p.len())].into_iter().find(|(_, n)| *n != t.len())
    {
        let message = format!("has {n} numbers, but there are {} times", t.len());
        return Err(file.refuse(field, message));
    }
    from_columns([&t, &x, &y, &p], sensor, path)
}

/// The times, columns, rows and polarities.
fn columns(file: &Hdf5, path: &Path) -> Result<[Vec<i64>; 4]> {
    for name in TABLES {
        let Some(columns) = file.table(name)? else { continue };
        let mut found = FIELDS.map(|_| None);
        for (column, numbers) in columns {
            if let Some(field) = FIELDS.iter().position(|field| *field == column) {
                found[field] = Some(numbers);
            }
        }
        return match found {
            [Some(t), Some(x), Some(y), Some(p)] => Ok([t, x, y, p]),
            _ => Err(file.refuse(name, "expected the columns t, x, y and p".to_owned())),
        };
    }
    let group = GROUPS.iter().find(|group| file.has(&format!("{group}t")));
    let Some(group) = group else {
        return Err(Error::Format {
            file: path.to_owned(),
            offset: 0,
            expected:
                "an HDF5 file with events/t, x, y, p (DSEC), t, x, y, p or CD/events (Prophesee)"
                    .to_owned(),
            found: "none of them".to_owned(),
        });
    };
    let column = |field: &str| {
        let name = format!("{group}{field}");
        file.integers(&name)?.ok_or_else(|| file.refuse(&name, "is not there".to_owned()))
    };
    Ok([column("t")?, column("x")?, column("y")?, column("p")?])
}

/// Height and width as Metavision writes them, `1280x720`.
fn geometry(file: &Hdf5) -> Option<[usize; 2]> {
    let text = file.attribute("geometry")?;
    let (width, height) = text.split_once('x')?;
    Some([height.trim().parse().ok()?, width.trim().parse().ok()?])
}
