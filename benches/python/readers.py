"""Reads a dataset over and over while a collector writes it, as other people's programs would.

usage: readers.py LINK STOP_FILE

LINK is DATA/parquet/NAME. Each round resolves it once and reads that snapshot with pyarrow, DuckDB and Polars; the three
must agree, no (symbol, ts) may occur twice, and the row count may never shrink. Ends when STOP_FILE exists and prints
one JSON line: rounds, errors, doubled rows, disagreements, the last count. Exit 1 on any fault.
"""

import json
import os
import sys
import time

import duckdb
import polars as pl
import pyarrow.dataset as ds


def read(link):
    folder = os.path.realpath(link)
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table(columns=["symbol", "ts"])
    duck, distinct = duckdb.sql(
        f"select count(*), count(distinct (symbol, ts)) from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    ).fetchall()[0]
    polars = pl.scan_parquet(folder, hive_partitioning=True).select(pl.len()).collect().item()
    return table.num_rows, duck, polars, duck - distinct


def main():
    link, stop = sys.argv[1:3]
    rounds = doubled = disagreed = shrunk = last = 0
    errors = []
    while True:
        ending = os.path.exists(stop)
        if os.path.exists(link):
            try:
                arrow, duck, polars, twice = read(link)
                rounds += 1
                doubled += twice
                disagreed += not arrow == duck == polars
                shrunk += arrow < last
                last = arrow
            except Exception as error:  # every kind counts
                errors.append(f"{type(error).__name__}: {error}"[:300])
        else:
            time.sleep(0.05)
        if ending:
            break
    print(json.dumps({
        "rounds": rounds, "errors": len(errors), "first_errors": errors[:3],
        "doubled": doubled, "disagreed": disagreed, "shrunk": shrunk, "rows": last,
    }))
    sys.exit(1 if errors or doubled or disagreed or shrunk or not rounds else 0)


if __name__ == "__main__":
    main()
