//! Codecs judge each other: what one writes the other reads, and `verify_by` finds where they differ.

use tidemill_storage::{
    ArrowRs, Codec, Config, Error, Store, TableSpec,
    arrow::{arrow_array::RecordBatch, arrow_schema::SchemaRef},
    verify_by,
};

use crate::encoding::batch;

#[cfg(feature = "codec-arrow2")]
fn config(compression: tidemill_storage::Compression) -> Config {
    Config { compression, row_group_rows: 500, page_rows: 70, ..Config::default() }
}

fn same(found: &[RecordBatch], given: &RecordBatch, case: &str) {
    let mut at = 0;
    for found in found {
        let given = given.slice(at, found.num_rows());
        for (field, (a, b)) in given.schema().fields().iter().zip(found.columns().iter().zip(given.columns()))
        {
            assert_eq!(a.to_data(), b.to_data(), "{case}, column {}", field.name());
        }
        at += found.num_rows();
    }
    assert_eq!(at, given.num_rows(), "{case}");
}

/// The control: a codec that loses a row.
#[derive(Debug)]
struct Lossy;

impl Codec for Lossy {
    fn name(&self) -> &'static str {
        "lossy"
    }

    fn encode(&self, rows: &RecordBatch, config: &Config) -> Result<Vec<u8>, Error> {
        ArrowRs.encode(rows, config)
    }

    fn decode(&self, file: &[u8], schema: &SchemaRef) -> Result<Vec<RecordBatch>, Error> {
        let batches = ArrowRs.decode(file, schema)?;
        Ok(batches.iter().map(|batch| batch.slice(0, batch.num_rows() - 1)).collect())
    }
}

#[test]
fn a_codec_that_reads_other_rows_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let rows = batch(5, 1);
    let spec = TableSpec::new("all", rows.schema(), ["id"]);
    let store = Store::builder(Config::default()).table(spec).open(dir.path()).unwrap();
    store.load("all", [rows.clone()]).unwrap();
    assert!(verify_by(&ArrowRs, dir.path()).unwrap().is_sound());
    let report = verify_by(&Lossy, dir.path()).unwrap();
    assert!(report.tables[0].bad[0].ends_with("lossy reads other rows"), "{report:?}");
    let file = ArrowRs.encode(&rows, &Config::default()).unwrap();
    same(&ArrowRs.decode(&file, &rows.schema()).unwrap(), &rows, "arrow-rs");
    assert!(ArrowRs.decode(b"PAR1PAR1", &rows.schema()).is_err());
}

#[cfg(feature = "codec-arrow2")]
#[test]
fn each_codec_reads_every_file_of_the_other() {
    use tidemill_storage::{Arrow2, Compression};

    let codecs: [&dyn Codec; 2] = [&ArrowRs, &Arrow2];
    for shape in 0..6 {
        for nulls in 0..3 {
            let rows = batch(shape, nulls);
            for compression in [Compression::Auto, Compression::Zstd, Compression::Snappy, Compression::None]
            {
                for writer in codecs {
                    let file = writer.encode(&rows, &config(compression)).unwrap();
                    for reader in codecs {
                        let case = format!(
                            "{} by {}, shape {shape}, nulls {nulls}, {compression:?}",
                            writer.name(),
                            reader.name()
                        );
                        let found = reader.decode(&file, &rows.schema());
                        same(&found.unwrap_or_else(|error| panic!("{case}: {error:?}")), &rows, &case);
                    }
                }
            }
        }
    }
}

#[cfg(feature = "codec-arrow2")]
#[test]
fn what_arrow2_cannot_read_is_an_error() {
    use tidemill_storage::{Arrow2, Compression, ErrorKind};

    let rows = batch(2, 0);
    let file = ArrowRs.encode(&rows, &config(Compression::None)).unwrap();
    for cut in [0, 4, 11, file.len() / 2, file.len() - 1] {
        assert_eq!(Arrow2.decode(&file[..cut], &rows.schema()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let other = batch(2, 0).project(&[0, 1]).unwrap();
    assert_eq!(Arrow2.decode(&file, &other.schema()).unwrap_err().kind(), ErrorKind::Corrupt);
    let lz4 = ArrowRs.encode(&rows, &config(Compression::Lz4)).unwrap();
    assert!(Arrow2.decode(&lz4, &rows.schema()).is_err());
}
