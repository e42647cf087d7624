"""Counts the rows of a published dataset with pyarrow, DuckDB and Polars, each as its own user would.

usage: count_rows.py FOLDER

Prints one JSON line: rows by reader, (symbol, ts) pairs that occur twice, and the columns with their types.
"""

import json
import os
import sys

import duckdb
import pyarrow.dataset as ds

try:
    import polars as pl
except ImportError:
    pl = None


def main():
    folder = os.path.realpath(sys.argv[1])
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table()
    relation = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    rows = {
        "pyarrow": table.num_rows,
        "duckdb": duckdb.sql(f"select count(*) from {relation}").fetchall()[0][0],
    }
    if pl is not None:
        rows["polars"] = pl.scan_parquet(folder, hive_partitioning=True).select(pl.len()).collect().item()
    doubled = duckdb.sql(
        f"select count(*) from (select symbol, ts from {relation} group by all having count(*) > 1)"
    ).fetchall()[0][0]
    print(json.dumps({
        "rows": rows,
        "doubled": doubled,
        "symbols": len(table["symbol"].unique()),
        "columns": {field.name: str(field.type) for field in table.schema},
    }))


if __name__ == "__main__":
    main()
