//! Integrated event frames on disk, so that recordings are decoded once.
//!
//! A cache is one file, named after a checksum of everything that shaped its frames: the format's
//! version, the content of each recording's file and its place in it, and the encoder's settings. It is
//! there whole or not at all, also where a program is killed or two processes build the same one at
//! once. Each recording's frames and the table of all have a checksum: a cache of which a bit has
//! changed is built again. What kills left under temporary names is removed by a later build.
//!
//! Format, all little-endian: the magic; each sample's values, `u8` or, if one of them is beyond 255,
//! `u16`; a table with, for each sample, the position of its values times 2, plus 1 if they are wide,
//! and their checksum (`u64` each); the number of samples, of values per sample and the checksum of the
//! table and these two (`u64` each); the magic again.

use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use fs_err::File;
use mbspike_files::Checksum;
use md5::{Digest, Md5};
use rayon::prelude::*;

use crate::{EncoderConfig, Error, EventSet, Recording, Result};

const MAGIC: [u8; 8] = *b"mbspkFC2";
const FOOTER_BYTES: usize = 32;
/// A build writes far more often than this.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Recordings that are integrated at a time; bounds the memory of a build.
const CHUNK: usize = 64;

/// Where a sample's values are, and what they add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: u64,
    is_wide: bool,
    sum: Checksum,
}

/// The frames of a set of recordings, in a file.
#[derive(Debug)]
pub(crate) struct FrameCache {
    path: PathBuf,
    file: Mutex<File>,
    n_values: usize,
    places: Vec<Place>,
}

