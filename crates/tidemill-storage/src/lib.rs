//! An embeddable, crash-safe, upserting dataset that any Parquet reader opens as it lies.
