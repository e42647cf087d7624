"""What pyarrow, Polars and DuckDB pay for 5 M bars: writing them with zstd 3, and reading a part. One JSON line a figure.

python storage.py ROUNDS DIR [BARS]

BARS holds real.parquet and resampled.parquet, which bench-storage wrote: they are read by pyarrow and written again by each.
"""

import gc
import json
import os
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

SYMBOLS, BARS, MINUTE, START = 500, 10_000, 60_000_000_000, 1_577_836_800_000_000_000


def noise(key, salt):
    z = (key + np.uint64(salt * 0x12345677)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return z ^ (z >> np.uint64(31))


def table():
    """The same numbers as bench-storage."""
    symbol = np.repeat(np.arange(SYMBOLS, dtype=np.uint64), BARS)
    n = np.tile(np.arange(BARS, dtype=np.uint64), SYMBOLS)
    key = symbol * np.uint64(1_000_003) + n
    step = (noise(key, 0) % np.uint64(64)).astype(np.int64) - 31
    close = step.reshape(SYMBOLS, BARS).cumsum(axis=1)
    close = (close + (10_000 + np.arange(SYMBOLS) * 37 % 20_000)[:, None]).reshape(-1)
    part = lambda salt, bound: (noise(key, salt) % np.uint64(bound)).astype(np.int64)
    names = pa.array([f"S{s:04}" for s in range(SYMBOLS)])
    return pa.table(
        {
            "symbol": names.take(pa.array(symbol.astype(np.int32))),
            "ts": pa.array(START + n.astype(np.int64) * MINUTE).cast(pa.timestamp("ns", "UTC")),
            "open": (close - part(1, 32)) / 100,
            "high": (close + part(2, 48)) / 100,
            "low": (close - 32 - part(3, 48)) / 100,
            "close": close / 100,
            "volume": part(4, 100_000),
        }
    )


def emit(rival, case, unit, values):
    print(json.dumps({"rival": rival, "case": case, "unit": unit, "values": values}), flush=True)


def measure(rounds, body):
    """CPU seconds of the whole process, so that threads count; one round of warm-up."""
    values = []
    for _ in range(rounds + 1):
        gc.collect()
        before = time.process_time()
        body()
        values.append(time.process_time() - before)
    return values[1:]


def weigh(rounds, folder, bars):
    """Real bars, and 5 M resampled from them: what they cost and weigh by defaults and zstd 3."""
    cases = [
        ("real.parquet", "real bars as they are", "kB", 1e3, None),
        ("resampled.parquet", "5 M bars resampled from real ones", "MB", 1e6, 50_000),
        ("resampled.parquet", "the same in row groups of a million", "MB", 1e6, None),
    ]
    for file, case, unit, scale, group in cases:
        data = pq.read_table(os.path.join(bars, file)).combine_chunks()
        target = os.path.join(folder, "weighed.parquet")

        def report(rival, write):
            costs = measure(min(rounds, 3), write)
            emit(rival, f"{case}, bytes", unit, [os.path.getsize(target) / scale])
            if unit == "MB":
                emit(rival, f"{case}, load", "s", costs)

        def by_pyarrow(rows=None):
            pq.write_table(data, target, compression="zstd", compression_level=3, row_group_size=rows)

        report("pyarrow", by_pyarrow)
        if unit == "MB":
            report("pyarrow, the same row groups", lambda: by_pyarrow(group))
        try:
            import polars as pl

            frame = pl.from_arrow(data)
            report("polars", lambda: frame.write_parquet(target, compression="zstd", compression_level=3))
        except ImportError as error:
            print(f"skipped: {error}", file=sys.stderr)
        try:
            import duckdb

            base = duckdb.connect()
            base.register("bars", data)
            report("duckdb", lambda: base.execute(f"COPY bars TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)"))
        except ImportError as error:
            print(f"skipped: {error}", file=sys.stderr)


def decimals(rounds, folder, cases):
    """Floats as its users write them, beside the very decimals, both by defaults and zstd 3."""
    stamp = lambda minute: pa.scalar(START + minute * MINUTE, pa.timestamp("ns", "UTC"))
    part = (ds.field("ts") >= stamp(9_500)) & (ds.field("ts") < stamp(10_000))
    reads = [
        ("full read of 5 M bars, prices as decimals", None, None, SYMBOLS * BARS),
        ("one series of decimals, two columns, 5 % of the time", ["ts", "close"], part & (ds.field("symbol") == "S0250"), 500),
        ("all series of decimals, two columns, 5 % of the time", ["ts", "close"], part, 250_000),
    ]
    for case, floats in cases.items():
        prices = pa.schema([field.with_type(pa.decimal128(18, 2)) if field.type == pa.float64() else field for field in floats.schema])
        for rival, data in (("pyarrow", floats), ("pyarrow, decimals", floats.cast(prices))):
            target = os.path.join(folder, "decimals.parquet")
            write = lambda: pq.write_table(data, target, compression="zstd", compression_level=3)
            emit(rival, f"{case}, load", "s", measure(min(rounds, 3), write))
            emit(rival, f"{case}, bytes", "MB", [os.path.getsize(target) / 1e6])
            for read, columns, wanted, rows in reads if "resampled" not in case else []:
                def body():
                    found = ds.dataset(target).to_table(columns=columns, filter=wanted).num_rows
                    assert found == rows, (rival, read, found)
                emit(rival, read, "ms", [value * 1e3 for value in measure(rounds, body)])


def main():
    rounds, folder = int(sys.argv[1]), sys.argv[2]
    if len(sys.argv) > 3:
        weigh(rounds, folder, sys.argv[3])
    data = table()
    assert data.num_rows == SYMBOLS * BARS
    cases = {"5 M bars, prices as decimals": data}
    if len(sys.argv) > 3:
        resampled = pq.read_table(os.path.join(sys.argv[3], "resampled.parquet")).combine_chunks()
        cases["5 M resampled bars, prices as decimals"] = resampled
    decimals(rounds, folder, cases)
    del cases
    low, high = START + 9_500 * MINUTE, START + 10_000 * MINUTE
    path = {name: os.path.join(folder, f"{name}.parquet") for name in ("pyarrow", "polars", "duckdb")}
    cases = {"one series": 500, "all series": 250_000}

    def report(rival, write, read):
        emit(rival, "bulk load of 5 M bars", "s", measure(min(rounds, 3), write))
        emit(rival, "bulk load of 5 M bars, bytes", "MB", [os.path.getsize(path[rival]) / 1e6])
        for case, rows in cases.items():
            def body():
                found = read(case == "one series")
                assert found == rows, (rival, case, found)
            values = [value * 1e3 for value in measure(rounds, body)]
            emit(rival, f"{case}, two columns, 5 % of the time", "ms", values)

    def write_pyarrow():
        pq.write_table(data, path["pyarrow"], compression="zstd", compression_level=3)

    opened = []

    def read_pyarrow(one):
        stamp = lambda ns: pa.scalar(ns, pa.timestamp("ns", "UTC"))
        wanted = (ds.field("ts") >= stamp(low)) & (ds.field("ts") < stamp(high))
        if one:
            wanted = wanted & (ds.field("symbol") == "S0250")
        # Opened once, as our store is: either side may keep what it parsed.
        if not opened:
            opened.append(ds.dataset(path["pyarrow"]))
        return opened[0].to_table(columns=["ts", "close"], filter=wanted).num_rows

    report("pyarrow", write_pyarrow, read_pyarrow)

    try:
        import polars as pl

        frame = pl.from_arrow(data)

        def read_polars(one):
            ts = pl.col("ts").dt.timestamp("ns")
            wanted = (ts >= low) & (ts < high)
            if one:
                wanted = wanted & (pl.col("symbol") == "S0250")
            return pl.scan_parquet(path["polars"]).filter(wanted).select("ts", "close").collect().height

        report("polars", lambda: frame.write_parquet(path["polars"], compression="zstd", compression_level=3), read_polars)
        del frame
    except ImportError as error:
        print(f"skipped: {error}", file=sys.stderr)

    try:
        import duckdb

        base = duckdb.connect()
        base.execute("SET TimeZone='UTC'")
        base.register("bars", data)
        target = f"'{path['duckdb']}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)"

        def read_duckdb(one):
            wanted = f"epoch_ns(ts) >= {low} AND epoch_ns(ts) < {high}" + (" AND symbol = 'S0250'" if one else "")
            found = base.execute(f"SELECT ts, close FROM '{path['duckdb']}' WHERE {wanted}").fetchnumpy()
            return len(found["close"])

        report("duckdb", lambda: base.execute(f"COPY bars TO {target}"), read_duckdb)
    except ImportError as error:
        print(f"skipped: {error}", file=sys.stderr)


main()
