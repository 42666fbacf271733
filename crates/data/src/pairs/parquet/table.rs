//! Two columns of a Parquet file.
//!
//! The crate that reads them is caught when it panics, which damaged pages of its format can make it do: what comes of it is an
//! error that names the file.

use crate::{Error, Result};
use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::column::reader::ColumnReader;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::{ParquetError, Result as Read};
use ::parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek, SeekFrom};
use std::path::PathBuf;

/// A file with the places of its columns.
pub(super) struct Table {
    pub(super) path: PathBuf,
    reader: SerializedFileReader<Source>,
    /// Number of rows before each row group, and of all.
    starts: Vec<usize>,
    caption: usize,
    bytes: Option<usize>,
    names: Option<usize>,
}

/// What a row has for an image.
pub(super) enum Image {
    Bytes(ByteArray),
    /// A file name.
    Name(String),
    None,
}

/// Opens the file for every read: files may be more than a process may have open, and reads happen at the same time.
struct Source {
    path: PathBuf,
    length: u64,
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Source {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Read<Self::T> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(file))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Read<bytes::Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.length)));
        }
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// What the crate says, or that it panicked.
fn caught<V>(path: &std::path::Path, call: impl FnOnce() -> Read<V>) -> Result<V> {
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    let read = called.unwrap_or_else(|_| Err(ParquetError::General("its reader gave up".into())));
    read.map_err(|error| {
        let text = error.to_string();
        let text = text.strip_prefix("Parquet error: ").unwrap_or(&text);
        Error::content(path, format!("damaged, or no Parquet file that can be read here: {text}"))
    })
}

impl Table {
    pub(super) fn open(path: PathBuf, image: &[String], caption: &[String]) -> Result<Self> {
        let length = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
        let source = Source { path: path.clone(), length };
        let reader = caught(&path, || SerializedFileReader::new(source))?;
        let metadata = reader.metadata();
        let columns = metadata.file_metadata().schema_descr().columns();
        let leaf = |name: &str| columns.iter().position(|column| column.path().string() == name);
        let is_bytes =
            |index: usize| columns[index].physical_type() == Type::BYTE_ARRAY && columns[index].max_rep_level() == 0;
        let fields = metadata.file_metadata().schema_descr().root_schema().get_fields();
        let has = |name: &&String| fields.iter().any(|field| field.name() == name.as_str());
        let missing = |what: &str, wanted: &[String]| {
            let there = fields.iter().map(|field| format!("`{}`", field.name())).collect::<Vec<_>>().join(", ");
            let wanted = wanted.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            Error::content(&path, format!("no column of {what}: expected {wanted}; the columns are {there}"))
        };
        let name = caption.iter().find(has).ok_or_else(|| missing("captions", caption))?;
        let Some(caption) = leaf(name).filter(|&index| is_bytes(index)) else {
            return Err(Error::content(
                &path,
                format!("column `{name}`: expected one text a row, found {}", kind(columns, name)),
            ));
        };
        let name = image.iter().find(has).ok_or_else(|| missing("images", image))?;
        let (mut bytes, mut names) = (leaf(&format!("{name}.bytes")), leaf(&format!("{name}.path")));
        if let Some(index) = leaf(name) {
            *(if is_text(&columns[index]) { &mut names } else { &mut bytes }) = Some(index);
        }
        if bytes.or(names).is_none() || !bytes.into_iter().chain(names).all(is_bytes) {
            let text = format!(
                "column `{name}`: expected bytes, file names or a struct of `bytes` and `path`, found {}",
                kind(columns, name)
            );
            return Err(Error::content(&path, text));
        }
        let mut starts = vec![0usize];
        for group in metadata.row_groups() {
            let rows =
                usize::try_from(group.num_rows()).ok().and_then(|rows| starts[starts.len() - 1].checked_add(rows));
            starts.push(rows.ok_or_else(|| Error::content(&path, "damaged: a row group without a number of rows"))?);
        }
        Ok(Self { path, starts, caption, bytes, names, reader })
    }

    /// The captions of all rows; none where a row has none that is a text.
    pub(super) fn captions(&self) -> Result<Vec<Option<Box<str>>>> {
        let mut all = vec![];
        for group in 0..self.starts.len() - 1 {
            let rows = self.starts[group + 1] - self.starts[group];
            let texts = self.read(group, self.caption, 0, rows)?;
            let text = |bytes: ByteArray| std::str::from_utf8(bytes.data()).ok().map(Into::into);
            all.extend(texts.into_iter().map(|bytes| bytes.and_then(text)));
        }
        Ok(all)
    }

    /// What row `row` has for an image.
    pub(super) fn image(&self, row: usize) -> Result<Image> {
        let group = self.starts.partition_point(|&start| start <= row) - 1;
        let value = |column: Option<usize>| -> Result<Option<ByteArray>> {
            let Some(column) = column else { return Ok(None) };
            Ok(self.read(group, column, row - self.starts[group], 1)?.pop().flatten())
        };
        if let Some(bytes) = value(self.bytes)? {
            return Ok(Image::Bytes(bytes));
        }
        Ok(match value(self.names)? {
            Some(name) => Image::Name(String::from_utf8_lossy(name.data()).into_owned()),
            None => Image::None,
        })
    }

    /// `count` values of a row group's column behind `skip` others; none is what is null.
    fn read(&self, group: usize, column: usize, skip: usize, count: usize) -> Result<Vec<Option<ByteArray>>> {
        caught(&self.path, || {
            let rows = self.reader.get_row_group(group)?;
            let descriptor = self.reader.metadata().file_metadata().schema_descr().column(column);
            let ColumnReader::ByteArrayColumnReader(mut reader) = rows.get_column_reader(column)? else {
                return Err(ParquetError::General("a column of another type".into()));
            };
            let skipped = reader.skip_records(skip)?;
            let (mut levels, mut values) = (vec![], vec![]);
            let (read, _, _) = reader.read_records(count, Some(&mut levels), None, &mut values)?;
            if (skipped, read) != (skip, count) {
                return Err(ParquetError::EOF(format!("{} of {} rows of a row group", skipped + read, skip + count)));
            }
            if descriptor.max_def_level() == 0 {
                return Ok(values.into_iter().map(Some).collect());
            }
            let mut values = values.into_iter();
            let value = |level: i16| if level == descriptor.max_def_level() { values.next() } else { None };
            Ok(levels.into_iter().map(value).collect())
        })
    }
}

fn is_text(column: &ColumnDescriptor) -> bool {
    column.logical_type_ref() == Some(&LogicalType::String) || column.converted_type() == ConvertedType::UTF8
}

/// What a column that cannot be used is.
fn kind(columns: &[::parquet::schema::types::ColumnDescPtr], name: &str) -> String {
    let below = format!("{name}.");
    let own: Vec<_> =
        columns.iter().filter(|c| c.path().string() == name || c.path().string().starts_with(&below)).collect();
    match own.as_slice() {
        [column] if column.max_rep_level() > 0 => "a list".into(),
        [column] if column.path().string() == name => column.physical_type().to_string(),
        many => many.iter().map(|column| format!("`{}`", column.path().string())).collect::<Vec<_>>().join(", "),
    }
}
