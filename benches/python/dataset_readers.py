"""Reads one published table over and over with every reader there is, while a writer commits and publishes as fast as it can.

usage: dataset_readers.py LINK STOP_FILE

Every publish sets `number` of all rows to one value, so that two numbers in one answer are two snapshots. By the real path: no error,
one number, every row once, and the decimal `cost` the same as the float `price`. By the link: at worst a clean not-found; never a row twice, never one that was not written. Ends when
STOP_FILE exists and prints one JSON line; exit 1 on any fault.
"""

import glob
import json
import os
import sys
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
KEYS = 400
COLUMNS = ["series", "ts", "number", "price", "cost"]


def pyarrow_reader(folder):
    import pyarrow.dataset as ds

    return ds.dataset(folder, format="parquet", partitioning="hive").to_table(columns=COLUMNS).to_pandas()


def duckdb_reader(folder):
    import duckdb

    query = f"select {', '.join(COLUMNS)} from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    return duckdb.connect().execute(query).df()


def polars_reader(folder):
    import polars as pl

    frame = pl.scan_parquet(f"{folder}/**/*.parquet").select(COLUMNS).collect()
    return pd.DataFrame({name: frame[name].to_list() if name == "cost" else frame[name].to_numpy() for name in frame.columns})


def pandas_reader(folder):
    files = sorted(glob.glob(f"{folder}/**/*.parquet", recursive=True))
    return pd.concat([pd.read_parquet(file, columns=COLUMNS) for file in files])


READERS = {"pyarrow": pyarrow_reader, "duckdb": duckdb_reader, "polars": polars_reader, "pandas": pandas_reader}


def judge(frame):
    """Rows, rows doubled or with a decimal that is not its float, numbers seen."""
    doubled = int(frame.duplicated(subset=["series", "ts"]).sum())
    cost = np.array([np.nan if value is None else float(value) for value in frame["cost"]])
    other = ~np.isclose(cost, frame["price"].to_numpy(float), rtol=0, atol=0, equal_nan=True)
    return len(frame), doubled + int(other.sum()), np.unique(frame["number"].to_numpy())


def main():
    link, stop = sys.argv[1:3]
    out, versions = {}, {}
    for name in READERS:
        try:
            versions[name] = __import__(name).__version__
            out[name] = {"reads": 0, "errors": 0, "wrong": 0, "by_link": 0, "not_found": 0, "wrong_by_link": 0, "first": []}
        except ImportError:
            print(f"SKIPPED: {name} is not installed", file=sys.stderr)
    ending = False
    while not ending:
        ending = os.path.exists(stop)
        for name, said in out.items():
            try:
                rows, doubled, numbers = judge(READERS[name](os.path.realpath(link)))
                said["reads"] += 1
                if rows != KEYS or doubled or len(numbers) != 1:
                    said["wrong"] += 1
                    said["first"].append(f"{rows} rows, {doubled} doubled or wrong, numbers {numbers[:5]}")
            except Exception as error:  # every kind counts
                said["errors"] += 1
                said["first"].append(f"{type(error).__name__}: {error}"[:300])
            try:
                rows, doubled, numbers = judge(READERS[name](link))
                said["by_link"] += 1
                # Two snapshots may meet in one answer, none of their rows twice, and all of them written at some time.
                if rows != KEYS or doubled or numbers.min() < 0:
                    said["wrong_by_link"] += 1
                    said["first"].append(f"by link: {rows} rows, {doubled} doubled or wrong")
            except Exception as error:
                said["not_found"] += 1
            del said["first"][3:]
    for name, said in out.items():
        said["version"] = versions[name]
    print(json.dumps(out))
    faults = [name for name, said in out.items() if said["errors"] or said["wrong"] or said["wrong_by_link"] or not said["reads"]]
    sys.exit(1 if faults or not out else 0)


if __name__ == "__main__":
    main()
