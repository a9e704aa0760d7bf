//! The table of results, one row per run: `results.csv` and `results.parquet`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::error::{Error, Result};
use crate::record::Summary;

/// The table for people and spreadsheets.
pub const CSV_FILE: &str = "results.csv";
/// The table for data frames.
pub const PARQUET_FILE: &str = "results.parquet";

/// A column with a cell for each run.
struct Column {
    name: String,
    cells: Cells,
}

enum Cells {
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
}

/// Writes both tables into `folder`.
pub fn write(folder: &Path, summaries: &[Summary]) -> Result<()> {
    let columns = columns(summaries);
    let path = folder.join(CSV_FILE);
    let csv = csv(&columns, summaries.len())
        .map_err(|source| Error::Csv { path: path.clone(), source })?;
    mbspike_files::write(&path, |file| file.write_all(&csv))?;
    let path = folder.join(PARQUET_FILE);
    let parquet =
        parquet(&columns).map_err(|source| Error::Parquet { path: path.clone(), source })?;
    mbspike_files::write(&path, |file| file.write_all(&parquet))?;
    Ok(())
}

fn columns(summaries: &[Summary]) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut add = |name: &str, cells| columns.push(Column { name: name.to_owned(), cells });
    let text =
        |get: &dyn Fn(&Summary) -> Option<String>| Cells::Text(summaries.iter().map(get).collect());
    let integer = |get: &dyn Fn(&Summary) -> Option<u64>| {
        Cells::Integer(summaries.iter().map(|s| get(s).map(|n| n as i64)).collect())
    };
    let number =
        |get: &dyn Fn(&Summary) -> Option<f64>| Cells::Number(summaries.iter().map(get).collect());

    add("id", text(&|s| Some(s.id.clone())));
    add("name", text(&|s| Some(s.name.clone())));
    let swept = summaries.iter().flat_map(|s| s.values.keys());
    // The seed has a column of its own.
    let swept: BTreeSet<&String> = swept.filter(|key| *key != "seed").collect();
    for key in swept {
        add(key, swept_cells(summaries, key));
    }
    add("repeat", integer(&|s| Some(s.repeat.into())));
    add("seed", integer(&|s| Some(s.seed)));
    add("group", text(&|s| (!s.group.is_empty()).then(|| s.group.clone())));
    add("device", text(&|s| Some(s.device.clone())));
    add("bits", integer(&|s| Some(s.bits.into())));
    add("layer_bits", text(&|s| (!s.layer_bits.is_empty()).then(|| joined(&s.layer_bits))));
    add("time_steps", integer(&|s| Some(s.time_steps as u64)));
    add("n_epochs", integer(&|s| Some(s.n_epochs)));
    add("n_iterations", integer(&|s| Some(s.n_iterations)));
    add("n_parameters", integer(&|s| Some(s.n_parameters)));
    add("final_test_accuracy", number(&|s| s.final_test_accuracy));
    add("best_test_accuracy", number(&|s| s.best_test_accuracy));
    add("final_train_accuracy", number(&|s| s.final_train_accuracy));
    add("target_accuracy", number(&|s| s.target_accuracy));
    add("iterations_to_target", integer(&|s| s.iterations_to_target));
    add("epochs_to_target", integer(&|s| s.epochs_to_target));
    for (name, get) in [
        ("nnz", (|s| &s.final_nonzero_rate) as fn(&Summary) -> &Vec<f64>),
        ("mean_spike", |s| &s.final_mean_spike),
    ] {
        let n = summaries.iter().map(|s| get(s).len()).max().unwrap_or(0);
        for i in 0..n {
            add(&format!("{name}{}", i + 1), number(&|s| get(s).get(i).copied()));
        }
    }
    add("median_step_time_s", number(&|s| s.median_step_time_s));
    add("first_steps_median_s", number(&|s| s.first_steps_median_s));
    add("last_steps_median_s", number(&|s| s.last_steps_median_s));
    add("loader_share", number(&|s| s.loader_share));
    add("wall_time_s", number(&|s| Some(s.wall_time_s)));
    add("status", text(&|s| Some(s.status.name().to_owned())));
    add("cause", text(&|s| s.cause.clone()));
    add("weights", text(&|s| s.weights.clone()));
    add("dataset", text(&|s| Some(s.dataset.name.clone())));
    add("data_source", text(&|s| Some(s.dataset.source.clone())));
    add("data_simulated", text(&|s| Some(s.dataset.simulated.to_string())));
    add("n_train", integer(&|s| Some(s.dataset.n_train as u64)));
    add("n_test", integer(&|s| Some(s.dataset.n_test as u64)));
    add("version", text(&|s| Some(s.environment.version.clone())));
    add("commit", text(&|s| s.environment.commit.clone()));
    add("threads", integer(&|s| Some(s.environment.threads as u64)));
    columns
}

/// Bits of layers, `1 2 8`.
fn joined(bits: &[u32]) -> String {
    bits.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A swept key's values: integers if all are, else numbers if all are, else text.
fn swept_cells(summaries: &[Summary], key: &str) -> Cells {
    let values = || summaries.iter().map(|s| s.values.get(key));
    if values().flatten().all(serde_json::Value::is_i64) {
        return Cells::Integer(values().map(|v| v?.as_i64()).collect());
    }
    if values().flatten().all(serde_json::Value::is_number) {
        return Cells::Number(values().map(|v| v?.as_f64()).collect());
    }
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Cells::Text(values().map(|v| v.map(text)).collect())
}

fn csv(columns: &[Column], n_rows: usize) -> std::result::Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| &column.name))?;
    for row in 0..n_rows {
        writer.write_record(columns.iter().map(|column| match &column.cells {
            Cells::Integer(cells) => cells[row].map_or_else(String::new, |n| n.to_string()),
            Cells::Number(cells) => cells[row].map_or_else(String::new, |x| x.to_string()),
            Cells::Text(cells) => cells[row].clone().unwrap_or_default(),
        }))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn parquet(columns: &[Column]) -> std::result::Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().map(|column| {
        let (physical, logical) = match column.cells {
            Cells::Integer(_) => (PhysicalType::INT64, None),
            Cells::Number(_) => (PhysicalType::DOUBLE, None),
            Cells::Text(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        };
        Type::primitive_type_builder(&column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    });
    let fields = fields.collect::<std::result::Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("run").with_fields(fields).build()?);
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for column in columns {
        match &column.cells {
            Cells::Integer(cells) => write_column::<Int64Type>(&mut group, cells)?,
            Cells::Number(cells) => write_column::<DoubleType>(&mut group, cells)?,
            Cells::Text(cells) => {
                let cells: Vec<_> =
                    cells.iter().map(|cell| cell.as_deref().map(ByteArray::from)).collect();
                write_column::<ByteArrayType>(&mut group, &cells)?;
            }
        }
    }
    group.close()?;
    writer.into_inner()
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    cells: &[Option<T::T>],
) -> std::result::Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let values: Vec<T::T> = cells.iter().flatten().cloned().collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    column.close()
}
