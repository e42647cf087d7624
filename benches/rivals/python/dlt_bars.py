"""The rival's side of `bench collector`: the same symbols from the same server with dlt, as its documentation shows.

usage: dlt_bars.py BASE_URL SYMBOLS_FILE OUT

Prints one JSON line: rows, elapsed_s and cpu_s (both without imports), max_rss_mb.
"""

import json
import os
import resource
import sys
import time

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
os.environ["EXTRACT__WORKERS"] = "8"
os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = "100"

import dlt  # noqa: E402  the environment comes first
from dlt.sources.helpers import requests  # noqa: E402


def cpu_s():
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main():
    base_url, symbols_file, out = sys.argv[1:4]
    with open(symbols_file) as lines:
        names = lines.read().split()

    @dlt.resource(name="symbols")
    def symbols():
        yield from names

    @dlt.transformer(name="bars", parallelized=True, write_disposition="append")
    def bars(symbol):
        answer = requests.get(f"{base_url}/query", params={"function": "TIME_SERIES_DAILY", "symbol": symbol, "apikey": "k1"})
        answer.raise_for_status()
        yield [
            {"symbol": symbol, "date": day, **{name.split(". ")[1]: float(text) for name, text in bar.items()}}
            for day, bar in answer.json()["Time Series (Daily)"].items()
        ]

    imported_cpu_s, start = cpu_s(), time.perf_counter()
    pipeline = dlt.pipeline("bars", pipelines_dir=f"{out}/state", dataset_name="bars",
                            destination=dlt.destinations.filesystem(bucket_url=f"file://{os.path.abspath(out)}/data"))
    pipeline.run(symbols() | bars(), loader_file_format="parquet").raise_on_failed_jobs()
    elapsed_s = time.perf_counter() - start
    print(json.dumps({
        "rows": pipeline.last_trace.last_normalize_info.row_counts.get("bars", 0),
        "elapsed_s": elapsed_s,
        "cpu_s": cpu_s() - imported_cpu_s,
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))


if __name__ == "__main__":
    main()
