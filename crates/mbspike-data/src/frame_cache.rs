//! Integrated event frames on disk, so that recordings are decoded once.
//!
//! A cache is one file, named after a checksum of everything that shaped its frames: the format's
//! version, each recording's place, size and time of change, and the encoder's settings. It is
//! written under a temporary name and renamed when complete, so that a kill half-way leaves no
//! cache, and two processes that build the same one at once each find a complete file. What kills
//! left under temporary names is removed by a later build.
//!
//! Format, all little-endian: the magic, the number of samples and of values per sample (`u64`),
//! for each sample the position of its values times 2, plus 1 if they are wide (`u64`), then the
//! values, `u8` or, if one of the sample's is beyond 255, `u16`.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use fs_err::File;
use md5::{Digest, Md5};
use rayon::prelude::*;

use crate::event_set::Recording;
use crate::{EncoderConfig, Error, EventSet, Result};

const MAGIC: [u8; 8] = *b"mbspkFC1";
/// How names of files begin that are not whole yet.
const PARTIAL: &str = ".partial-";
/// A build writes far more often than this.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Recordings that are integrated at a time; bounds the memory of a build.
const CHUNK: usize = 64;

/// The frames of a set of recordings, in a file.
#[derive(Debug)]
pub(crate) struct FrameCache {
    path: PathBuf,
    file: Mutex<File>,
    n_values: usize,
    positions: Vec<u64>,
}

impl FrameCache {
    /// Opens the cache of `set` under `encoder` in `folder`, building it if it is not there or not
    /// readable as one.
    pub(crate) fn open_or_build(
        folder: &Path,
        set: &EventSet,
        encoder: &EncoderConfig,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let path = folder.join(format!("{}-{}.frames", set.split.name(), key(set, encoder)?));
        let [height, width] = encoder.view(set.sensor).size();
        let n_values = encoder.time_steps * 2 * height * width;
        if let Some(cache) = Self::open(&path, set.len(), n_values)? {
            return Ok(cache);
        }
        fs_err::create_dir_all(folder)?;
        remove_leftovers(folder)?;
        let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder)?;
        let positions = build(file.as_file_mut(), set, encoder, n_values, on_progress)?;
        file.as_file().sync_all()?;
        let file = file.persist(&path).map_err(|error| error.error)?;
        let file = Mutex::new(File::from_parts(file, &path));
        Ok(Self { path, file, n_values, positions })
    }

    /// `None` if there is no cache of this size at `path`.
    fn open(path: &Path, n_samples: usize, n_values: usize) -> Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut header = vec![0; header_bytes(n_samples)];
        if file.read_exact(&mut header).is_err()
            || header[..24] != header_start(n_samples, n_values)
        {
            return Ok(None);
        }
        let (words, _) = header[24..].as_chunks::<8>();
        let positions: Vec<u64> = words.iter().map(|&word| u64::from_le_bytes(word)).collect();
        let end = positions.last().map_or(0, |&last| last / 2 + ((n_values as u64) << (last % 2)));
        if file.metadata()?.len() != end {
            return Ok(None);
        }
        let file = Mutex::new(file);
        Ok(Some(Self { path: path.to_owned(), file, n_values, positions }))
    }

    /// Writes the frames of recording `sample` into `out`.
    pub(crate) fn read_into(&self, sample: usize, out: &mut [f32]) -> Result<()> {
        assert_eq!(out.len(), self.n_values, "room for the frames of one recording");
        let (position, is_wide) = (self.positions[sample] / 2, self.positions[sample] % 2 == 1);
        let mut bytes = vec![0; self.n_values << u32::from(is_wide)];
        {
            let mut file = self.file.lock().map_err(|_| {
                Error::Loader(format!("a thread panicked while it read {}", self.path.display()))
            })?;
            file.seek(SeekFrom::Start(position))?;
            file.read_exact(&mut bytes)?;
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

/// Removes files that a build wrote to more than an hour ago: its program was killed.
fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let is_partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        // Of two programs that clean up at once, one finds the file gone.
        let age = entry.metadata().ok().and_then(|m| m.modified().ok()?.elapsed().ok());
        if is_partial && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
    Ok(())
}

fn header_bytes(n_samples: usize) -> usize {
    24 + 8 * n_samples
}

fn header_start(n_samples: usize, n_values: usize) -> Vec<u8> {
    let sizes = [n_samples as u64, n_values as u64];
    MAGIC.into_iter().chain(sizes.into_iter().flat_map(u64::to_le_bytes)).collect()
}

/// Integrates all recordings into `file`, in parallel, and returns where each one's values are.
fn build(
    file: &mut std::fs::File,
    set: &EventSet,
    encoder: &EncoderConfig,
    n_values: usize,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<u64>> {
    let mut out = std::io::BufWriter::new(file);
    let mut position = header_bytes(set.len()) as u64;
    out.seek(SeekFrom::Start(position))?;
    let mut positions = Vec::with_capacity(set.len());
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
            positions.push(position * 2 + u64::from(is_wide));
            out.write_all(&bytes)?;
            position += bytes.len() as u64;
        }
        on_progress(positions.len(), set.len());
    }
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&header_start(set.len(), n_values))?;
    for position in &positions {
        out.write_all(&position.to_le_bytes())?;
    }
    out.flush()?;
    Ok(positions)
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

/// A checksum of everything that shapes the frames.
fn key(set: &EventSet, encoder: &EncoderConfig) -> Result<String> {
    let EncoderConfig { time_steps, split, binary, crop, downsample, .. } = encoder;
    let mut hasher = Md5::new();
    hasher.update(MAGIC);
    let settings =
        format!("{time_steps} {split:?} {binary} {crop:?} {downsample:?} {:?}", set.sensor);
    hasher.update(settings);
    let mut previous = None;
    for recording in &set.recordings {
        let (file, place) = match recording {
            Recording::AtisFile(file) => (file.as_path(), String::new()),
            Recording::AtisZipEntry(entry) => (entry.archive(), entry.name().to_owned()),
            Recording::AedatSpan { file, times } => (file.as_path(), format!("{times:?}")),
        };
        if previous != Some(file) {
            let metadata = fs_err::metadata(file)?;
            let changed = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
            hasher.update(format!("\n{} {} {changed:?}", file.display(), metadata.len()));
            previous = Some(file);
        }
        hasher.update(format!("\n{place}"));
    }
    Ok(crate::verify::hexadecimal(&hasher.finalize()))
}
