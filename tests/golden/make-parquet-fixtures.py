"""Small Parquet files as published corpora lay them out, for tests/unit/engine/data/parquet.test.ts. Needs pyarrow."""
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

out = Path(__file__).parent / "fixtures" / "parquet"
out.mkdir(parents=True, exist_ok=True)

texts = [f"Line {i}: {i} + {i} = {2 * i}" for i in range(10)]
for codec in ["snappy", "zstd", "gzip", "none"]:
    pq.write_table(pa.table({"text": texts, "id": list(range(10))}), out / f"text-{codec}.parquet", compression=codec, row_group_size=4)

messages = [[{"role": "user", "content": f"{i}+1?"}, {"role": "assistant", "content": f"{i + 1}"}] for i in range(3)]
pq.write_table(pa.table({"messages": messages, "source": ["made"] * 3}), out / "messages.parquet", compression="snappy")
pq.write_table(pa.table({"problem": ["1+1?", "2+2?"], "solution": ["2", "4"], "answer": ["2", "4"]}), out / "problems.parquet")