impl FrameCache {
    /// Opens the cache of `set` under `encoder` in `folder`, building it if it is not there or not
    /// as it was written.
    pub(crate) fn open_or_build(
        folder: &Path,
        set: &EventSet,
        encoder: &EncoderConfig,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let path = folder.join(format!("{}-{}.frames", set.split.name(), key(set, encoder)?));
        let [height, width] = encoder.view(set.sensor).size();
        let n_values = encoder.time_steps * set.n_polarities * height * width;
        if let Some(cache) = Self::open(&path, set.len(), n_values)? {
            return Ok(cache);
        }
        fs_err::create_dir_all(folder)?;
        remove_leftovers(folder)?;
        // What fails in building is no error of writing.
        let mut failure = None;
        let written = mbspike_files::write(&path, |out| {
            build(out, set, encoder, n_values, on_progress).map_err(|error| match error {
                Error::Io(error) => error,
                other => {
                    failure = Some(other);
                    std::io::Error::other("no frames")
                }
            })
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        written?;
        Self::open(&path, set.len(), n_values)?.ok_or_else(|| damage(&path, 0))
    }

    /// `None` if there is no intact cache of this size at `path`.
    fn open(path: &Path, n_samples: usize, n_values: usize) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let n_bytes = file.metadata()?.len();
        let mut input = BufReader::with_capacity(1 << 18, file);
        let Some(places) = read_table(&mut input, n_bytes, n_samples, n_values)? else {
            return Ok(None);
        };
        input.seek(SeekFrom::Start(0))?;
        if read_up_to(&mut input, MAGIC.len())? != MAGIC {
            return Ok(None);
        }
        for place in &places {
            let values = read_up_to(&mut input, n_values << u32::from(place.is_wide))?;
            if Checksum::of(&values) != place.sum {
                return Ok(None);
            }
        }
        let file = Mutex::new(input.into_inner());
        Ok(Some(Self { path: path.to_owned(), file, n_values, places }))
    }

    /// Writes the frames of recording `sample` into `out`.
    pub(crate) fn read_into(&self, sample: usize, out: &mut [f32]) -> Result<()> {
        assert_eq!(out.len(), self.n_values, "room for the frames of one recording");
        let Place { start, is_wide, sum } = self.places[sample];
        let bytes = {
            let mut file = self.file.lock().map_err(|_| {
                Error::Loader(format!("a thread panicked while it read {}", self.path.display()))
            })?;
            file.seek(SeekFrom::Start(start))?;
            read_up_to(&mut *file, self.n_values << u32::from(is_wide))?
        };
        if Checksum::of(&bytes) != sum {
            return Err(damage(&self.path, start));
        }
        if is_wide {
            let (words, _) = bytes.as_chunks::<2>();
            for (out, &word) in out.iter_mut().zip(words) {
                *out = u16::from_le_bytes(word).into();
            }
        } else {
            for (out, &byte) in out.iter_mut().zip(&bytes) {
                *out = byte.into();
            }
        }
        Ok(())
    }
}

fn damage(path: &Path, offset: u64) -> Error {
    Error::Format {
        file: path.to_owned(),
        offset,
        expected: "the frames as they were written".to_owned(),
        found: "others; start again, the cache is then built anew".to_owned(),
    }
}

/// Reads `n` bytes, fewer only at the end.
fn read_up_to(input: &mut impl Read, n: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.by_ref().take(n as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_table(
    input: &mut (impl Read + Seek),
    n_bytes: u64,
    n_samples: usize,
    n_values: usize,
) -> Result<Option<Vec<Place>>> {
    let n_table = 16 * n_samples + FOOTER_BYTES;
    let Some(start) = n_bytes.checked_sub(n_table as u64) else { return Ok(None) };
    input.seek(SeekFrom::Start(start))?;
    let bytes = read_up_to(input, n_table)?;
    let Some((table, end)) = bytes.split_last_chunk::<16>() else { return Ok(None) };
    let (sum, magic) = end.split_at(8);
    let (words, _) = table.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|&word| u64::from_le_bytes(word)).collect();
    let is_sound = magic == MAGIC
        && sum == Checksum::of(table).to_u64().to_le_bytes()
        && words.ends_with(&[n_samples as u64, n_values as u64]);
    if !is_sound {
        return Ok(None);
    }
    let (pairs, _) = words[..2 * n_samples].as_chunks::<2>();
    let place = |&[at, sum]: &[u64; 2]| Place {
        start: at / 2,
        is_wide: at % 2 == 1,
        sum: Checksum::from(sum),
    };
    let places: Vec<Place> = pairs.iter().map(place).collect();
    let mut position = MAGIC.len() as u64;
    for place in &places {
        if place.start != position {
            return Ok(None);
        }
        position += (n_values as u64) << u32::from(place.is_wide);
    }
    Ok((position == start).then_some(places))
}

/// Removes files that a build wrote to more than an hour ago: its program was killed.
fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        // Of two programs that clean up at once, one finds the file gone.
        let age = entry.metadata().ok().and_then(|m| m.modified().ok()?.elapsed().ok());
        if mbspike_files::is_partial(&entry.file_name()) && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Integrates all recordings, in parallel, and writes the cache to `out`.
fn build(
    out: &mut dyn Write,
    set: &EventSet,
    encoder: &EncoderConfig,
    n_values: usize,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<()> {
    out.write_all(&MAGIC)?;
    let mut position = MAGIC.len() as u64;
    let mut table: Vec<u8> = Vec::with_capacity(16 * (set.len() + 1));
    let indices: Vec<usize> = (0..set.len()).collect();
    for chunk in indices.chunks(CHUNK) {
        let encoded: Vec<(bool, Vec<u8>)> = chunk
            .par_iter()
            .map(|&index| {
                let mut frames = vec![0.0; n_values];
                encoder.frames_into(&set.read(index)?, &mut frames)?;
                to_bytes(&frames, index)
            })
            .collect::<Result<_>>()?;
        for (is_wide, bytes) in encoded {
            table.extend((position * 2 + u64::from(is_wide)).to_le_bytes());
            table.extend(Checksum::of(&bytes).to_u64().to_le_bytes());
            out.write_all(&bytes)?;
            position += bytes.len() as u64;
        }
        on_progress(table.len() / 16, set.len());
    }
    table.extend([set.len(), n_values].into_iter().flat_map(|n| (n as u64).to_le_bytes()));
    out.write_all(&table)?;
    out.write_all(&Checksum::of(&table).to_u64().to_le_bytes())?;
    out.write_all(&MAGIC)?;
    Ok(())
}

fn to_bytes(frames: &[f32], index: usize) -> Result<(bool, Vec<u8>)> {
    let largest = frames.iter().copied().fold(0.0, f32::max);
    if largest > f32::from(u16::MAX) {
        let message = format!("a pixel of recording {index} has {largest} events in one frame");
        return Err(Error::config("encoder.time_steps", message));
    }
    Ok(if largest > f32::from(u8::MAX) {
        (true, frames.iter().flat_map(|&count| (count as u16).to_le_bytes()).collect())
    } else {
        (false, frames.iter().map(|&count| count as u8).collect())
    })
}

/// A checksum of everything that shapes the frames. Where files are and when they were written does
/// not matter, what is in them does.
fn key(set: &EventSet, encoder: &EncoderConfig) -> Result<String> {
    let EncoderConfig { time_steps, split, frame_us, origin, binary, crop, downsample, .. } =
        encoder;
    let mut hasher = Md5::new();
    hasher.update(MAGIC);
    let settings = format!(
        "{time_steps} {split:?} {origin:?} {binary} {crop:?} {downsample:?} {:?}",
        set.sensor
    );
    hasher.update(settings);
    if let Some(us) = frame_us {
        hasher.update(format!(" {us} us"));
    }
    if set.n_polarities != 2 {
        hasher.update(format!(" {} polarities", set.n_polarities));
    }
    let mut files: Vec<&Path> = set.recordings.iter().map(Recording::file).collect();
    files.dedup();
    let sums: Vec<Checksum> = files
        .par_iter()
        .map(|file| Ok(Checksum::of_reader(File::open(file)?)?))
        .collect::<Result<_>>()?;
    let (mut sums, mut previous) = (sums.iter(), None);
    for recording in &set.recordings {
        if previous != Some(recording.file()) {
            previous = Some(recording.file());
            hasher.update(format!("\n{}", sums.next().expect("a sum for each file")));
        }
        hasher.update(format!("\n{}", recording.place()));
    }
    Ok(hex::encode(hasher.finalize()))
}
